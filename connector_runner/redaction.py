"""Secrets are taken out of texts, whatever the text was made of. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

BLOT = "•••"
SHORTEST_SECRET = 4
"""Shorter texts would blot out ordinary words."""
SECRET_PARAMETER = re.compile("token|key|secret|password", re.IGNORECASE)


def redact(text: str, secrets: Iterable[str], blot: str = BLOT) -> str:
    """The text without the secrets; the longest go first, since one may be a part of another."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, blot)
    return text


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
        return redact(text, self._secrets)

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
