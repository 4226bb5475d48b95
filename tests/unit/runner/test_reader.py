"""What the reader hands to a source that it opens again: for any order of batches, the state after the last whole transaction."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.pipeline.queue import BatchQueue, Limits
from connector_runner.pipeline.reader import Reader
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.batch import Batch, whole_position
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import Claim
from connector_runner.protocols.source import Checkpoint, Opened
from connector_runner.protocols.types import INT64
from connector_runner.resilience.backoff import Backoff

STREAMS = ("a", "b", "c")
SCHEMAS = {name: StreamSchema(name, (Column("k", INT64),), ("k",)) for name in STREAMS}
Step = tuple[str, bool]
"""A batch: its stream, and whether the next one belongs to the same transaction."""


class LosesItsConnection:
    """Yields the batches of each step with positions 1, 2, …; then its connection is lost. Opened again, it ends."""

    def __init__(self, steps: list[Step]) -> None:
        self._batches = [
            Batch(SCHEMAS[stream], [(n,)], {"n": n}, place={"of": stream, "at": n}, more=more)
            for n, (stream, more) in enumerate(steps, 1)
        ]
        self.opened: list[Mapping[str, Checkpoint | None]] = []

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        self.opened.append(dict(checkpoints))
        return Opened(SCHEMAS, "here")

    async def batches(self) -> AsyncIterator[Batch]:
        if len(self.opened) == 1:
            for batch in self._batches:
                yield batch
            raise TransientError("lost")

    async def close(self) -> None:
        pass


def expected(steps: list[Step]) -> dict[str, Checkpoint | None]:
    """The same by the definition: only batches up to the end of the last whole transaction count."""
    whole = max((n for n, (_, more) in enumerate(steps, 1) if not more), default=0)
    places = {stream: {"of": stream, "at": n} for n, (stream, _) in enumerate(steps[:whole], 1)}
    return {
        stream: Checkpoint(whole_position({"n": whole}, places[stream]), "here", SCHEMAS[stream].version)
        if stream in places
        else None
        for stream in STREAMS
    }


@given(st.lists(st.tuples(st.sampled_from(STREAMS), st.booleans()), max_size=12))
def test_the_next_connection_begins_after_the_last_whole_transaction(steps: list[Step]) -> None:
    source = LosesItsConnection(steps)

    async def read() -> None:
        telemetry = Telemetry(lambda *_, **__: None, NoMeters())
        reader = Reader(
            lambda: source,  # type: ignore[arg-type,return-value]
            BatchQueue(Limits()), telemetry, Backoff(random.random), lambda _: None,
        )  # fmt: skip
        await reader.run(Claim(dict.fromkeys(STREAMS), 1, 0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "sleep", no_delay)
        asyncio.run(read())
    assert source.opened[1] == expected(steps)


async def no_delay(_: float) -> None:
    """Instead of the wait between two connections."""
