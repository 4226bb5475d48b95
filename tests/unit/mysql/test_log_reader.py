"""The log reader without a server: bytes cut anywhere in, batches out, questions out and their answers in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.protocols.batch import Row
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.log_reader.log_batch import Again, LogBatch
from connector_runner.sources.mysql.log_reader.log_reader import LogReader
from connector_runner.sources.mysql.log_reader.questions import Answer, DescribeTable, LookAhead
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.types.columns import SourceColumn
from connector_runner.sources.mysql.types.table import FoundTable
from tests.unit.mysql.logs import SERVER, TABLE, Log, packet, settings

START = LogPosition("binlog.000001", 4, f"{SERVER}:1-9")
END = b"\1\0\0\0\xfe"
ALTER = "ALTER TABLE t ADD COLUMN w INT"
WIDER = FoundTable(
    replace(TABLE, columns=(*TABLE.columns, SourceColumn("w", "int", nullable=True))), "BASE TABLE", "InnoDB"
)


def open_reader(**options: str) -> LogReader:
    server = Server(is_mariadb=False, variables={"gtid_mode": "ON"})
    return LogReader(settings(**options), server, TABLE, START)


def stream(log: Log) -> bytes:
    return b"".join(map(packet, log.events))


def drive(reader: LogReader, data: bytes, later: bytes = END, answers: tuple[Answer, ...] = ()) -> list[LogBatch]:
    """All that comes of some bytes; the table's descriptions are answered in order, what lies ahead with `later`."""
    waiting, found = list(answers), []
    reader.receive_data(data)
    while True:
        batches, questions = reader.events_received(), reader.questions_to_ask()
        found += batches
        if not batches and not questions:
            reader.receive_idle()
            return found + reader.events_received()
        for question in questions:
            match question:
                case DescribeTable():
                    assert (question.database, question.name) == ("d", "t")
                    reader.receive_answer(waiting.pop(0) if len(waiting) > 1 else waiting[0])
                case LookAhead():
                    question.lookahead.receive_data(later)
                    assert question.lookahead.is_done
                    reader.receive_answer(None)


def transactions(count: int) -> Log:
    log = Log()
    for number in range(count):
        log.begin(10 + number)
        log.rows([(number, number), (number + 1000, 1)])
        log.commit()
    return log


@given(st.integers(1, 6), st.lists(st.integers(1, 60), min_size=1, max_size=12))
def test_bytes_may_be_cut_anywhere(count: int, cuts: list[int]) -> None:
    log = transactions(count)
    data, whole, pieces, at, place = stream(log), open_reader(), open_reader(), 0, 0
    expected = [row for batch in drive(whole, data) for row in batch.rows]
    rows: list[Row] = []
    while at < len(data):
        size = cuts[place % len(cuts)]
        rows += [row for batch in drive(pieces, data[at : at + size]) for row in batch.rows]
        at, place = at + size, place + 1
    assert rows == expected == [row for n in range(count) for row in ((n, n), (n + 1000, 1))]


def test_a_changed_table_is_asked_for_and_the_log_goes_on_with_the_answer() -> None:
    log = transactions(1)
    log.statement(11, ALTER)
    reader = open_reader()
    batches = drive(reader, stream(log), answers=(WIDER,))
    assert [(len(batch.rows), batch.definition) for batch in batches] == [(2, TABLE), (0, WIDER.definition)]
    assert batches[-1].position.gtids == f"{SERVER}:1-11"
    assert batches[-1].again is None, "a new column that may be NULL changes no old row"


def test_a_table_that_changes_while_it_is_asked_for_is_asked_for_again() -> None:
    """Description, log and description must be of one moment."""
    log = Log()
    log.statement(11, ALTER)
    other = replace(WIDER, definition=TABLE)
    batches = drive(open_reader(), stream(log), answers=(other, WIDER))
    assert batches[-1].definition == WIDER.definition


