"""Sets of transactions behave as sets."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.mysql.binlog.events import parse_tagged_gtid
from connector_runner.sources.mysql.binlog.gtid import MariaGtids, MysqlGtids, has_history, merge_intervals
from connector_runner.sources.mysql.binlog.position import Commit, LogPosition, LogState, file_order
from connector_runner.sources.mysql.snapshot.watermark import ExactBounds, ExecutedBounds

A, B = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"
numbers = st.sets(st.integers(1, 60), max_size=40)
sources = st.sampled_from([A, B, f"{A}:tag", f"{B}:x"])
ids = st.dictionaries(sources, numbers.filter(bool), max_size=4)


def build(members: dict[str, set[int]]) -> MysqlGtids:
    gtids = MysqlGtids()
    for source, every in members.items():
        for number in every:
            gtids.add(source, number)
    return gtids


@given(ids)
def test_text_and_back(members: dict[str, set[int]]) -> None:
    gtids = build(members)
    assert MysqlGtids.parse(str(gtids)) == gtids
    assert all(
        gtids.has(source, number) == (number in every) for source, every in members.items() for number in range(62)
    )


@given(ids, ids)
def test_covers_is_the_superset(one: dict[str, set[int]], other: dict[str, set[int]]) -> None:
    wanted = all(other[source] <= one.get(source, set()) for source in other)
    assert build(one).covers(build(other)) == wanted


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)).map(lambda p: (p[0], p[0] + p[1]))))
def test_intervals_are_normal(intervals: list[tuple[int, int]]) -> None:
    merged = merge_intervals(intervals)
    assert {n for low, high in merged for n in range(low, high + 1)} == {
        n for low, high in intervals for n in range(low, high + 1)
    }
    assert all(high + 1 < low for (_, high), (low, _) in pairwise(merged))


def test_as_the_server_prints_it() -> None:
    gtids = MysqlGtids.parse(f"{A.upper()}:1-5:8:tag:1-3,\n{B}:7")
    assert str(gtids) == f"{A}:1-5:8,{A}:tag:1-3,{B}:7"
    with pytest.raises(ValueError, match="no-uuid"):
        MysqlGtids.parse("no-uuid:1")


def test_encoding_for_the_dump_command() -> None:
    raw = MysqlGtids.parse(f"{A}:1-5:8").encode()
    assert raw[:8] == (1).to_bytes(8, "little")
    assert raw[8:24].hex() == A.replace("-", "")
    assert [int.from_bytes(raw[at : at + 8], "little") for at in range(24, len(raw), 8)] == [2, 1, 6, 8, 9]
    tagged = MysqlGtids.parse(f"{A}:etl:1-5").encode()
    assert (tagged[0], tagged[1], tagged[7], tagged[24:28]) == (1, 1, 1, b"\x06etl")


@given(st.dictionaries(st.integers(0, 5), st.tuples(st.integers(1, 3), st.integers(1, 99))))
def test_mariadb_text_and_back(domains: dict[int, tuple[int, int]]) -> None:
    assert MariaGtids.parse(str(MariaGtids(domains))).domains == domains


def test_history_is_by_domain_and_server() -> None:
    state = "0-1-100,0-2-150,7-1-3"
    assert has_history(state, MariaGtids.parse("0-1-90,7-1-3"))
    assert not has_history(state, MariaGtids.parse("0-3-1"))
    assert not has_history(state, MariaGtids.parse("0-1-101"))


def test_files_sort_by_number() -> None:
    assert file_order("binlog.1000000") > file_order("binlog.999999")


def test_bounds_of_chunks() -> None:
    exact = ExactBounds(LogPosition("binlog.000002", 500, "0-1-9"))
    assert exact.holds(Commit(1, (0, 1, 9), "binlog.000002", 500))
    assert not exact.holds(Commit(1, (0, 1, 10), "binlog.000002", 600))
    assert not exact.is_reached(LogPosition("binlog.000001", 9999))
    assert exact.is_reached(LogPosition("binlog.000010", 4))
    assert exact.is_reached(LogPosition("", 4, "0-1-9"))
    assert not exact.is_reached(LogPosition("", 4, "0-1-8"))
    executed = ExecutedBounds(f"{A}:1-5", f"{A}:1-7")
    assert executed.holds(Commit(1, (A, 5), "", 0))
    assert not executed.holds(Commit(1, (A, 6), "", 0))
    assert not executed.is_reached(LogPosition(gtids=f"{A}:1-6"))
    assert executed.is_reached(LogPosition(gtids=f"{A}:1-7"))


def test_a_chunk_shows_what_was_applied_of_an_open_transaction() -> None:
    """A transaction is in the log before readers see it: a chunk without it would bring its rows' old values back."""
    exact = ExactBounds(LogPosition("binlog.000002", 500, "0-1-9"))
    assert exact.shows(LogPosition("binlog.000002", 500, "0-1-9"))
    assert not exact.shows(LogPosition("binlog.000002", 500, "0-1-9", 3, transaction="0-1-10"))
    assert exact.shows(LogPosition("binlog.000002", 400, "0-1-8", 3, transaction="0-1-9"))
    assert not exact.shows(LogPosition("", 4, "0-1-9", 3, transaction="0-1-10"))
    executed = ExecutedBounds(f"{A}:1-5", f"{A}:1-7")
    assert executed.shows(LogPosition(gtids=f"{A}:1-4", rows=3, transaction=f"{A}:5"))
    assert not executed.shows(LogPosition(gtids=f"{A}:1-5", rows=3, transaction=f"{A}:6"))


