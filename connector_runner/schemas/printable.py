"""Texts of others (values, names, messages) as a terminal may get them: nothing in them moves the cursor or changes colours. Pure."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """A text on one line, whole; what is no printable character (control characters, escape sequences, invisible marks) is written as an escape."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines: it keeps its line ends."""
    return "\n".join(map(printable, text.split("\n")))


def cells(text: str) -> int:
    """How many cells of a terminal a printable text takes: two for a wide character (East Asian, emoji), none for a mark on the one before."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """A printable text in at most `width` cells; one that is cut ends with an ellipsis."""
    if cells(text) <= width:
        return text
    kept, used = "", 1
    for character in text:
        used += _cells(character)
        if used > width:
            break
        kept += character
    return f"{kept}…" if width > 0 else ""
