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
