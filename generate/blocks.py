"""The generated blocks of handwritten pages: one marker, one filler. Pure.

A block is between `<!-- begin: NAME -->` and `<!-- end: NAME -->`, each on a line of its own; `make generate` replaces
the text between them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

Blocks = Mapping[str, Callable[[], str]]
"""The functions that build the blocks of a page, by name."""
_BLOCK = re.compile(r"^<!-- begin: (?P<name>.+?) -->\n(?:.*?\n)??<!-- end: (?P=name) -->$", re.DOTALL | re.MULTILINE)
_MARKER = re.compile(r"^<!-- (?:begin|end): .*-->$", re.MULTILINE)


class BlockError(ValueError):
    """The markers of a page and the existing blocks don't match; the message says which."""


def fill(page: str, blocks: Blocks) -> str:
    """A page with each of its blocks as it should be now.

    Raises:
        BlockError: A block is missing in the page, appears twice, is not known, or has only one marker.
    """
    found = [match["name"] for match in _BLOCK.finditer(page)]
    if sorted(found) != sorted(blocks):
        raise BlockError(
            f"the page has the blocks {', '.join(found) or 'none'}; expected {', '.join(blocks)}, each once"
        )
    bodies = {name: build().strip("\n") for name, build in blocks.items()}
    filled = _BLOCK.sub(lambda match: build_block(match["name"], bodies[match["name"]]), page)
    if len(_MARKER.findall(page)) != 2 * len(found):
        raise BlockError("a block of the page has only one of its two markers")
    return filled


def build_block(name: str, body: str) -> str:
    """A block with its markers."""
    return f"<!-- begin: {name} -->\n{body}\n<!-- end: {name} -->"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
