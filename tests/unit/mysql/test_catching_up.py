"""A second reader of the log stops exactly where it should, and whoever goes on there misses and repeats nothing; pure parts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector_runner.protocols.batch import Batch
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.ddl.new_tables import new_tables
from connector_runner.sources.mysql.errors import LogGoneError
from connector_runner.sources.mysql.position import Progress, StreamPosition
from connector_runner.sources.mysql.streaming.followed_stream import FollowedStream
from connector_runner.sources.mysql.streaming.open_transaction import OpenTransaction
from tests.unit.mysql.logs import BOTH, TABLE, Log, Reader, packet
from tests.unit.mysql.test_many_tables import TABLES, TRANSACTION, Held, read_all, start, write


@BOTH
@settings(max_examples=60)
@given(plan=st.lists(TRANSACTION, min_size=1, max_size=8), cut=st.integers(1, 400), data=st.data())
def test_a_reader_stops_exactly_where_another_one_is(
    is_mariadb: bool, plan: list[Any], cut: int, data: st.DataObject
) -> None:
    log = Log(is_mariadb=is_mariadb)
    write(log, plan)
    begin = start(is_mariadb=is_mariadb)
    main = read_all(Held(begin), is_mariadb=is_mariadb)
    places = [begin]
    for event in log.events:
        main.feed([event])
        places += [batch.log for batch in main.batches if not batch.log.rows]
    target = data.draw(st.sampled_from(places))
    stream = b"".join(packet(event) for event in log.events)
    name = data.draw(st.sampled_from(sorted(TABLES)))
    behind = Reader(begin, is_mariadb=is_mariadb, definition=TABLES[name], until=target, onLogGap="resnapshot")
    for at in range(0, len(stream), cut):
        behind.log_reader.receive_data(stream[at : at + cut])
        behind._take()
        if behind.log_reader.end is not None:
            break
    end = behind.log_reader.end
    assert end is not None
    assert (end.file, end.offset, end.gtids) == (target.file, target.offset, target.gtids)
    rest = [event for event in log.events if int.from_bytes(event[13:17], "little") > end.offset]
    after = Reader(
        behind.position if behind.batches else begin,
        is_mariadb=is_mariadb,
        definition=TABLES[name],
        onLogGap="resnapshot",
    )
    after.feed(rest)
    whole = Reader(begin, is_mariadb=is_mariadb, definition=TABLES[name], onLogGap="resnapshot").feed(log.events)
    assert behind.rows + after.rows == whole.rows
    again = [batch.again for reader in (behind, after) for batch in reader.batches if batch.again is not None]
    assert again == [batch.again for batch in whole.batches if batch.again is not None]


def behind_at(log: LogPosition) -> FollowedStream:
    shared = LogPosition("binlog.000009", 900)
    return FollowedStream(StreamPosition(log, TABLE, None), shared, None, is_behind=True)


def test_a_stream_is_parked_once_and_keeps_its_own_position_until_it_joins() -> None:
    own, shared = (
        LogPosition("binlog.000002", 50, prepared=("x1",)),
        LogPosition("binlog.000009", 900, others=("x1", "x2")),
    )
    stream = behind_at(own)
    first = stream.park(LogGoneError("first"), shared, 1000.0)
    second = stream.park(LogGoneError("again"), shared, 2000.0)
    assert [incident.kind for batch in (first, second) for incident in batch.incidents] == ["parked"]
    assert first.position == {"log": shared.to_json()}
    assert first.place is not None
    assert first.place["log"] == own.to_json()
    assert first.place["_parked"] == {"reason": "LogPurged", "since": 1000}
    read = StreamPosition.from_json(TABLE.id, {**first.position, **first.place})
    assert (read.log, read.parked) == (own, stream.parked)
    assert stream.warn_of_expiry(4000.0, shared, 2999.0) is None
    warning = stream.warn_of_expiry(4000.0, shared, 3000.0)
    assert warning is not None
    assert [incident.kind for incident in warning.incidents] == ["expiring"]
    assert stream.warn_of_expiry(4000.0, shared, 3999.0) is None
    joined = stream.rejoin(shared)
    assert [incident.kind for incident in joined.incidents] == ["joined"]
    assert joined.place is not None
    assert not {"log", "_parked"} & joined.place.keys()
    assert stream.stand(shared).log == LogPosition("binlog.000009", 900, prepared=("x1",), others=("x2",))


def test_a_stream_that_was_only_left_behind_joins_without_an_incident() -> None:
    stream = behind_at(LogPosition("binlog.000002", 50))
    stream.copy = Progress(("1",), 1)
    joined = stream.rejoin(LogPosition("binlog.000009", 900))
    assert joined.incidents == ()
    assert joined.place is not None
    assert joined.place["copy"] == {"last": ["1"], "done": 1}


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("CREATE TABLE x (id INT)", [("d", "x")]),
        ("create or replace table e.x like y", [("e", "x")]),
        ("CREATE TABLE IF NOT EXISTS `a.b`.`c d` AS SELECT 1", [("a.b", "c d")]),
        ("RENAME TABLE a TO b, e.c TO e.d", [("d", "b"), ("e", "d")]),
        ("ALTER TABLE a RENAME TO b", [("d", "b")]),
        ("ALTER TABLE a ADD COLUMN w INT, RENAME AS e.b", [("e", "b")]),
        ("ALTER TABLE a RENAME COLUMN v TO w", []),
        ("CREATE TEMPORARY TABLE x (id INT)", []),
        ("CREATE VIEW x AS SELECT 1", []),
        ("CREATE INDEX x ON t (v)", []),
        ("DROP TABLE x", []),
        ("INSERT INTO x VALUES (1)", []),
        ("/* by hand */ CREATE TABLE x (id INT)", [("d", "x")]),
        ("-- by hand\nrename table a to b", [("d", "b")]),
        ("SET STATEMENT max_statement_time=1 FOR CREATE TABLE x (id INT)", [("d", "x")]),
        ("SET STATEMENT max_statement_time=1 FOR RENAME TABLE a TO b", [("d", "b")]),
        ("SET PASSWORD FOR u = 'CREATE TABLE x'", []),
        ("ALTER DATABASE d CHARACTER SET utf8mb4", []),
        ("", []),
    ],
)
def test_tables_that_a_statement_brings_into_being(statement: str, names: list[tuple[str, str]]) -> None:
    assert new_tables(statement, "d") == names


def part(rows: int, *, size: int = 1, stream: str = "t") -> Batch:
    return Batch(TABLES[stream].schema, [(key, key) for key in range(rows)], {}, size=size)


INSIDE, BETWEEN = LogPosition("binlog.000001", 90, rows=5, transaction="0-1-7"), LogPosition("binlog.000001", 99)


def test_a_transaction_in_parts_stays_open_up_to_the_stated_size_and_a_cut_is_reported_once() -> None:
    open_ = OpenTransaction(10, 1000, is_cut=False)
    assert open_.take([part(5)], INSIDE) == ()
    assert open_.is_open
    assert open_.take([part(4), part(0, stream="u")], BETWEEN) == ()
    assert not open_.is_open, "it has ended"
    assert open_.take([part(5)], INSIDE) == ()
    (cut,) = open_.take([part(5)], INSIDE)
    assert (cut.kind, cut.detail) == ("cut", {"transaction": "0-1-7", "rows": 10})
    assert not open_.is_open, "it may be committed here"
    assert open_.take([part(1, size=2000)], INSIDE) == ()
    (whole,) = open_.take([part(1)], BETWEEN)
    assert (whole.kind, whole.detail) == ("whole", {"transaction": "0-1-7"})
    assert OpenTransaction(10, 1000, is_cut=False).take([part(1)], BETWEEN) == ()
    resumed = OpenTransaction(10, 1000, is_cut=True)
    assert [incident.kind for incident in resumed.take([part(1)], BETWEEN)] == ["whole"]
