"""Incident events: the server says that a part of its log is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql.binlog.events import Event
from connector_runner.sources.mysql.log_reader.log_batch import Again
from tests.unit.mysql.logs import BOTH, Log, resume, start


def incident(*, is_mariadb: bool) -> Log:
    log = Log(is_mariadb=is_mariadb)
    if not is_mariadb:
        log.mysql_gtid(10)
    log.add(Event.INCIDENT, b"\1\0\0")
    return log


@BOTH
def test_an_incident_is_a_gap(is_mariadb: bool) -> None:
    log = incident(is_mariadb=is_mariadb)
    with pytest.raises(ActionRequiredError, match="the server lost part of its log") as failure:
        resume(log, start(is_mariadb=is_mariadb)).feed(log.events)
    assert failure.value.reason == "LogGap"
    again = resume(log, start(is_mariadb=is_mariadb), gaps="resnapshot").feed(log.events)
    assert [batch.again for batch in again.batches if batch.again] == [Again.RENEW]
    assert again.position.offset == log.at


def test_an_incident_before_the_position_is_no_news() -> None:
    """MariaDB's has no GTID, and is sent to all readers that begin in its file, also behind it."""
    log = incident(is_mariadb=True)
    before = log.at
    log.begin(10)
    log.rows([(1, 1)])
    log.commit()
    for place in (before, before + 50):
        position = replace(start(is_mariadb=True), offset=place)
        assert resume(log, position).feed(log.events).rows == [(1, 1)]
    with pytest.raises(ActionRequiredError, match="the server lost part of its log"):
        resume(log, replace(start(is_mariadb=True), offset=before - 1)).feed(log.events)
