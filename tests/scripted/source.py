"""The scripted stream as a source that tests can delay, break and restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.batch import Batch
from connector_runner.protocols.errors import TransientError, UnknownStreamError
from connector_runner.protocols.source import (
    Checkpoint,
    Opened,
    Source,
    SourceContext,
    WriteMode,
    only_stream,
    require_same_source,
)
from connector_runner.registry import FolderRegistry
from connector_runner.schemas.catalogue import Catalogue, ColumnInfo, StreamInfo
from connector_runner.schemas.config import Schema, fill_defaults
from tests.kit.pipeline import Reporting
from tests.scripted.script import SCHEMA, Script, build_script

STREAMS = ("mixed", "upserts", "widening")
CONFIG_SCHEMA: Schema = {
    "type": "object",
    "title": "Scripted",
    "description": "A deterministic source for tests.",
    "properties": {
        "seed": {"type": "integer", "description": "Of everything.", "default": 1},
        "batches": {"type": "integer", "description": "How many.", "default": 100},
        "rows": {"type": "integer", "description": "A batch, at most.", "default": 10},
        "books": {"type": "integer", "description": "Different values of the key's first column.", "default": 4},
        "ids": {"type": "integer", "description": "Different values of the key's second column.", "default": 40},
        "pauseMs": {"type": "number", "description": "Between batches.", "default": 0},
        "identity": {"type": "string", "description": "Of the source.", "default": "script"},
        "breakEvery": {"type": "integer", "description": "Lose the connection after so many batches.", "default": 0},
        "endless": {"type": "boolean", "description": "Stay open at the end.", "default": False},
        "password": {"type": "string", "format": "password", "description": "A secret.", "minLength": 1},
    },
}


class ScriptedSource(Reporting):
    def __init__(self, context: SourceContext) -> None:
        self._context = context
        self.report = context.report
        self._script = Script()
        self._next = 0
        self.closed = False

    async def discover(self, selected: str | None, also: Collection[str] = ()) -> Catalogue:
        columns = tuple(ColumnInfo(column.name, str(column.type), column.nullable) for column in SCHEMA.columns)
        streams = tuple(StreamInfo(id=name, key=SCHEMA.key, modes=("live",), columns=columns) for name in STREAMS)
        return Catalogue(streams, len(streams), str(self._context.config["identity"]))

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        stream, checkpoint = only_stream(checkpoints, "SCRIPTED")
        if stream not in STREAMS:
            raise UnknownStreamError(f"stream {stream!r} does not exist; there are {', '.join(STREAMS)}")
        identity = str(self._context.config["identity"])
        if checkpoint is not None:
            require_same_source(checkpoint.identity, identity)
            self._next = checkpoint.position["next"]
        self._script = build_script(self._context.config, stream)
        assert self.report is not None
        self.report.connected()
        return Opened({stream: self._script.schema(self._next)}, identity)

    async def batches(self) -> AsyncIterator[Batch]:
        config = self._context.config
        pause, break_every = config["pauseMs"] / 1000, config["breakEvery"]
        for count, number in enumerate(range(self._next, self._script.batches), 1):
            if pause:
                await asyncio.sleep(pause)
            yield self._script.batch(number)
            if break_every and count % break_every == 0:
                raise TransientError("the script says: connection lost", retry_after=0)
        while config["endless"]:
            yield Batch(self._script.schema(self._script.batches - 1), (), {"next": self._script.batches})
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        self.closed = True


def scripted(script: Script, **config: Any) -> Any:
    """Builds scripted sources: the pipeline needs a new one after each lost connection."""
    settings = {"seed": script.seed, "batches": script.batches, "rows": script.rows, "ids": script.ids, **config}

    def build() -> ScriptedSource:
        report = Telemetry(lambda *_, **__: None, NoMeters())
        filled = fill_defaults(settings, CONFIG_SCHEMA)
        return ScriptedSource(SourceContext(filled, "default/test", WriteMode.UPSERT, report))

    return build


@dataclass(frozen=True)
class TestRegistry(FolderRegistry):
    """The product's sources and the scripted one: tests pass this registry to the command line, the product does not know it."""

    __test__ = False
    build_scripted: Callable[[SourceContext], Source] = field(default=ScriptedSource)

    def types(self) -> tuple[str, ...]:
        return (*super().types(), "SCRIPTED")

    def schema(self, connector_type: str) -> Schema:
        return CONFIG_SCHEMA if connector_type == "SCRIPTED" else super().schema(connector_type)

    def build(self, connector_type: str, context: SourceContext) -> Source:
        if connector_type == "SCRIPTED":
            return self.build_scripted(context)
        return super().build(connector_type, context)
