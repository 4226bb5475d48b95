"""What a stream tells of itself while it follows the log."""

from __future__ import annotations

import time

from connector_runner.sources.mysql.follower import Follower
from connector_runner.sources.mysql.logbatch import LogBatch
from connector_runner.sources.mysql.place import Place
from connector_runner.sources.mysql.position import LogPosition
from connector_runner.sources.mysql.server import Server
from tests.integration.mysql.reading import Told
from tests.unit.mysql.logs import TABLE, settings


class Lags(Told):
    """A `Report` that remembers the lag."""

    def __init__(self) -> None:
        super().__init__()
        self.lags: list[float] = []

    def lag(self, seconds: float) -> None:
        self.lags.append(seconds)


def test_the_lag_is_zero_only_at_the_end_of_the_log() -> None:
    told = Lags()
    start = LogPosition("binlog.000001", 4)
    follower = Follower(settings(), Server(False), Place(start, TABLE, None), None, told)
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
