"""The generated block of docs/coinbase.md: each stream as the schemas define it, so that the page stays correct."""

from __future__ import annotations

from collections.abc import Callable

from connector_runner.sources.coinbase.streams import STREAMS, StreamSpec


def build_section(spec: StreamSpec) -> str:
    """One stream in Markdown: what it is, its key, its columns."""
    lines = [
        f"### `{spec.id}`",
        "",
        f"{spec.description} {'Needs an API key. ' if spec.is_private else ''}Completeness: {spec.proof.value}.",
        f"Key: {', '.join(f'`{name}`' for name in spec.schema.key)}.",
        "",
        "| column | type | |",
        "|---|---|---|",
        *(f"| `{c.name}` | {c.type} | {c.description} |" for c in spec.schema.columns),
        "",
    ]
    return "\n".join(lines)


def build_streams() -> str:
    """All streams."""
    return "\n" + "\n".join(map(build_section, STREAMS.values()))


STREAM_PARTS = {"name": "the channel"}
"""What a stream's name consists of, by the words that templates of tables use."""
BLOCKS: dict[str, Callable[[], str]] = {"streams": build_streams}