def test_a_later_statement_without_names_in_the_log_is_told_with_both() -> None:
    log, later = Log(), Log()
    log.statement(11, ALTER)
    later.begin(12)
    later.rows([(1, 1)])
    later.commit()
    later.statement(13, "ALTER TABLE t DROP COLUMN w")
    # The statement itself comes first again: the look ahead begins at the position before it.
    with pytest.raises(ConnectorError, match=r"ADD COLUMN w.*DROP COLUMN w") as failure:
        drive(open_reader(), stream(log), later=stream(log) + stream(later), answers=(FoundTable(TABLE, "BASE TABLE"),))
    assert failure.value.reason == "UnknownDefinition"


@pytest.mark.parametrize(
    ("statement", "reason"), [("DROP TABLE t", "TableGone"), ("INSERT INTO t VALUES (1, 1)", "LogGap")]
)
def test_rows_before_a_statement_that_ends_the_stream_are_handed_over(statement: str, reason: str) -> None:
    log = transactions(2)
    log.statement(12, statement)
    reader = open_reader()
    reader.receive_data(stream(log))
    assert [len(batch.rows) for batch in reader.events_received()] == [4]
    for _ in range(2):  # and is met again by whoever goes on
        with pytest.raises(ActionRequiredError) as failure:
            reader.events_received()
        assert failure.value.reason == reason


def test_what_the_log_does_not_show_needs_no_server_where_a_copy_is_allowed() -> None:
    log = Log()
    log.statement(12, "INSERT INTO t VALUES (1, 1)")
    batches = drive(open_reader(onLogGap="resnapshot"), stream(log))
    assert batches[-1].again is Again.RENEW


def test_the_end_of_the_stream_comes_after_its_rows() -> None:
    reader = open_reader()
    assert [len(batch.rows) for batch in drive(reader, stream(transactions(1)))] == [2]
    reader.receive_data(END)
    with pytest.raises(TransientError, match="ended the stream"):
        reader.events_received()


def test_only_the_read_end_of_the_log_is_marked_as_such() -> None:
    reader = open_reader()
    reader.receive_data(stream(transactions(1)))
    assert reader.events_received() == []
    reader.receive_idle()
    assert [batch.is_at_end for batch in reader.events_received()] == [True]


T = frozenset({("d", "t")})


def at(number: int) -> LogPosition:
    return LogPosition(gtids=f"{SERVER}:1-{number}")


def test_a_table_that_is_gone_without_a_statement_is_told_once_the_log_is_read_up_to_then() -> None:
    """The server was asked when its log had one more transaction than what has arrived."""
    log, reader = transactions(2), open_reader()
    assert reader.tables == [("d", "t")]
    data = stream(log)
    size = len(stream(transactions(1)))
    drive(reader, data[:size])
    reader.receive_missing(T, at(11))
    assert drive(reader, b"") == []
    reader.receive_data(data[size:])
    assert reader.events_received() == []
    reader.receive_idle()
    assert [len(batch.rows) for batch in reader.events_received()] == [2]  # all rows come before the error
    with pytest.raises(
        ActionRequiredError, match=r"d\.t is gone, and the log has no statement that removed it"
    ) as raised:
        reader.events_received()
    assert raised.value.reason == "TableGone"


def test_a_table_that_the_log_shows_to_be_gone_is_told_by_its_statement() -> None:
    log, reader = transactions(1), open_reader()
    reader.receive_missing(T, at(11))
    log.statement(11, "DROP TABLE t")
    with pytest.raises(ActionRequiredError, match="dropped by: DROP TABLE t"):
        drive(reader, stream(log))


def test_a_table_that_the_log_shows_to_be_another_one_is_not_missed() -> None:
    log, reader = transactions(1), open_reader(onLogGap="resnapshot")
    reader.receive_missing(T, at(12))
    log.statement(11, "CREATE OR REPLACE TABLE t (id INT PRIMARY KEY, v INT)")
    log.statement(12, "DO 1")
    found = drive(reader, stream(log), answers=(FoundTable(TABLE, "BASE TABLE", "InnoDB"),))
    assert [batch.again for batch in found if batch.again] == [Again.RENEW]
    assert drive(reader, b"") == []


def test_a_name_that_is_not_followed_is_not_missed() -> None:
    reader = open_reader()
    reader.receive_missing(frozenset({("d", "other")}), at(9))
    assert [batch.rows for batch in drive(reader, b"")] == [[]]


