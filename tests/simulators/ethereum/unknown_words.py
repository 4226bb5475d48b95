"""Refusals that no rule can know: sentences made by seed, in every form in which providers are known to refuse.

No list of wordings is ever whole. What a source must do with these it must do with all that are not invented yet.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

WHO = ("this gateway", "the cluster", "our free tier", "shard 7f", "the archive", "a worker", "policy", "it")
SAYS = ("declines", "could not finish", "gave up on", "has no room for", "would rather not do", "is not made for")
WHAT = (
    "so wide a question",
    "this much at once",
    "so many heights together",
    "that amount of work",
    "all of it",
    "a span like this",
)
ENDS = (
    "",
    "",
    "; ask for less",
    " (ref {odd})",
    "; {limit} heights are fine",
    "; try {limit} at once",
    " [{odd} ms]",
    "; you wanted {asked}",
)
CODES = (0, 1, 17, -32099, -32050, -32000, -32603, -32600, "E_WIDE", None)
FORMS = ("object", "text", "list", "answer in a list", "page")
STATUSES = (200, 200, 500, 503, 400)


@dataclass(frozen=True)
class Unknown:
    """One refusal.

    Attributes:
        form: Of `FORMS`.
        status: Of HTTP.
        code, text: Of the error.
    """

    form: str
    status: int
    code: Any
    text: str

    def body(self, base: dict[str, Any], limit: int, asked: int) -> Any:
        """What is sent instead of a response: JSON, or another text. `base`: id and version."""
        said = self.text.format(limit=limit, asked=asked, odd=83213)
        match self.form:
            case "object":
                return {**base, "error": {"code": self.code, "message": said}}
            case "text":
                return {**base, "error": said}
            case "list":
                return {**base, "error": [said, self.code]}
            case "answer in a list":
                return [{**base, "error": {"code": self.code, "message": said}}]
        return said


def unknown_words(chance: random.Random) -> Unknown:
    """One of some thousands."""
    text = f"{chance.choice(WHO)} {chance.choice(SAYS)} {chance.choice(WHAT)}{chance.choice(ENDS)}"
    return Unknown(chance.choice(FORMS), chance.choice(STATUSES), chance.choice(CODES), text)
