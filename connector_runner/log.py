"""Log lines: JSON for machines, plain text for a terminal; secrets are redacted, wherever the message comes from."""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from connector_runner.redaction import Redactor
from connector_runner.schemas.printable import printable_lines

REPEATED_AFTER = 60.0
"""How many seconds a library's line is held back when it is repeated."""
MOST_KINDS = 1000
_NUMBERS = re.compile(r"\d+")


class Log(Protocol):
    """Writes one line; see `telemetry.Log`."""

    def __call__(self, level: str, message: str, /, **fields: Any) -> None:
        """Writes it."""


class LineLog:
    """Implements `telemetry.Log`."""

    def __init__(self, redactor: Redactor, stream: TextIO | None = None, **context: Any) -> None:
        self._redactor = redactor
        self._stream = stream
        self._context = context
        self._is_terminal = (stream or sys.stderr).isatty()

    def __call__(self, level: str, message: str, /, **fields: Any) -> None:
        """Writes one line: JSON with time, level, message and fields; on a terminal time, message and fields."""
        now = dt.datetime.now(dt.UTC)
        message = self._redactor.clean(message)
        fields = self._redactor.clean_value(fields)
        if self._is_terminal:
            shown = "  ".join(f"{name}={json.dumps(value)}" for name, value in fields.items())
            line = f"{now:%H:%M:%S} {level:<7} {printable_lines(message)}" + (f"  {shown}" if shown else "")
        else:
            time = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            context = self._redactor.clean_value(self._context)
            line = json.dumps({"time": time, "level": level, "message": message, **context, **fields})
        # Looked up for each line: while progress is shown, standard error is replaced to write above it.
        stream = self._stream or sys.stderr
        stream.write(line + "\n")  # at once: threads of libraries write lines, too
        stream.flush()


class LibraryLog(logging.Handler):
    """Writes what libraries log as lines of the runner; what is repeated (but for its numbers) is written once a minute.

    Args:
        log: Writes the lines.
        clock: The time in seconds.
    """

    def __init__(self, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._log = log
        self._clock = clock
        self._written: dict[tuple[str, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # the library's own mistake
            message = str(record.msg)
        fields: dict[str, Any] = {"library": record.name}
        now, kind = self._clock(), (record.name, _NUMBERS.sub("0", message))
        last, held = self._written.get(kind, (-REPEATED_AFTER, 0))
        if now - last < REPEATED_AFTER:
            self._written[kind] = last, held + 1
            return
        if len(self._written) >= MOST_KINDS:
            self._written.clear()
        self._written[kind] = now, 0
        if held:
            fields["repeated"] = held
        if record.exc_info:
            fields["trace"] = "".join(traceback.format_exception(*record.exc_info))
        self._log("error" if record.levelno >= logging.ERROR else "warning", message, **fields)


@contextmanager
def libraries_logged(log: Log) -> Iterator[None]:
    """Inside this context warnings and errors that libraries log, and Python's warnings, are lines of the runner."""
    handler, root = LibraryLog(log), logging.getLogger()
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
