"""Reads several streams of one chain into a dataset in memory, as the pipeline does; what one stream alone gives is the measure."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.batch import Batch, Incident, Operation, Position, whole_position
from connector_runner.protocols.source import Checkpoint, SourceContext, WriteMode
from connector_runner.sources.ethereum import build_source
from tests.integration.ethereum.running import Lines, checked
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.chains import busy_block
from tests.simulators.ethereum.contracts import Actors

START = 3
ALL = ("blocks", "transactions", "receipts", "logs", "token_transfers", "events.Transfer", "traces")
Table = dict[tuple[Any, ...], tuple[Any, ...]]


@dataclass
class Dataset:
    """What a dataset would hold: a table and a place a stream, and the reader's position."""

    tables: dict[str, Table] = field(default_factory=dict)
    places: dict[str, Position] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    position: Position = field(default_factory=dict)
    identity: str = ""
    incidents: list[Incident] = field(default_factory=list)

    def checkpoint(self, stream: str) -> Checkpoint | None:
        if stream not in self.places:
            return None
        return Checkpoint(whole_position(self.position, self.places[stream]), self.identity, self.versions[stream])

    def blocks_of(self, streams: Iterable[str]) -> set[tuple[int, str]]:
        """The positions of the streams."""
        found = (self.checkpoint(stream) for stream in streams)
        return {(-1, "") if one is None else (one.position["number"], one.position["hash"]) for one in found}

    def commit(self, batches: list[Batch]) -> None:
        """One transaction of the source."""
        assert len({id(batch.schema) for batch in batches}) == len(batches), "a stream has one batch a transaction"
        for batch in batches:
            stream = batch.schema.stream
            table = self.tables.setdefault(stream, {})
            for operation, row in zip(batch.operations or bytes(len(batch.rows)), batch.rows, strict=True):
                if operation == Operation.REPLACE:
                    for key in [key for key in table if key[: len(row)] == row]:
                        del table[key]
                else:
                    table[tuple(row[place] for place in batch.schema.key_indices)] = row
            self.places[stream] = batch.place or {}
            self.versions[stream] = batch.schema.version
            self.incidents += batch.incidents
        self.position = batches[-1].position

    def drop(self, streams: set[str]) -> None:
        """Streams that are let go keep their own position."""
        for stream in streams & set(self.places):
            self.places[stream] = whole_position(self.position, self.places[stream])


async def read(
    config: dict[str, Any],
    streams: Collection[str],
    dataset: Dataset,
    is_enough: Callable[[], bool],
    *,
    isolates: bool = True,
    telemetry: Telemetry | None = None,
) -> None:
    """Reads until it is enough, and leaves without a word, as a killed runner does."""
    report = telemetry or Telemetry(Lines(), NoMeters())
    report.select(set(streams))
    context = SourceContext(checked(config), "tests/chain", WriteMode.UPSERT, report, isolates)
    source = build_source(context)
    try:
        opened = await source.open({stream: dataset.checkpoint(stream) for stream in streams})
        dataset.identity = opened.identity
        for stream, schema in opened.schemas.items():
            dataset.versions.setdefault(stream, schema.version)
        begun: list[Batch] = []
        async with aclosing(source.batches()) as batches:  # type: ignore[type-var]
            async for batch in batches:
                begun.append(batch)
                if not batch.more:
                    dataset.commit(begun)
                    begun = []
                    if is_enough():
                        return
    finally:
        await source.close()


async def read_to_head(node: AnvilServer, config: dict[str, Any], streams: Iterable[str], dataset: Dataset) -> None:
    chosen = tuple(streams)

    def is_there() -> bool:
        head = node.block("latest")
        return dataset.blocks_of(chosen) == {(int(head["number"], 16), head["hash"])}

    if not is_there():
        await asyncio.wait_for(read(config, chosen, dataset, is_there), 60)


async def alone(node: AnvilServer, config: dict[str, Any], stream: str) -> Table:
    """What a reader of this stream alone makes of the chain as it is now."""
    dataset = Dataset()
    await read_to_head(node, config, [stream], dataset)
    return dataset.tables.get(stream, {})


def grow(node: AnvilServer, actors: Actors, chance: random.Random, blocks: int) -> None:
    for _ in range(blocks):
        busy_block(actors, chance)
        node.mine()
