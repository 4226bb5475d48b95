"""Log lines: JSON for machines, plain for a terminal; secrets are blotted out, whatever the message was made of."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO
from urllib.parse import parse_qsl, unquote, urlsplit

BLOT = "•••"
# Shorter texts would blot out ordinary words.
SHORTEST_SECRET = 4
SECRET_PARAMETER = re.compile("token|key|secret|password", re.IGNORECASE)


class Redactor:
    """Knows the secrets of this run and takes them out of texts."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def learn(self, values: Iterable[object]) -> None:
        """Remembers secret values: texts, and those within lists and mappings, however deep."""
        for value in values:
            if isinstance(value, str):
                for text in {value, *value.splitlines()}:
                    if len(text) >= SHORTEST_SECRET:
                        # As an error quotes it, too: a driver's repr, a server's JSON.
                        self._secrets |= {text, repr(text)[1:-1], json.dumps(text)[1:-1]}
            elif isinstance(value, Mapping):
                self.learn(value.values())
            elif isinstance(value, list | tuple):
                self.learn(value)

    def learn_url(self, url: str) -> None:
        """Remembers the password of a URL, as written and decoded, and tokens among its parameters."""
        parts = urlsplit(url)
        if parts.password:
            self.learn([parts.password, unquote(parts.password)])
        self.learn(value for name, value in parse_qsl(parts.query) if SECRET_PARAMETER.search(name))

    def clean(self, text: str) -> str:
        """The text without them."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, BLOT)
        return text

    def clean_value(self, value: Any) -> Any:
        """The same for what goes into a line: texts, numbers, mappings, sequences; anything else becomes its text.

        Before it is written as JSON, because there a quote or an umlaut within a secret looks otherwise.
        """
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {self.clean(str(name)): self.clean_value(part) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean_value(part) for part in value]
        return self.clean(str(value))


class LineLog:
    """Implements `telemetry.Log`."""

    def __init__(self, redactor: Redactor, stream: TextIO | None = None, **context: Any) -> None:
        self._redactor = redactor
        self._stream = stream
        self._context = context
        self._is_terminal = (stream or sys.stderr).isatty()

    def __call__(self, level: str, message: str, /, **fields: Any) -> None:
        """One line: JSON with time, level, message and fields; on a terminal time, message and fields."""
        now = dt.datetime.now(dt.UTC)
        message = self._redactor.clean(message)
        fields = self._redactor.clean_value(fields)
        if self._is_terminal:
            shown = "  ".join(f"{name}={json.dumps(value)}" for name, value in fields.items())
            line = f"{now:%H:%M:%S} {level:<7} {message}" + (f"  {shown}" if shown else "")
        else:
            time = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            context = self._redactor.clean_value(self._context)
            line = json.dumps({"time": time, "level": level, "message": message, **context, **fields})
        # Looked up for each line: while progress is shown, standard error writes above it.
        print(line, file=self._stream or sys.stderr, flush=True)
