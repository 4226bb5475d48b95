"""Transactions of the log become batches whose positions can be resumed from, whatever the log holds; events made by hand."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql.binlog.position import Commit, LogPosition
from connector_runner.sources.mysql.log_reader import log_reader as log_module
from connector_runner.sources.mysql.log_reader.binlog_decoder import BinlogDecoder
from connector_runner.sources.mysql.log_reader.log_batch import Again
from connector_runner.sources.mysql.types.columns import SourceColumn
from tests.unit.mysql.logs import BOTH, SERVER, TABLE, Log, Reader, resume, start


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "BATCH_BYTES", 20)


@BOTH
def test_a_transaction_is_handed_over_with_the_position_after_it(is_mariadb: bool) -> None:
    log = Log(is_mariadb=is_mariadb)
    log.begin(10)
    log.rows([(1, 1), (2, 2)])
    log.commit()
    reader = resume(log, start(is_mariadb=is_mariadb)).feed(log.events)
    assert reader.rows == [(1, 1), (2, 2)]
    assert reader.position == LogPosition("binlog.000001", log.at, "0-1-10" if is_mariadb else f"{SERVER}:1-10")
    # A copy that begins later may need them: the log is read ahead of it.
    gtid = (0, 1, 10) if is_mariadb else (str(SERVER), 10)
    assert reader.batches[0].commits == (Commit(2, gtid, "binlog.000001", log.at),)


@BOTH
def test_a_statement_of_load_data_is_a_gap(is_mariadb: bool) -> None:
    log = Log(is_mariadb=is_mariadb)
    log.begin(10)
    log.load("LOAD DATA INFILE '/tmp/x' INTO TABLE `t` (id, v)")
    log.commit()
    reader = resume(log, start(is_mariadb=is_mariadb))
    with pytest.raises(ActionRequiredError, match="LOAD DATA INFILE"):
        reader.feed(log.events)
    assert reader.position == start(is_mariadb=is_mariadb)


@BOTH
def test_what_statements_change_is_copied_once_their_transaction_is_over(is_mariadb: bool) -> None:
    """A copy that is read before the commit does not show it."""
    log = Log(is_mariadb=is_mariadb)
    log.begin(10)
    log.query("UPDATE t SET v = 1")
    reader = resume(log, start(is_mariadb=is_mariadb), gaps="resnapshot").feed(log.events)
    assert not reader.batches or reader.batches[-1].again is None
    seen = len(log.events)
    log.rows([(1, 1)])
    log.commit()
    reader.feed(log.events[seen:])
    assert reader.batches[-1].again is Again.RENEW
    assert reader.batches[-1].position.gtids == ("0-1-10" if is_mariadb else f"{SERVER}:1-10")


def test_a_transaction_that_the_server_did_not_finish_writing_never_happened() -> None:
    log = Log(is_mariadb=True)
    log.begin(10)
    log.rows([(1, 1)])
    log.start_file("binlog.000002")
    log.begin(10)
    log.rows([(2, 2)])
    log.commit()
    reader = resume(log, start(is_mariadb=True)).feed(log.events)
    assert reader.rows == [(2, 2)]
    assert reader.position == LogPosition("binlog.000002", log.at, "0-1-10")


@pytest.mark.usefixtures("small_batches")
def test_an_unfinished_transaction_that_was_applied_in_part_is_a_gap() -> None:
    log = Log(is_mariadb=True)
    log.begin(10)
    log.rows([(1, 1), (2, 2), (3, 3)])
    log.start_file("binlog.000002")
    log.begin(10)
    log.rows([(9, 9)])
    log.commit()
    reader = resume(log, start(is_mariadb=True))
    for _ in range(2):
        with pytest.raises(ActionRequiredError, match="has no end in the log"):
            reader.feed(log.events)
        reader = resume(log, reader.position)
    again = resume(log, reader.position, gaps="resnapshot").feed(log.events)
    assert Again.RENEW in [batch.again for batch in again.batches]
    assert again.rows == [(9, 9)]


@BOTH
@pytest.mark.usefixtures("small_batches")
def test_rows_of_another_transaction_are_never_left_out(is_mariadb: bool) -> None:
    """A server that took over may have transactions in another order."""
    log = Log(is_mariadb=is_mariadb)
    log.begin(11)
    log.rows([(1, 1), (2, 2)])
    reader = resume(log, start(is_mariadb=is_mariadb)).feed(log.events)
    assert reader.position.rows == 2
    assert reader.position.transaction == ("0-1-11" if is_mariadb else f"{SERVER}:11")
    other = Log(is_mariadb=is_mariadb)
    other.begin(10)
    other.rows([(7, 7), (8, 8), (9, 9)])
    other.commit()
    with pytest.raises(ActionRequiredError, match="not the one that comes next"):
        resume(other, reader.position).feed(other.events)


@BOTH
@pytest.mark.usefixtures("small_batches")
def test_a_rollback_to_a_savepoint_after_a_part_was_applied_is_a_gap(is_mariadb: bool) -> None:
    log = Log(is_mariadb=is_mariadb)
    log.begin(10)
    log.query("SAVEPOINT s")
    log.rows([(1, 1), (2, 2)])
    log.query("ROLLBACK TO `s`")
    log.commit()
    reader = resume(log, start(is_mariadb=is_mariadb))
    with pytest.raises(ActionRequiredError, match="ROLLBACK TO"):
        reader.feed(log.events)
    again = resume(log, reader.position, gaps="resnapshot").feed(log.events)
    assert again.batches[-1].again is Again.RENEW
    assert again.rows == []


@BOTH
def test_rows_without_all_columns_are_a_gap(is_mariadb: bool) -> None:
    log = Log(is_mariadb=is_mariadb)
    log.begin(10)
    log.rows([(1, 1)], present=1)
    log.commit()
    with pytest.raises(ActionRequiredError, match="binlog_row_image") as failure:
        resume(log, start(is_mariadb=is_mariadb)).feed(log.events)
    assert failure.value.reason == "IncompleteRows"
    again = resume(log, start(is_mariadb=is_mariadb), gaps="resnapshot").feed(log.events)
    assert again.batches[-1].again is Again.RENEW


@pytest.mark.parametrize("is_more", [False, True], ids=["update", "update-and-insert"])
@pytest.mark.parametrize("gaps", ["fail", "resnapshot"])
def test_rows_that_never_have_their_generated_columns_are_for_a_person(gaps: str, is_more: bool) -> None:
    """As MariaDB 11.8 logs updates, and what one statement inserts after them: a copy would be followed by another one, for ever."""
    columns = (TABLE.columns[0], replace(TABLE.columns[1], is_generated=True))
    log = Log(is_mariadb=True)
    log.begin(10)
    log.update((1, 1), (1, 2), present=1)
    if is_more:
        log.rows([(2, 2)], present=1)
    log.commit()
    reader = Reader(start(is_mariadb=True), is_mariadb=True, definition=replace(TABLE, columns=columns), onLogGap=gaps)
    with pytest.raises(ActionRequiredError, match=r"without generated columns \(v\)") as failure:
        reader.feed(log.events)
    assert failure.value.reason == "IncompleteRows"
    assert reader.rows == []


def test_an_insert_without_generated_columns_is_one_session_s() -> None:
    """With binlog_row_image = MINIMAL they are left out where nothing else is: a copy makes that good."""
    columns = (TABLE.columns[0], replace(TABLE.columns[1], is_generated=True))
    log = Log(is_mariadb=True)
    log.begin(10)
    log.rows([(1, 1)], present=1)
    log.commit()
    reader = Reader(
        start(is_mariadb=True), is_mariadb=True, definition=replace(TABLE, columns=columns), onLogGap="resnapshot"
    )
    assert reader.feed(log.events).batches[-1].again is Again.RENEW


def test_a_lost_events_incident_is_met_at_each_start() -> None:
    log = Log()
    log.add(26, b"\1\0\0")
    reader = Reader(LogPosition("binlog.000001", 4), has_gtids=False)
    for _ in range(2):
        with pytest.raises(ActionRequiredError, match="incident"):
            reader.feed(log.events)
        assert reader.position == LogPosition("binlog.000001", 4)


@pytest.mark.parametrize("has_gtids", [True, False])
def test_a_position_without_gtids_never_gets_a_set_with_holes(has_gtids: bool) -> None:
    log = Log()
    log.begin(10)
    log.commit()
    reader = Reader(LogPosition("binlog.000001", 4), has_gtids=has_gtids).feed(log.events)
    assert reader.position == LogPosition("binlog.000001", log.at)


def test_numbers_of_tables_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector_runner.sources.mysql.log_reader.binlog_decoder.REMEMBERED", 0)
    log = Log()
    for number in (10, 11):
        log.begin(number)
        log.rows([(1, 1)], table="other")
        log.rows([(number, 1)])
        log.commit()
    reader = resume(log, start(is_mariadb=False)).feed(log.events)
    assert reader.rows == [(10, 1), (11, 1)]


# What a random log is made of: how many rows a transaction has, in how many events; 0 rows: one of another table.
TRANSACTIONS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), min_size=1, max_size=5)


@BOTH
@given(plan=TRANSACTIONS, data=st.data())
def test_a_crash_anywhere_neither_loses_nor_repeats_a_row(
    is_mariadb: bool, plan: list[list[int]], data: st.DataObject
) -> None:
    """Also at positions that come without rows, and again and again inside one transaction."""
    log = Log(is_mariadb=is_mariadb)
    starts, key = [], 0
    for number, sizes in enumerate(plan, 10):
        starts.append(len(log.events))
        log.begin(number)
        for size in sizes:
            log.rows([(key + n, 0) for n in range(size)] or [(0, 0)], table="t" if size else "other")
            key += size
        log.commit()
    position, seen, done = start(is_mariadb=is_mariadb), [], 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_module, "BATCH_BYTES", 25)
        while done < len(log.events):
            # The server sends what comes after the last whole transaction of the position.
            applied = int(re.findall(r"\d+$", position.gtids)[0])
            first = ([*starts, len(log.events)])[applied - 9]
            done = data.draw(st.integers(done + 1, len(log.events)), label="crash before event")
            reader = resume(log, position)
            for event in log.events[first:done]:
                reader.feed([event], is_quiet=data.draw(st.booleans(), label="nothing more has arrived"))
            if done == len(log.events):
                reader.feed([])
            seen += reader.rows
            position = reader.position
    assert [row[0] for row in seen] == list(range(key))


def test_an_event_that_nobody_knows_is_told_unless_it_may_be_passed_over() -> None:
    log = Log()
    log.add(99, b"future", flags=0x80)
    log.add(160, b"UPDATE t")
    reader = Reader(LogPosition("binlog.000001", 4), has_gtids=False).feed(log.events)
    log.add(99, b"future")
    with pytest.raises(ActionRequiredError, match="unknown type 99") as failure:
        reader.feed(log.events[2:])
    assert failure.value.reason == "UnknownEvent"


def test_rows_that_nothing_describes_are_never_left_out() -> None:
    """What was decided does not fit the map either."""
    log = Log()
    log.begin(10)
    log.rows([(1, 1)])
    wrong = replace(TABLE, columns=(*TABLE.columns, SourceColumn("x", "int")))
    decoder = BinlogDecoder(wrong, start(is_mariadb=False), is_mariadb=False)
    for event in log.events[:3]:
        decoder.take_in(event, 0, len(event), 0)
    assert decoder.interruption is not None
    with pytest.raises(ActionRequiredError, match="fits no known definition") as failure:
        decoder.adopt(wrong)
    assert failure.value.reason == "UnknownDefinition"