def test_a_table_that_may_not_be_read_is_left_out_if_it_is_so_twice() -> None:
    server = Server(is_mariadb=False, variables={"gtid_mode": "ON"})
    other = replace(TABLE, name="u")
    reader = LogReader(settings(), server, TABLE, START, (other, START), isolates=True)
    reader.receive_denied(T)
    assert reader.has_doubts
    assert [batch.failure for batch in drive(reader, b"")] == [None]
    reader.receive_denied(frozenset())
    assert not reader.has_doubts, "it was granted again"
    reader.receive_denied(T)
    reader.receive_denied(T | {("d", "elsewhere")})
    assert reader.has_doubts
    failed = [batch for batch in drive(reader, b"") if batch.failure is not None]
    assert [(batch.definition.id, batch.failure.reason) for batch in failed] == [("d.t", "MissingGrant")]
    assert reader.tables == [("d", "u")]


def test_the_last_part_of_a_transaction_comes_before_a_table_is_left_out() -> None:
    server = Server(is_mariadb=False, variables={"gtid_mode": "ON"})
    reader = LogReader(settings(), server, TABLE, START, (replace(TABLE, name="u"), START), isolates=True)
    reader.receive_denied(T)
    data = stream(transactions(1))
    found = drive(reader, data[: len(data) - 40])
    reader.receive_denied(T)
    found += drive(reader, b"")
    assert not [batch for batch in found if batch.failure is not None], "it is in the middle of a transaction"
    reader.receive_denied(T)
    found = drive(reader, data[len(data) - 40 :]) + drive(reader, b"")
    assert [batch.failure is not None for batch in found if batch.rows or batch.failure][-1]
    assert sum(len(batch.rows) for batch in found) == 2


def test_a_table_alone_goes_on_without_the_right_to_read_it() -> None:
    reader = open_reader()
    reader.receive_denied(T)
    reader.receive_denied(T)
    assert not reader.has_doubts
    assert [batch.failure for batch in drive(reader, b"")] == [None]


FOUND = FoundTable(TABLE, "BASE TABLE")


@pytest.mark.parametrize("statement", ["DROP TABLE t", "RENAME TABLE t TO away"])
@pytest.mark.parametrize("later", ["CREATE TABLE t (id INT)", "RENAME TABLE other TO t", ""])
def test_a_table_that_is_there_again_is_copied_once(statement: str, later: str) -> None:
    """By the statement that brings it back, if the log has it: a CREATE TABLE IF NOT EXISTS means nothing by itself."""
    log, following = Log(), Log()
    log.statement(12, statement)
    if later:
        following.statement(13, later)
    data = stream(log) + stream(following)
    batches = drive(open_reader(onLogGap="resnapshot"), data, later=data + END, answers=(FOUND,))
    assert [batch.again for batch in batches if batch.again] == [Again.RENEW]
    incidents = [incident for batch in batches for incident in batch.incidents]
    assert [incident.kind for incident in incidents] == ["resnapshot"]
    assert (later or statement) in incidents[0].message


def test_only_where_no_other_table_waits_the_log_waits_for_a_table_to_come_back() -> None:
    log = Log()
    log.statement(12, "DROP TABLE t")
    for isolates in (True, False):
        server = Server(is_mariadb=False, variables={"gtid_mode": "ON"})
        reader = LogReader(settings(onLogGap="resnapshot"), server, TABLE, START, isolates=isolates)
        reader.receive_data(stream(log))
        while reader.events_received():
            pass
        (question,) = reader.questions_to_ask()
        assert isinstance(question, DescribeTable)
        assert (question.patience > 0) is not isolates


def test_a_table_that_does_not_come_back_is_told_by_its_statement() -> None:
    log = Log()
    log.statement(12, "DROP TABLE t")
    with pytest.raises(ActionRequiredError, match=r"was dropped by: DROP TABLE t") as raised:
        drive(open_reader(onLogGap="resnapshot"), stream(log), answers=(None,))
    assert raised.value.reason == "TableGone"
