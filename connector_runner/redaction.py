"""Removes secrets from texts, wherever the text comes from. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

BLOT = "•••"
SHORTEST_SECRET = 4
"""Redacting shorter texts would remove ordinary words."""
SECRET_PARAMETER = re.compile("token|key|secret|password", re.IGNORECASE)


def redact(text: str, secrets: Iterable[str], blot: str = BLOT) -> str:
    """The text without the secrets; the longest are replaced first, since one may be part of another."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, blot)
    return text


class Redactor:
    """Stores the secrets of this run and removes them from texts."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def learn(self, values: Iterable[object]) -> None:
        """Adds secret values: texts, and texts within lists and mappings at any depth."""
        for value in values:
            if isinstance(value, str):
                for text in {value, *value.splitlines()}:
                    if len(text) >= SHORTEST_SECRET:
                        # Also in the forms in which errors quote it: a driver's repr, a server's JSON.
                        self._secrets |= {text, repr(text)[1:-1], json.dumps(text)[1:-1]}
            elif isinstance(value, Mapping):
                self.learn(value.values())
            elif isinstance(value, list | tuple):
                self.learn(value)

    def learn_url(self, url: str) -> None:
        """Adds the password of a URL, as written and decoded, and tokens among its parameters."""
        parts = urlsplit(url)
        if parts.password:
            self.learn([parts.password, unquote(parts.password)])
        self.learn(value for name, value in parse_qsl(parts.query) if SECRET_PARAMETER.search(name))

    def clean(self, text: str) -> str:
        """The text without them."""
        return redact(text, self._secrets)

    def clean_value(self, value: Any) -> Any:
        """The same for the fields of a log line: texts, numbers, mappings, sequences; anything else is converted to a text.

        Called before encoding as JSON, because that changes quotes and umlauts within a secret.
        """
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {self.clean(str(name)): self.clean_value(part) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean_value(part) for part in value]
        return self.clean(str(value))
