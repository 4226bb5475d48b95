"""`python -m tests.scripted.many`: the product's command line, where COINBASE is a source with ten thousand streams.

All are the same script. A URL with `refuses` in it is of a source that does not list them.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from connector_runner.cli import main
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.protocols.source import Checkpoint, Opened, Source, SourceContext, only_stream
from connector_runner.schemas.catalogue import Catalogue, ColumnInfo, StreamInfo
from connector_runner.schemas.config import fill_defaults
from tests.scripted.source import CONFIG_SCHEMA, ScriptedSource, TestRegistry

COUNT = 10_000
NO_KEY = "it has no primary key; add one, or use FULL_TABLE."
_COLUMNS = tuple(ColumnInfo(name, "string") for name in ("id", "customer", "total"))


class ManySource(ScriptedSource):
    def __init__(self, context: SourceContext) -> None:
        self._url = str(context.config["url"])
        super().__init__(replace(context, config=fill_defaults({"batches": 5, "endless": True}, CONFIG_SCHEMA)))

    async def discover(self, selected: str | None, also: Collection[str] = ()) -> Catalogue:
        if "refuses" in self._url:
            raise ActionRequiredError("the source refuses to list its streams")
        return Catalogue(tuple(build_stream(number) for number in range(COUNT)), COUNT)

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        stream, checkpoint = only_stream(checkpoints, "COINBASE")
        opened = await super().open({"mixed": checkpoint})
        return Opened({stream: opened.schemas["mixed"]}, opened.identity)


def build_stream(number: int) -> StreamInfo:
    """Every tenth has no key, so that one of its modes is not possible."""
    about: dict[str, Any] = {"key": ("id",), "modes": ("FULL_TABLE", "LOG_BASED")}
    if number % 10 == 9:
        about = {"modes": ("FULL_TABLE",), "unavailable": {"LOG_BASED": NO_KEY}}
    parts = {"database": f"shop_{number // 100:02}", "name": f"orders_{number:04}"}
    return StreamInfo(".".join(parts.values()), parts=parts, columns=_COLUMNS, **about)


class ManyRegistry(TestRegistry):
    def build(self, connector_type: str, context: SourceContext) -> Source:
        return ManySource(context)


if __name__ == "__main__":
    sys.exit(main(registry=ManyRegistry()))
