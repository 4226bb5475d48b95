"""Reads a stream as the pipeline does, into a table in memory: what the dataset would hold."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from connector_runner.protocols.batch import Batch, Operation, Row
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.source import Checkpoint, Source, SourceContext, WriteMode
from connector_runner.schemas.config import config_problems, config_schema, fill_defaults
from connector_runner.sources.mysql import build_source
from tests.kit.reading import SourceReader
from tests.kit.report import RecordingReport
from tests.servers.mysqld import ADMIN_PASSWORD, ADMIN_USER, DatabaseServer

PATIENCE = 90.0


def build_config(server: DatabaseServer, **options: Any) -> dict[str, Any]:
    config = {
        "host": server.host, "port": server.port, "user": ADMIN_USER, "password": ADMIN_PASSWORD, **options,
    }  # fmt: skip
    schema = config_schema("MYSQL")
    filled = fill_defaults(config, schema)
    assert not config_problems(filled, schema)
    return filled


class Reading(SourceReader):
    """A connector and the dataset it fills; survives `crash` like the real ones do: from the last position it handed over."""

    def __init__(self, server: DatabaseServer, stream: str, *, connector: str = "test/reader", **options: Any) -> None:
        super().__init__()
        self.stream, self.connector = stream, connector
        self.config = build_config(server, **options)
        self.table: dict[Row, Row] = {}
        self.layouts: dict[Row, tuple[str, ...]] = {}
        self.history: list[tuple[int, Row]] = []
        self.checkpoint: Checkpoint | None = None
        self.told = RecordingReport("rows")

    def build(self) -> Source:
        return build_source(SourceContext(self.config, self.connector, WriteMode.UPSERT, self.told))

    def checkpoints(self) -> Mapping[str, Checkpoint | None]:
        return {self.stream: self.checkpoint}

    async def step(self) -> bool:
        """Takes one batch; False at the stream's end."""
        batch = await self.take(PATIENCE)
        if batch is not None:
            self.store(batch)
        return batch is not None

    def store(self, batch: Batch) -> None:
        assert self.opened is not None
        operations = batch.operations or bytes(len(batch.rows))
        assert len(operations) == len(batch.rows)
        places = batch.schema.key_indices
        for operation, row in zip(operations, batch.rows, strict=True):
            self.history.append((operation, row))
            if operation == Operation.REPLACE:
                assert row == ()
                self.table.clear()
                continue
            assert len(row) == len(batch.schema.columns)
            key = tuple(row[place] for place in places)
            assert None not in key
            if operation == Operation.DELETE:
                self.table.pop(key, None)
            else:
                self.table[key] = row
                self.layouts[key] = batch.schema.names
        super().store(batch)
        position = json.loads(json.dumps(batch.position))
        self.checkpoint = Checkpoint(position, self.opened.identity, batch.schema.version)

    def is_copied(self) -> bool:
        """Whether the copy is complete."""
        return self.checkpoint is not None and "copy" not in self.checkpoint.position

    def as_of_now(self) -> dict[Row, Row]:
        """The rows in the columns of the last batch: what a dataset holds whose table grew new columns without values."""
        names = self.batches[-1].schema.names
        return {
            key: tuple(dict(zip(self.layouts[key], row, strict=True)).get(name) for name in names)
            for key, row in self.table.items()
        }

    async def until(self, is_done: Callable[[], bool], *, heals: bool = False) -> None:
        """Reads until the condition holds; with `heals`, a transient error is handled as the pipeline does it."""
        deadline = time.monotonic() + PATIENCE
        while not is_done():
            assert time.monotonic() < deadline, f"not reached; the table has {len(self.table)} rows"
            try:
                assert await self.step(), "the stream ended"
            except TransientError:
                if not heals:
                    raise
                await self.crash()
                await asyncio.sleep(0.05)

    async def crash(self) -> None:
        """Drops the connection; the next step opens at the last position."""
        await self.close()

    async def __aenter__(self) -> Reading:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(function, *arguments)


Step = Callable[[], Awaitable[None]]
