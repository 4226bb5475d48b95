"""`discover`: a source's streams on a terminal and elsewhere."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.commands.discover import format_catalogue, read_pattern
from connector_runner.commands.stream_table import build_stream_lines, name_columns
from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.schemas.catalogue import Catalogue, ColumnInfo, StreamInfo
from connector_runner.schemas.kinds.streams import StreamsSpec
from connector_runner.schemas.printable import cells

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def stream(name: str, *columns: str, database: str = "shop", rows: int | None = None) -> StreamInfo:
    return StreamInfo(
        f"{database}.{name}", key=("id",), modes=("LOG_BASED", "FULL_TABLE"), rows=rows,
        columns=tuple(ColumnInfo(column, "string") for column in columns), parts={"database": database, "name": name},
    )  # fmt: skip


WIDE = [f"column_number_{number}" for number in range(30)]
SHOP = Catalogue((stream("orders", *WIDE, rows=12_000), stream("items", "id", "n")), 2, "server", ("A note.",))


def test_on_a_terminal_a_line_is_as_wide_as_it_and_columns_that_do_not_fit_are_counted() -> None:
    lines = build_stream_lines(SHOP, [StreamsSpec(("shop.o*",))], 100)
    assert lines[0] == "STREAM       SELECTED  KEY  MODES                  ROWS    COLUMNS"
    assert lines[1].startswith("shop.orders  yes       id   LOG_BASED, FULL_TABLE  12,000  column_number_0 and 29 more")
    assert lines[2] == "shop.items   -         id   LOG_BASED, FULL_TABLE  -       id, n"
    assert lines[3:] == ["note: A note.", "note: spec.streams takes 1 of 2 streams"]
    assert max(map(cells, lines)) <= 100


def test_elsewhere_nothing_is_left_out() -> None:
    assert build_stream_lines(SHOP, [], None)[1].endswith(", ".join(WIDE))


def test_a_pattern_takes_some_and_what_it_left_out_is_said() -> None:
    lines = build_stream_lines(SHOP, [], 80, read_pattern("shop.it*"))
    assert [line.split()[0] for line in lines] == ["STREAM", "shop.items", "1", "note:"]
    assert lines[2] == "1 of 2 streams are like the pattern"
    assert build_stream_lines(SHOP, [], 80, read_pattern("nothing"))[1] == "0 of 2 streams are like the pattern"
    with pytest.raises(InvalidConfigError, match=r"--like.*ends with a dot"):
        read_pattern("shop.")


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_documents_hold_all_columns_of_what_the_pattern_takes(output: str) -> None:
    text = format_catalogue(SHOP, read_pattern("*.orders"), output)
    found = json.loads(text) if output == "json" else yaml.safe_load(text)
    assert [each["id"] for each in found["streams"]] == ["shop.orders"]
    assert [column["name"] for column in found["streams"][0]["columns"]] == WIDE
    assert (found["total"], found["identity"]) == (2, "server")


@given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, max_size=6)), max_size=5), st.sampled_from(["json", "yaml"]))
def test_documents_are_whole_and_drive_no_terminal(streams: list[tuple[str, list[str]]], output: str) -> None:
    catalogue = Catalogue(tuple(stream(name, *columns) for name, columns in streams), len(streams))
    text = format_catalogue(catalogue, None, output)
    found = json.loads(text) if output == "json" else yaml.safe_load(text)
    assert [each["parts"]["name"] for each in found["streams"]] == [name for name, _ in streams]
    assert all(line.replace("\x7f", "").isprintable() for line in text.split("\n"))


@given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, max_size=6)), max_size=5), st.integers(min_value=1, max_value=150))
def test_names_are_whole_and_nothing_drives_the_terminal(streams: list[tuple[str, list[str]]], width: int) -> None:
    catalogue = Catalogue(tuple(stream(name, *columns) for name, columns in streams), len(streams))
    lines = build_stream_lines(catalogue, [], width)
    assert all(line.isprintable() for line in lines)
    assert len(lines) == len(streams) + 1


@given(st.lists(st.from_regex(r"[a-z]{1,9}", fullmatch=True), max_size=9), st.integers(min_value=0, max_value=60))
def test_no_column_is_lost_and_more_room_shows_no_fewer(columns: list[str], room: int) -> None:
    text = name_columns(stream("t", *columns), room)
    named, _, more = text.partition(" and ")
    names = [] if text.isdecimal() or text == "-" else named.split(", ")
    assert names == columns[: len(names)]
    assert len(names) + int(more.split()[0] if more else (text if text.isdecimal() else 0)) == len(columns)
    assert not names or len(text) <= room
