"""What the copies of several tables tell of how far they are."""

from __future__ import annotations

import asyncio

import pytest

from connector_runner.protocols.source import StreamState
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.position import Progress, StreamPosition
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.snapshot.chunk import Chunk
from connector_runner.sources.mysql.snapshot.watermark import ExactBounds
from connector_runner.sources.mysql.streaming.copies import Copies
from connector_runner.sources.mysql.streaming.followed_stream import FollowedStream
from tests.kit.report import RecordingReport
from tests.unit.mysql.logs import TABLE, settings

LOG = LogPosition("binlog.000001", 4)


def build_chunk(rows: int, *, is_end: bool) -> Chunk:
    bounds, last = ExactBounds(LOG), None if rows == 0 else (str(rows),)
    return Chunk(TABLE, [(number, number) for number in range(rows)], bounds, last, is_end)


@pytest.mark.parametrize("estimate", [None, 0, 7, 500])
@pytest.mark.parametrize("chunks", [(3,), (3, 2), (3, 0), (0,)])
async def test_the_rows_of_the_last_chunk_are_told_too(chunks: tuple[int, ...], estimate: int | None) -> None:
    told = RecordingReport("rows")
    stream = FollowedStream(StreamPosition(LOG, TABLE, Progress(is_cleared=True)), LOG, estimate)
    copies = Copies(settings(), Server(False), [stream], told)
    for number, rows in enumerate(chunks, 1):
        chunk = build_chunk(rows, is_end=number == len(chunks))
        copies.reading = asyncio.create_task(asyncio.sleep(0, chunk))
        await copies.reading
        assert await copies.take_chunk() is None
        assert copies.store(LOG) is not None
        await copies.end_if_copied(stream)
    assert told.states[TABLE.id] == (StreamState.FOLLOWING, "")
    assert told.steps[-1] == (sum(chunks), sum(chunks))
    assert len(told.steps) == len(chunks)
