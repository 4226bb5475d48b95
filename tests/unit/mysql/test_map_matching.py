"""Definitions that are guessed from the maps of the log."""

from __future__ import annotations

import pytest

from connector_runner.sources.mysql.binlog.map_matching import build_definition
from connector_runner.sources.mysql.binlog.table_map import TableMap
from connector_runner.sources.mysql.decode.wire_types import Wire
from connector_runner.sources.mysql.types.columns import SourceColumn
from connector_runner.sources.mysql.types.table import TableDefinition

CHARSETS = {8: "latin1", 63: "binary"}


@pytest.mark.parametrize(("collation", "charset"), [(8, "latin1"), (63, "binary")])
@pytest.mark.parametrize("wire", [Wire.ENUM, Wire.SET])
def test_labels_keep_their_character_set_also_where_it_is_binary(wire: Wire, collation: int, charset: str) -> None:
    """As the server lists them; without it, a label would be taken for bytes in one place and for text in another."""
    described = TableMap(
        "d", "t", (Wire.LONG, Wire.STRING), (0, wire | 1 << 8), (False, True), ("k", "e"), enum_collations={1: collation}, labels={1: (b"a", b"b")}, key=(0,)
    )  # fmt: skip
    before = TableDefinition("d", "t", (SourceColumn("k", "int", "", nullable=False),), ("k",))
    guess = build_definition(described, before, None, CHARSETS)
    assert (guess.columns[1].sql_type, guess.columns[1].charset) == (f"{wire.name.lower()}('a','b')", charset)


def test_bytes_have_no_character_set() -> None:
    described = TableMap(
        "d", "t", (Wire.LONG, Wire.VARCHAR), (0, 10), (False, True), ("k", "b"), collations={1: 63}, key=(0,)
    )
    before = TableDefinition("d", "t", (SourceColumn("k", "int", "", nullable=False),), ("k",))
    assert build_definition(described, before, None, CHARSETS).columns[1].charset == ""


def int_column(name: str, *, nullable: bool = False) -> SourceColumn:
    return SourceColumn(name, "int", "", nullable=nullable)


@pytest.mark.parametrize(
    ("before", "after", "logged", "optional", "expected"),
    [
        (("u", ("b",)), None, (0, 1), "c", ("u", ("b",))),  # the server logs the first unique key, whatever was chosen
        (("u", ("b",)), ("u", ("b",)), (0, 1), "c", ("u", ("b",))),
        (("u", ("b",)), ("PRIMARY", ("a",)), (0,), "c", ("PRIMARY", ("a",))),
        (("u", ("b",)), None, (0,), "bc", ("u", ("a",))),  # it can't be the key any more
        (("u", ("b",)), None, (), "c", ("u", ("b",))),
        (("u", ("x",)), None, (), "c", ("u", ())),
        (("PRIMARY", ("a",)), None, (1,), "c", ("PRIMARY", ("b",))),
        (("PRIMARY", ("a",)), ("PRIMARY", ("a",)), (0,), "c", ("PRIMARY", ("a",))),
    ],
)
def test_a_unique_key_that_is_known_is_kept_while_it_can_be_one(
    before: tuple[str, tuple[str, ...]],
    after: tuple[str, tuple[str, ...]] | None,
    logged: tuple[int, ...],
    optional: str,
    expected: tuple[str, tuple[str, ...]],
) -> None:
    def definition(key: tuple[str, tuple[str, ...]]) -> TableDefinition:
        return TableDefinition("d", "t", tuple(map(int_column, "abc")), key[1], key[0])

    described = TableMap(
        "d", "t", (Wire.LONG,) * 3, (0,) * 3, tuple(name in optional for name in "abc"), tuple("abc"), key=logged
    )
    guess = build_definition(described, definition(before), after and definition(after), CHARSETS)
    assert (guess.index, guess.key) == expected