def test_a_position_survives_json_and_moves_only_forward() -> None:
    position = LogPosition("binlog.000002", 500, "0-1-9", 3, ("78,",), ("79,",), "0-1-10")
    assert LogPosition.from_json(position.to_json()) == position
    state = LogState(position, is_mariadb=True)
    state.rotate("binlog.000002", 4)  # a stream that starts anew
    assert state.position().offset == 500
    state.commit((0, 1, 10), 600)
    state.advance(550)
    assert state.position() == LogPosition("binlog.000002", 600, "0-1-10", 0, ("78,",), ("79,",))


def test_whether_a_place_of_the_log_is_reached() -> None:
    assert LogPosition("binlog.000010", 4).has_reached(LogPosition("binlog.000009", 900))
    assert not LogPosition("binlog.000010", 4).has_reached(LogPosition("binlog.000010", 5))
    assert LogPosition(gtids=f"{A}:1-9").has_reached(LogPosition(gtids=f"{A}:1-8"))
    assert not LogPosition("binlog.000001", 4, f"{A}:1-7").has_reached(LogPosition(gtids=f"{A}:1-8"))
    assert not LogPosition(gtids="0-1-7,1-1-9").has_reached(LogPosition("binlog.000001", 4, "0-1-8"))


def serialised(number: int) -> bytes:
    """As mysql::serialization writes an unsigned number: low one-bits tell how many bytes follow the first."""
    more = 0
    while more < 8 and number >= 1 << (7 * (more + 1)):
        more += 1
    if more == 8:
        return b"\xff" + number.to_bytes(8, "little")
    return (number << (more + 1) | (1 << more) - 1).to_bytes(more + 1, "little")


@pytest.mark.parametrize("number", [1, 5, 63, 64, 2**31, 2**62])
@pytest.mark.parametrize(
    "uuid",
    [
        "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "77a0b0c0-d0e0-f0f1-1111-77ff77ff77ff",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ],
)
def test_a_tagged_gtid_event_names_its_transaction(uuid: str, number: int) -> None:
    """Fields by number: 0 flags, 1 the UUID, 2 the number (signed), 3 the tag; each byte of a UUID is a number of its own."""
    raw = UUID(uuid).bytes
    fields = [
        serialised(0) + serialised(1),
        serialised(1) + b"".join(map(serialised, raw)),
        serialised(2) + serialised(number << 1),
        serialised(3) + serialised(3) + b"etl",
        serialised(4) + serialised(17),
    ]
    body = serialised(1) + serialised(90) + serialised(4) + b"".join(fields)
    assert parse_tagged_gtid(body) == (uuid, "etl", number)
