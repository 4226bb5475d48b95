"""What the ledger says for a selection of streams, as statements, without a database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connector_runner.datasets.fencing import Holder
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.lost import report_lost
from connector_runner.datasets.places import Kept, encode_place, is_apart, place_in, whole_of
from connector_runner.datasets.procedure import Statement
from connector_runner.datasets.sqlite.dialect import DIALECT
from connector_runner.protocols.batch import Batch
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import SinkContext, Transaction
from connector_runner.protocols.types import INT64

PLACE = {"copy": 1}


def ledger_of(count: int) -> Ledger:
    tables = {f"s{number}": f"t{number}" for number in range(count)}
    return Ledger(SinkContext(lambda: "sqlite:///x.db", tables, "d/c", is_selection=True), DIALECT)


def of(stream: str, number: int, place: dict[str, Any], **more: Any) -> Batch:
    schema = StreamSchema(stream, (Column("k", INT64),), ("k",), **more)
    return Batch(schema, [(number,)], {"next": number}, place=place)


def written(statements: list[Statement]) -> list[object]:
    return [value for statement in statements for value in (statement.sql, *statement.parameters)]


def test_what_a_commit_writes_does_not_grow_with_idle_streams() -> None:
    sizes = []
    for count in (2, 1000):
        ledger = ledger_of(count)
        ledger.advance(Transaction(1, tuple(of(stream, 1, PLACE) for stream in ledger.streams), "x"))
        said = ledger.advance(Transaction(2, (of("s1", 2, PLACE), of("s0", 3, PLACE)), "x"))
        assert len(said) == 1, "only the anchor moves"
        sizes.append(len(str(written(said))))
    assert sizes[0] == sizes[1]


def test_only_a_place_or_a_schema_that_changed_is_stored() -> None:
    ledger = ledger_of(3)
    first = ledger.advance(Transaction(1, (of("s0", 1, PLACE), of("s1", 1, PLACE)), "x"))
    assert [statement.parameters[-3] for statement in first[1:]] == ["s0", "s1"]
    moved = ledger.advance(Transaction(2, (of("s0", 2, {"copy": 2}), of("s1", 2, dict(PLACE))), "x"))
    assert [statement.parameters[1:4] for statement in moved[1:]] == [['{"place":{"copy":2}}', "d/c", "s0"]]
    again = ledger.advance(Transaction(2, (of("s0", 2, {"copy": 2}), of("s1", 2, PLACE)), "x"))
    assert again[:2] == moved[:2], "what may not have been stored is said again"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20), st.data())
def test_after_any_loss_the_rows_hold_the_last_place(changes: list[tuple[int, int]], data: st.DataObject) -> None:
    """Transactions are sent, some of the last are lost with the connection and sent again: the row ends as if nothing was lost."""
    kept, row, number, losses = Kept(), -1, 0, data.draw(st.integers(0, 9))
    while number < len(changes):
        reach = data.draw(st.integers(number + 1, len(changes)))
        stored = data.draw(st.integers(number if losses > 0 else number + 1, reach))
        losses -= stored == number
        for at in range(number + 1, reach + 1):
            place, version = changes[at - 1]
            moves = kept.moves("s", {"at": place}, at)
            kept.keep("s", {"at": place}, str(version), at)
            if at <= stored:
                row = place if moves else row
                assert row == place
        number = stored


def holder(position: str | None, identity: str = "") -> Holder:
    return Holder("d/c", "s", "t", 1, 1, "u", 1, identity, "v", position, "upsert")


def test_a_row_tells_by_itself_whether_it_is_whole() -> None:
    anchor = holder('{"log":9,"gtids":null}', "server")
    joined, parked, alone = (holder(encode_place(p)) for p in (PLACE, {"log": 3, "gtids": "x", "copy": 1}, None))
    assert whole_of(joined, anchor).position == '{"log":9,"gtids":null,"copy":1}'
    assert whole_of(joined, anchor).identity == "server"
    assert whole_of(parked, anchor).position == '{"log":3,"gtids":"x","copy":1}'
    assert whole_of(alone, anchor).position is None
    assert is_apart(alone)
    single = holder('{"log":2}', "old server")
    assert not is_apart(single)
    assert place_in(single) == {"log": 2}
    assert whole_of(single, anchor) == whole_of(single, None)


def test_a_table_is_lost_only_if_the_stream_has_a_place_in_it() -> None:
    """A stream that is new in a selection has none, also when the reader is far."""
    part = ledger_of(2).streams["s1"]
    anchor = replace(holder('{"next":7}'), connector="d/c", stream="*", table="")

    def told(position: str | None, table: str = part.key[2], above: Holder | None = None) -> list[object]:
        row = replace(holder(position), connector="d/c", stream="s1", table=table)
        found = list(report_lost(part, [replace(row, stream="another"), row], above, noun="table"))
        return [statement.parameters[2] for statement in found]

    assert told('{"next":3}') == ["table_lost"]
    assert told(encode_place({"mine": 1}), above=anchor) == ["table_lost"]
    assert told(None) == told(encode_place(None), above=anchor) == told('{"next":3}', table="another") == []
