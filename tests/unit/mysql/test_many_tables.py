"""One reader of several tables gives each table what a reader of its own would give it; events made by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector_runner.protocols.batch import Row
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql.binlog.events import Event
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.binlog.shared_position import join, own_part
from connector_runner.sources.mysql.log_reader import log_reader as log_module
from connector_runner.sources.mysql.log_reader.log_batch import Again, LogBatch
from connector_runner.sources.mysql.types.table import TableDefinition
from tests.unit.mysql.logs import SERVER, TABLE, Log, Reader

BOTH = pytest.mark.parametrize("is_mariadb", [False, True], ids=["mysql", "mariadb"])
NAMES = ("t", "u", "w")
TABLES = {name: replace(TABLE, name=name) for name in NAMES}


def start(*, is_mariadb: bool) -> LogPosition:
    return LogPosition("binlog.000001", 4, "0-1-9" if is_mariadb else f"{SERVER}:1-9")


class Held:
    """What a dataset would hold: the place in the log once, and of each table its own part and its rows."""

    def __init__(self, position: LogPosition) -> None:
        self.log = position
        self.own: dict[str, dict[str, Any]] = {name: {} for name in NAMES}
        self.rows: dict[str, list[Row]] = {name: [] for name in NAMES}
        self.again: dict[str, list[Again]] = {name: [] for name in NAMES}

    def store(self, batches: list[LogBatch]) -> None:
        assert not batches or not batches[-1].has_more, "a group is handed over whole"
        for batch in batches:
            name = batch.definition.name
            self.log = LogPosition.from_json(json.loads(json.dumps(batch.log.to_json())))
            self.own[name] = json.loads(json.dumps(own_part(batch.position, batch.log)))
            self.rows[name] += batch.rows
            if batch.again is not None:
                self.again[name].append(batch.again)

    def position(self, name: str) -> LogPosition:
        return join(self.log, self.own[name])


def read_all(held: Held, *, is_mariadb: bool, isolates: bool = False, gaps: str = "resnapshot") -> Reader:
    first, *others = [(TABLES[name], held.position(name)) for name in NAMES]
    return Reader(first[1], *others, is_mariadb=is_mariadb, definition=first[0], isolates=isolates, onLogGap=gaps)


# A step of a transaction: rows of a table (d: one that nobody follows), or a statement in its midst.
STEP = st.one_of(
    st.tuples(st.sampled_from(["t", "u", "w", "other"]), st.integers(1, 3)),
    st.sampled_from(["UPDATE t SET v = 1", "INSERT INTO w SELECT * FROM u", "DELETE FROM d.other", "SAVEPOINT s", "ROLLBACK TO s"]),
)  # fmt: skip
ALONE = st.sampled_from([
    "TRUNCATE t", "TRUNCATE TABLE d.w", "CREATE TABLE x (id INT)", "CREATE OR REPLACE TABLE x (t INT)", "INSERT INTO t SELECT * FROM u, w", "GRANT SELECT ON t TO x",
])  # fmt: skip
ENDS = st.sampled_from(["commit", "commit", "commit", "rollback", "xa", "xa commit", "xa rollback"])
TRANSACTION = st.one_of(ALONE, st.tuples(st.lists(STEP, max_size=6), ENDS))


def write(log: Log, plan: list[Any]) -> list[int]:
    """Writes a log; returns where each of its transactions starts."""
    starts, number, key = [], 10, 0
    for each in plan:
        starts.append(len(log.events))
        if isinstance(each, str):
            log.statement(number, each)
            number += 1
            continue
        steps, end = each
        is_xa = end.startswith("xa")
        log.begin(number, xa=is_xa)
        for step in steps:
            if isinstance(step, tuple):
                table, count = step
                log.rows([(key + place, number) for place in range(count)], table=table)
                key += count
            else:
                log.query(step)
        number += 1
        if is_xa:
            log.prepare()
            if end != "xa":
                starts.append(len(log.events))
                log.statement(number, f"{end.upper()} X'7831',X'',1")
                number += 1
        elif end == "commit":
            log.commit()
        else:
            log.query("ROLLBACK")
    return starts


@BOTH
@settings(max_examples=60)
@given(plan=st.lists(TRANSACTION, min_size=1, max_size=8), quiet=st.lists(st.booleans(), min_size=1, max_size=20))
def test_a_reader_of_many_tables_gives_what_readers_of_one_give(
    is_mariadb: bool, plan: list[Any], quiet: list[bool]
) -> None:
    log = Log(is_mariadb=is_mariadb)
    write(log, plan)
    begin = start(is_mariadb=is_mariadb)
    held = Held(begin)
    many = read_all(held, is_mariadb=is_mariadb)
    alone = {
        name: Reader(begin, is_mariadb=is_mariadb, definition=TABLES[name], onLogGap="resnapshot") for name in NAMES
    }
    for place, event in enumerate(log.events):
        is_quiet = quiet[place % len(quiet)]
        for reader in (many, *alone.values()):
            reader.feed([event], is_quiet=is_quiet)
        held.store(many.batches)
        many.batches.clear()
        if is_quiet:
            for name, reader in alone.items():
                assert held.position(name) == reader.position
                assert held.rows[name] == reader.rows
                assert held.again[name] == [batch.again for batch in reader.batches if batch.again is not None]


@BOTH
@pytest.mark.parametrize("has_gtids", [True, False])
@settings(max_examples=40)
@given(
    plan=st.lists(
        st.lists(st.tuples(st.sampled_from(["t", "u", "w", "other"]), st.integers(1, 3)), max_size=6),
        min_size=1,
        max_size=5,
    ),
    data=st.data(),
)
def test_a_crash_anywhere_neither_loses_nor_repeats_a_row_of_any_table(
    is_mariadb: bool, has_gtids: bool, plan: list[Any], data: st.DataObject
) -> None:
    """Also inside large transactions, that are handed over in parts, and with other tables after each crash."""
    log = Log(is_mariadb=is_mariadb)
    starts = write(log, [(steps, "commit") for steps in plan])
    begin = start(is_mariadb=is_mariadb)
    held = Held(begin if has_gtids else replace(begin, gtids=""))
    ends = [int.from_bytes(event[13:17], "little") for event in log.events]
    done = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_module, "BATCH_BYTES", 25)
        while done < len(log.events):
            # The server sends what comes after the last whole transaction of the position.
            first = next((at for at in starts if (ends[at - 1] if at else 4) >= held.log.offset), len(log.events))
            done = data.draw(
                st.integers(max(first, done) + 1, len(log.events)) if first < len(log.events) else st.just(first)
            )
            reader = read_all(held, is_mariadb=is_mariadb)
            for event in log.events[first:done]:
                reader.feed([event], is_quiet=data.draw(st.booleans(), label="nothing more has arrived"))
            if done == len(log.events):
                reader.feed([])
            held.store(reader.batches)
    expected: dict[str, int] = dict.fromkeys([*NAMES, "other"], 0)
    for steps in plan:
        for table, count in steps:
            expected[table] += count
    for name in NAMES:
        keys = [row[0] for row in held.rows[name]]
        assert keys == sorted(set(keys))
        assert len(keys) == expected[name]


def handed_over(tables: list[str], rows: int) -> list[int]:
    """The numbers of rows that are handed over together, of one-row transactions to tables in turn."""
    log = Log()
    for number in range(rows):
        log.begin(10 + number)
        log.rows([(number, 1)], table=tables[number % len(tables)])
        log.commit()
    begin = start(is_mariadb=False)
    first, *others = [(replace(TABLE, name=name), begin) for name in tables]
    reader = Reader(first[1], *others, is_mariadb=False, definition=first[0], isolates=True, onLogGap="resnapshot")
    groups = [0]
    for batch in reader.feed(log.events).batches:
        groups[-1] += len(batch.rows)
        if not batch.has_more:
            groups.append(0)
    return [count for count in groups if count]


def test_more_rows_are_collected_for_many_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "BATCH_BYTES", 400)
    one, few, many = (handed_over([f"t{number}" for number in range(count)], 600) for count in (1, 33, 300))
    assert sum(one) == sum(few) == sum(many) == 600
    assert one[0] < few[0] < 2 * one[0], "half as much again for 32 tables more"
    assert 2 * one[0] < many[0] <= log_module.MOST_TIMES * one[0], "and never more than so many times as much"


def test_the_rows_of_a_transaction_over_tables_are_one_group() -> None:
    log = Log()
    log.begin(10)
    log.rows([(1, 1)], table="u")
    log.rows([(2, 2)])
    log.rows([(3, 3)], table="u")
    log.commit()
    reader = read_all(Held(start(is_mariadb=False)), is_mariadb=False).feed(log.events)
    assert [(batch.definition.name, batch.rows, batch.has_more) for batch in reader.batches] == [
        ("u", [(1, 1), (3, 3)], True),
        ("t", [(2, 2)], False),
    ]


def test_a_table_that_is_described_anew_in_a_statement_leaves_the_others_their_rows() -> None:
    """A statement on two tables names both before the rows of either."""
    log = Log()
    log.begin(10)
    numbers = {name: log.map(name) for name in ("t", "u")}
    log.add(30, numbers["t"] + b"\2\0\2\xff\xfc\1\0\0\0\1\0\0\0")
    log.add(30, numbers["u"] + b"\2\0\2\xff\xfc\2\0\0\0\2\0\0\0")
    log.commit()
    wrong = replace(TABLES["u"], columns=TABLE.columns[:1])
    begin = start(is_mariadb=False)
    reader = Reader(begin, (wrong, begin), definition=TABLES["t"])
    reader.log_reader._decoder.tables["d", "u"].definition = wrong
    decoder = reader.log_reader._decoder
    for event in log.events:
        decoder.take_in(event, 0, len(event), 0)
        if decoder.interruption is not None:
            decoder.adopt(TABLES["u"])
    assert {batch.definition.name: batch.rows for batch in decoder.take()} == {"t": [(1, 1)], "u": [(2, 2)]}


@BOTH
@pytest.mark.parametrize(
    "statement", ["DROP TABLE u", "RENAME TABLE u TO _u_old, _u_new TO u", "INSERT INTO u VALUES (1, 1)"]
)
def test_a_table_that_cannot_be_followed_stands_aside_and_the_others_go_on(is_mariadb: bool, statement: str) -> None:
    log = Log(is_mariadb=is_mariadb)
    log.begin(10)
    log.rows([(1, 1)], table="u")
    log.rows([(1, 1)])
    log.commit()
    before = log.at
    log.statement(11, statement)
    log.begin(12)
    log.rows([(2, 2)], table="u")
    log.rows([(2, 2)])
    log.commit()
    held = Held(start(is_mariadb=is_mariadb))
    reader = read_all(held, is_mariadb=is_mariadb, isolates=True, gaps="fail").feed(log.events)
    (left,) = [batch for batch in reader.batches if batch.failure is not None]
    assert left.definition.name == "u"
    assert isinstance(left.failure, ActionRequiredError)
    assert statement in left.failure.message
    assert (left.position.offset, left.position.gtids[-2:]) == (before, "10")
    held.store(reader.batches)
    assert held.rows == {"t": [(1, 1), (2, 2)], "u": [(1, 1)], "w": []}
    # It is met again by a reader of its own, from where it stands.
    alone = Reader(left.position, is_mariadb=is_mariadb, definition=TABLES["u"])
    with pytest.raises(ActionRequiredError):
        alone.feed(
            log.events[
                next(at for at, event in enumerate(log.events) if int.from_bytes(event[13:17], "little") > before) :
            ]
        )


def test_rows_that_cannot_be_read_leave_their_table_at_the_last_transaction_before() -> None:
    log = Log()
    log.begin(10)
    log.rows([(1, 1)], table="u")
    log.commit()
    before = log.at
    log.begin(11)
    log.rows([(2, 2)], table="u")
    log.add(Event.WRITE_ROWS, log.map("u") + b"\2\0\2\xff\xfc\1")  # cut off
    log.rows([(3, 3)])
    log.commit()
    held = Held(start(is_mariadb=False))
    reader = read_all(held, is_mariadb=False, isolates=True).feed(log.events)
    (left,) = [batch for batch in reader.batches if batch.failure is not None]
    assert left.position == LogPosition("binlog.000001", before, f"{SERVER}:1-10")
    held.store(reader.batches)
    assert held.rows == {"t": [(3, 3)], "u": [(1, 1)], "w": []}


def test_an_xa_commit_has_rows_of_the_tables_that_it_changed() -> None:
    log = Log()
    log.begin(10, xa=True)
    log.rows([(1, 1)], table="u")
    log.prepare()
    log.statement(11, "XA COMMIT X'7831',X'',1")
    held = Held(start(is_mariadb=False))
    reader = read_all(held, is_mariadb=False).feed(log.events[:-2])
    held.store(reader.batches)
    assert held.own == {"t": {}, "u": {"prepared": ["7831,"]}, "w": {}}
    reader = read_all(held, is_mariadb=False)
    reader.past = [log.events]
    held.store(reader.feed(log.events[-2:]).batches)
    assert held.rows == {"t": [], "u": [(1, 1)], "w": []}
    assert held.own["u"] == {}


def test_a_table_that_was_not_followed_when_a_transaction_was_prepared_may_have_rows_of_it() -> None:
    begin = replace(start(is_mariadb=False), others=("7831,",))
    log = Log()
    log.statement(11, "XA COMMIT X'7831',X'',1")
    added: tuple[TableDefinition, LogPosition] = TABLES["u"], replace(begin, others=())
    reader = Reader(begin, added, onLogGap="resnapshot").feed(log.events)
    assert [batch.definition.name for batch in reader.batches if batch.again] == ["u"]
