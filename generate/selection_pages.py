"""The generated block of docs/many-streams.md: what the names of streams consist of, for each connector type."""

from __future__ import annotations

from importlib import import_module

from connector_runner.schemas.config import connector_types
from generate.blocks import Blocks, table


def build_words() -> str:
    """The words of a template, by type."""
    rows = []
    for name in connector_types():
        parts: dict[str, str] = import_module(f"connector_runner.sources.{name.lower()}.reference").STREAM_PARTS
        rows.append([name, ", ".join(f"`{{{word}}}` ({meaning})" for word, meaning in parts.items())])
    return "\n" + table(["type", "words"], rows) + "\n"


BLOCKS: Blocks = {"words": build_words}
