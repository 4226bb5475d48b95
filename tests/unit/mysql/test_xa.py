"""XA transactions: their rows come at the commit, wherever these were prepared, and what a position in between must remember."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector_runner.protocols.batch import Row
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql.binlog.position import Commit, LogPosition
from connector_runner.sources.mysql.log_reader import log_reader as log_module
from connector_runner.sources.mysql.log_reader import prepared as prepared_module
from connector_runner.sources.mysql.log_reader import transaction_buffer
from connector_runner.sources.mysql.log_reader.log_batch import Again, LogBatch
from connector_runner.sources.mysql.log_reader.prepared import file_before
from connector_runner.sources.mysql.snapshot.watermark import ExactBounds, Watermark
from tests.unit.mysql.logs import BOTH, SERVER, TABLE, Log, Reader, resume, start

XA_COMMIT = "XA COMMIT X'7831',X'',1"


def prepared(*, is_mariadb: bool, table: str = "t") -> Log:
    log = Log(is_mariadb=is_mariadb)
    log.begin(10, xa=True)
    log.rows([(1, 1)], table=table)
    log.prepare()
    return log


def committed(log: Log, text: str = XA_COMMIT) -> int:
    """Ends the prepared transaction; returns where that begins among the events."""
    begin = len(log.events)
    log.statement(11, text)
    return begin


def _offset(log: Log, place: int) -> int:
    """Where the events before this one end."""
    return int.from_bytes(log.events[place - 1][13:17], "little") if place else 4


def _place(log: Log, position: LogPosition) -> int:
    """The first event after a position."""
    return next(at for at in range(len(log.events) + 1) if _offset(log, at) >= position.offset)


def follow(log: Log, place: int) -> Reader:
    """A reader of the log that knows nothing of what is before this event."""
    reader = resume(log, replace(start(is_mariadb=log.is_mariadb), offset=_offset(log, place)))
    reader.past = [log.events]
    return reader.feed(log.events[place:])


@BOTH
@pytest.mark.parametrize("is_kept", [True, False])
def test_the_rows_come_with_the_commit(is_mariadb: bool, is_kept: bool) -> None:
    log = prepared(is_mariadb=is_mariadb)
    begin = committed(log)
    reader = resume(log, start(is_mariadb=is_mariadb)).feed(log.events[:begin])
    assert reader.rows == []
    assert reader.position.prepared == ("7831,",)
    if not is_kept:
        reader = resume(log, reader.position)
        reader.past = [log.events]
    reader.feed(log.events[begin:])
    assert reader.rows == [(1, 1)]
    assert reader.searches == (not is_kept)
    assert reader.position.prepared == ()
    assert reader.position.gtids == ("0-1-11" if is_mariadb else f"{SERVER}:1-11")
    assert reader.batches[-1].commits == (
        Commit(1, (0, 1, 11) if is_mariadb else (str(SERVER), 11), "binlog.000001", log.at, "7831,"),
    )


@BOTH
@pytest.mark.parametrize("gaps", ["fail", "resnapshot"])
def test_rows_that_the_log_no_longer_has_are_a_gap_at_each_start(is_mariadb: bool, gaps: str) -> None:
    log = Log(is_mariadb=is_mariadb)
    committed(log)
    for _ in range(2):
        reader = resume(log, start(is_mariadb=is_mariadb), gaps)
        reader.past = [[], log.events]
        if gaps == "resnapshot":
            reader.feed(log.events)
            assert reader.batches[-1].again is Again.RENEW
            continue
        with pytest.raises(ActionRequiredError, match=r"it begins with binlog.000001.* XA COMMIT X'7831'") as failure:
            reader.feed(log.events)
        assert failure.value.reason == "LogGap"
        assert not reader.rows


@BOTH
@pytest.mark.parametrize("is_known", [True, False])
def test_rows_of_another_table_are_nothing(is_mariadb: bool, is_known: bool) -> None:
    log = prepared(is_mariadb=is_mariadb, table="other")
    begin = committed(log)
    reader = follow(log, 0 if is_known else begin)
    assert (reader.rows, reader.position.others, reader.position.prepared) == ([], (), ())
    assert reader.searches == (not is_known)
    assert all(batch.again is None for batch in reader.batches)


@BOTH
def test_they_are_looked_for_in_file_after_file(is_mariadb: bool) -> None:
    first = prepared(is_mariadb=is_mariadb)
    second = Log(is_mariadb=is_mariadb, file="binlog.000002")
    second.start_file("binlog.000002")
    last = Log(is_mariadb=is_mariadb, file="binlog.000003")
    last.start_file("binlog.000003")
    committed(last)
    reader = resume(last, replace(start(is_mariadb=is_mariadb), file="binlog.000003"))
    reader.past = [first.events, second.events, last.events]
    assert reader.feed(last.events).rows == [(1, 1)]


def test_the_files_before() -> None:
    assert file_before("mysql-bin.1.000100") == "mysql-bin.1.000099"
    assert file_before("binlog.1000000") == "binlog.999999"
    assert (file_before("binlog.000001"), file_before("binlog"), file_before("")) == (None, None, None)


@BOTH
def test_a_rollback_leaves_nothing(is_mariadb: bool) -> None:
    log = prepared(is_mariadb=is_mariadb)
    committed(log, "XA ROLLBACK X'7831',X'',1")
    log.begin(12)
    log.rows([(5, 5)])
    log.commit()
    reader = resume(log, start(is_mariadb=is_mariadb)).feed(log.events)
    assert reader.rows == [(5, 5)]
    assert reader.position.prepared == ()
    assert reader.searches == 0


@BOTH
def test_a_statement_in_it_is_a_gap_when_it_commits(is_mariadb: bool) -> None:
    log = Log(is_mariadb=is_mariadb)
    log.begin(10, xa=True)
    log.query("UPDATE t SET v = 1")
    log.prepare()
    begin = committed(log)
    for place in (0, begin):
        with pytest.raises(ActionRequiredError, match="UPDATE t SET v = 1"):
            follow(log, place)


@BOTH
def test_a_large_one_is_handed_over_in_parts_once_it_commits(is_mariadb: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "BATCH_BYTES", 20)
    monkeypatch.setattr(transaction_buffer, "XA_BYTES", 200)
    monkeypatch.setattr(prepared_module, "KEPT_BYTES", 500)
    log = Log(is_mariadb=is_mariadb)
    log.begin(10, xa=True)
    for number in range(50):
        log.rows([(number, number)])
    log.prepare()
    begin = committed(log)
    reader = resume(log, start(is_mariadb=is_mariadb))
    reader.past = [log.events]
    for event in log.events[:begin]:
        reader.feed([event], is_quiet=False)
        assert reader.log_reader.waiting < 25
    assert reader.feed([]).rows == []
    assert reader.position.prepared == ("7831,",)
    reader.feed(log.events[begin:])
    assert (reader.rows, reader.searches) == ([(number, number) for number in range(50)], 1)
    handed = 0
    for batch in reader.batches:  # a crash after any of them
        handed += len(batch.rows)
        again = resume(log, batch.position)
        again.past = [log.events]
        assert again.feed(log.events[_place(log, batch.position) :]).rows == [
            (number, number) for number in range(handed, 50)
        ]


@BOTH
def test_more_than_can_be_held_is_a_gap(is_mariadb: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_module, "FOUND_BYTES", 50)
    log = prepared(is_mariadb=is_mariadb)
    begin = committed(log)
    with pytest.raises(ActionRequiredError, match=r"more than \d+ MB of rows of a prepared transaction"):
        follow(log, begin)


STEP = st.tuples(
    st.sampled_from(["prepare", "prepare", "commit", "commit", "rollback", "plain", "one phase"]),
    st.sampled_from([b"a", b"b", b"c"]), st.lists(st.sampled_from(["t", "u", "other"]), max_size=3),
)  # fmt: skip


def write(plan: list[tuple[str, bytes, list[str]]], *, is_mariadb: bool) -> tuple[Log, dict[str, list[Row]], list[int]]:
    """A log, the rows of each table in the order in which they count, and where each transaction ends among the events."""
    log, number, key = Log(is_mariadb=is_mariadb), 10, 0
    counts: dict[str, list[Row]] = {"t": [], "u": [], "other": []}
    waiting: dict[bytes, list[tuple[str, Row]]] = {}
    ends = []
    for what, xid, tables in plan:
        if what in {"commit", "rollback"}:
            rows = waiting.pop(xid, None)
            if rows is None:
                continue
            log.statement(number, f"XA {what.upper()} X'{xid.hex()}',X'',1")
        else:
            if what == "prepare" and xid in waiting:
                continue
            log.begin(number, xa=what != "plain")
            rows = [(table, (key + place, number)) for place, table in enumerate(tables)]
            for table, row in rows:
                log.rows([row], table=table)
            key += len(rows)
            if what == "plain":
                log.commit()
            else:
                log.prepare(xid, one_phase=what == "one phase")
            if what == "prepare":
                waiting[xid] = rows
        if what not in {"prepare", "rollback"}:
            for table, row in rows:
                counts[table].append(row)
        number += 1
        ends.append(len(log.events))
    return log, counts, ends


@BOTH
@settings(max_examples=60)
@given(plan=st.lists(STEP, min_size=1, max_size=12), kills=st.lists(st.booleans(), min_size=1, max_size=5))
def test_rows_count_in_the_order_of_the_commits_wherever_a_runner_is_killed(
    is_mariadb: bool, plan: list[tuple[str, bytes, list[str]]], kills: list[bool]
) -> None:
    log, counts, ends = write(plan, is_mariadb=is_mariadb)
    tables = {name: replace(TABLE, name=name) for name in ("t", "u")}
    positions = dict.fromkeys(tables, start(is_mariadb=is_mariadb))
    found: dict[str, list[Row]] = {"t": [], "u": []}
    reader, at = None, 0
    for place, end in enumerate(ends):
        if reader is None or kills[place % len(kills)]:
            reader = Reader(positions["t"], (tables["u"], positions["u"]), is_mariadb=is_mariadb)
            reader.past = [log.events]
        reader.feed(log.events[at:end])
        for batch in reader.batches:
            found[batch.definition.name] += batch.rows
            for name in tables:  # the log's position is that of all
                own = batch.position if name == batch.definition.name else positions[name]
                xids = (*batch.log.prepared, *batch.log.others)
                positions[name] = replace(
                    batch.log,
                    prepared=own.prepared,
                    others=tuple(xid for xid in xids if xid not in own.prepared),
                )
        reader.batches.clear()
        at = end
    assert found == {name: counts[name] for name in tables}


def test_a_chunk_of_mariadb_may_lack_what_an_xa_commit_before_it_brought() -> None:
    """Measured: the end of an XA transaction is in the log, and in a snapshot's position, a moment before its rows can be seen."""
    bounds = ExactBounds(LogPosition("binlog.000001", 500, "0-1-12"))
    window = Watermark(bounds, [0])
    rows: list[Row] = [(1, 1), (2, 2)]
    commits = (Commit(1, (0, 1, 11), "binlog.000001", 400), Commit(2, (0, 1, 12), "binlog.000001", 500, "7831,"))
    window.note(LogBatch(TABLE, rows, bytes(2), bounds.position, commits))
    assert window.remaining([(1, 0), (2, 0), (3, 0)]) == [(1, 0), (3, 0)]
