"""What a stream tells of itself while it follows the log."""

from __future__ import annotations

import asyncio
import time

import pytest

from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch
from connector_runner.sources.mysql.position import StreamPosition
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.streaming.log_based import LogBasedStream
from connector_runner.sources.mysql.streaming.log_thread import LogThread
from tests.kit.report import RecordingReport
from tests.unit.mysql.logs import TABLE, settings


def test_the_lag_is_zero_only_at_the_end_of_the_log() -> None:
    told = RecordingReport()
    start = LogPosition("binlog.000001", 4)
    follower = LogBasedStream(settings(), Server(False), StreamPosition(start, TABLE, None), None, told)
    old = time.time() - 500
    for batch in (
        LogBatch(TABLE, [(1, 1)], b"\0", LogPosition("binlog.000001", 10), event_time=old),
        LogBatch(TABLE, [], b"", LogPosition("binlog.000001", 20)),  # much is still to be read
        LogBatch(TABLE, [], b"", LogPosition("binlog.000001", 30), is_at_end=True),
    ):
        follower._from_log(batch)
    behind, caught_up = told.lags
    assert behind >= 500
    assert caught_up == 0


@pytest.mark.parametrize("turns", range(4))
async def test_a_cancellation_that_comes_with_a_batch_is_not_lost(turns: int) -> None:
    """Else a runner that is asked to stop in that moment goes on, and who waits for its end waits for ever."""
    start = LogPosition("binlog.000001", 4)
    follower = LogBasedStream(settings(), Server(False), StreamPosition(start, TABLE, None), None, RecordingReport())
    follower._is_unreported = True  # a position is held back: what comes next is waited for only so long
    log = follower._open_log()
    following = asyncio.create_task(_follow_on(follower, log))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    log._hand_over(LogBatch(TABLE, [(1, 1)], b"\0", LogPosition("binlog.000001", 10)))
    for _ in range(turns):
        await asyncio.sleep(0)
    following.cancel()
    await asyncio.wait({following}, timeout=10)
    assert following.done()
    assert following.cancelled()


async def _follow_on(follower: LogBasedStream, log: LogThread) -> None:
    while True:
        await follower._follow(log)
