"""The way of a catalogue through a pod's log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.schemas.catalogue import (
    Catalogue,
    ColumnInfo,
    StreamInfo,
    encode_line,
    parse_line,
    summarise,
)


def build_catalogue(count: int) -> Catalogue:
    streams = tuple(
        StreamInfo(f"db.t{n}", ("id",), ("LOG_BASED",), columns=(ColumnInfo("id", "int64"),)) for n in range(count)
    )
    return Catalogue(streams, count, "server-1")


@pytest.mark.parametrize(
    ("count", "selected", "last"),
    [(3, None, "db.t2"), (9, None, "db.t4"), (9, "db.t8", "db.t8"), (9, "db.t0", "db.t4"), (9, "db.x", "db.t4")],
)
def test_the_selected_stream_survives_the_cap(count: int, selected: str | None, last: str) -> None:
    summary = summarise(build_catalogue(count), selected, limit=5)
    assert summary.streams[-1].id == last
    assert len(summary.streams) == min(count, 5)
    assert summary.total == count


def test_a_line_is_found_among_others() -> None:
    summary = summarise(build_catalogue(2), None)
    line, proof = encode_line(summary)
    assert parse_line(f"warning: x\n{line}\nbye", proof) == summary
    assert parse_line(f"2026-01-01T00:00:00Z {line}", proof) == summary


def test_a_cut_or_foreign_line_proves_nothing() -> None:
    line, proof = encode_line(summarise(build_catalogue(2), None))
    assert parse_line(line[:-3], proof) is None
    assert parse_line(line.replace("server-1", "server-2"), proof) is None
    assert parse_line(line, "") is None
    assert parse_line("", proof) is None


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=5))
def test_any_stream_names_travel(names: list[str]) -> None:
    summary = summarise(Catalogue(tuple(StreamInfo(name) for name in names), len(names)), None)
    line, proof = encode_line(summary)
    assert parse_line(line, proof) == summary


@pytest.mark.parametrize("limit", [1, 3, 5])
def test_what_others_have_selected_is_listed_too_and_what_is_missing_is_named(limit: int) -> None:
    summary = summarise(build_catalogue(20), "db.t19", ["db.t17", "db.t1", "nonsense"], limit=limit)
    ids = [stream.id for stream in summary.streams]
    assert len(ids) == limit
    assert "db.t19" in ids
    assert {"db.t17", "db.t1"} <= set(ids) or limit < 3
    assert summary.total == 20
    assert summary.missing == ("nonsense",)
