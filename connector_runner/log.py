"""Log lines: JSON for machines, plain text for a terminal; secrets are redacted, wherever the message comes from."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import Any, TextIO

from connector_runner.redaction import Redactor
from connector_runner.schemas.printable import printable_lines


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
        print(line, file=self._stream or sys.stderr, flush=True)
