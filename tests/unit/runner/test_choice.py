"""Which streams a run carries, and into which tables: decided from the selection, the source's streams and the ledger."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.commands.choice import Choice, Target, choose, exact_names, read_selection
from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.sqlite.dialect import DIALECT as SQLITE
from connector_runner.datasets.table_choice import choose_tables, names_beside
from connector_runner.protocols.errors import (
    ActionRequiredError,
    InvalidConfigError,
    SchemaConflictError,
    UnknownStreamError,
)
from connector_runner.protocols.sink import StoredStream, StoredStreams
from connector_runner.protocols.source import WriteMode
from connector_runner.schemas.catalogue import Catalogue, ColumnInfo, StreamInfo
from connector_runner.schemas.kinds.streams import StreamsSpec
from connector_runner.schemas.selection import may_take
from connector_runner.sinks.postgresql.dialect import DIALECT as POSTGRESQL

ID = (ColumnInfo("id", "int64", False),)
BOTH = pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL], ids=["sqlite", "postgresql"])


def table(database: str, name: str, **more: Any) -> StreamInfo:
    more = {"key": ("id",), "columns": ID, **more}
    return StreamInfo(f"{database}.{name}", parts={"database": database, "name": name}, **more)


ORDERS, ITEMS, CUSTOMERS = table("shop", "orders"), table("shop", "items"), table("crm", "customers")
LOG = table("shop", "log", key=())
SHADOW = table("shop", "_orders_gho", aside="the shadow table of gh-ost for orders")
STREAMS = (ORDERS, ITEMS, LOG, SHADOW, CUSTOMERS)


def member(stream: str, of: str, updated: str = "2026-01-01") -> StoredStream:
    return StoredStream(stream, of, has_position=True, is_member=True, updated=updated)


def single(stream: str, of: str, updated: str = "2026-01-01") -> StoredStream:
    return StoredStream(stream, of, has_position=True, is_member=False, updated=updated)


def run(
    include: Sequence[str], *, exclude: Sequence[str] = (), template: str = "", dialect: Dialect = SQLITE,
    mode: WriteMode = WriteMode.UPSERT, stored: Sequence[StoredStream] = (), recorded: str = "", isolates: bool = True,
    streams: Sequence[StreamInfo] = STREAMS, **more: Any,
) -> Choice:  # fmt: skip
    spec = StreamsSpec(include=tuple(include), exclude=tuple(exclude), **more)
    target = Target(template, dialect, mode, StoredStreams(tuple(stored), recorded, bool(stored)))
    return choose(spec, Catalogue(tuple(streams), len(streams)), target, isolates=isolates)


@BOTH
def test_each_stream_goes_into_a_table_named_after_it(dialect: Dialect) -> None:
    found = run(["shop.*", "crm.customers"], exclude=["shop.log"], dialect=dialect)
    assert found.tables == {
        "shop.orders": "shop_orders", "shop.items": "shop_items", "crm.customers": "crm_customers",
    }  # fmt: skip
    assert found.left_out == {}
    assert found.notes == [
        "left aside, because only their exact names select them: shop._orders_gho (the shadow table of gh-ost for orders)"
    ]


def test_a_template_and_names_outright_choose_other_tables() -> None:
    found = run(["shop.*"], template='raw."{name}"', dialect=POSTGRESQL, tables={"shop.items": "lines"})
    assert found.tables == {"shop.orders": "raw.orders", "shop.items": "lines"}
    assert run(["shop.orders"], template="{database}_x_{name}").tables == {"shop.orders": "shop_x_orders"}


@pytest.mark.parametrize("template", ["{schema}", "{name", "x}"])
def test_a_template_that_can_not_be_filled_is_refused(template: str) -> None:
    with pytest.raises(InvalidConfigError, match=r"^dataset\.table: "):
        run(["shop.orders"], template=template)


def test_what_can_not_run_is_left_out_by_name_or_refused() -> None:
    unread = table("shop", "view", obstacle="it is a view")
    streams = (*STREAMS, unread)
    found = run(["shop.*"], streams=streams)
    assert found.left_out.keys() == {"shop.log", "shop.view"}
    assert "has no key" in found.left_out["shop.log"]
    assert "shop.log" not in found.tables
    with pytest.raises(ActionRequiredError, match=r"shop\.log: it has no key.*onStreamFailure: isolate") as refused:
        run(["shop.*"], streams=streams, isolates=False)
    assert refused.value.reason == "SchemaConflict"
    with pytest.raises(ActionRequiredError, match="it is a view") as refused:
        run(["shop.view"], streams=streams)
    assert refused.value.reason == "Preflight"
    assert "shop.log" in run(["shop.*"], mode=WriteMode.APPEND).tables


def test_a_selection_of_nothing_says_what_is_near() -> None:
    with pytest.raises(UnknownStreamError, match=r"did you mean shop\.orders"):
        run(["shop.order"])
    with pytest.raises(UnknownStreamError, match="exclude leaves out"):
        run(["shop.orders"], exclude=["*"])
    with pytest.raises(UnknownStreamError, match="only by its exact name"):
        run(["*_gho"])
    (note,) = run(["shop.orders", "shop.itemz"]).notes
    assert note.startswith("spec.streams: nothing matches shop.itemz; did you mean shop.items")


@BOTH
def test_streams_that_meet_in_a_table_are_refused_by_name(dialect: Dialect) -> None:
    for template in ("one", "{database}"):
        with pytest.raises(SchemaConflictError, match=r"shop\.orders and shop\.items meet in table"):
            run(["shop.*"], template=template, dialect=dialect)


def test_names_meet_as_the_dataset_compares_them() -> None:
    streams = (table("a", "T"), table("a", "t"))
    with pytest.raises(SchemaConflictError, match=r"a\.T and a\.t meet"):
        run(["a.*"], streams=streams)
    assert len(run(["a.*"], streams=streams, dialect=POSTGRESQL).tables) == 2
    beside = (table("a", "t"), table("a", "t_incidents"))
    with pytest.raises(SchemaConflictError, match="_incidents beside it"):
        run(["a.*"], streams=beside)


def test_histories_of_equal_columns_may_share_a_table() -> None:
    found = run(["shop.orders", "shop.items"], template="all", mode=WriteMode.APPEND)
    assert set(found.tables.values()) == {"all"}
    wide = table("shop", "items", columns=(*ID, ColumnInfo("n", "int64")))
    with pytest.raises(SchemaConflictError, match="their columns differ"):
        run(["shop.orders", "shop.items"], template="all", mode=WriteMode.APPEND, streams=(ORDERS, wide))


def test_a_later_table_that_meets_a_filled_one_is_left_out_alone() -> None:
    streams = (table("a", "T"), table("a", "t"), ORDERS)
    found = run(["*"], streams=streams, stored=[member("a.t", "a_t")])
    assert found.tables.keys() == {"a.t", "shop.orders"}
    assert "a.t and a.T meet" in found.left_out["a.T"]


def test_later_tables_that_meet_leave_the_others_alone() -> None:
    streams = (ORDERS, table("a", "T"), table("a", "t"))
    found = run(["*"], streams=streams, stored=[member("shop.orders", "shop_orders")])
    assert found.tables.keys() == {"shop.orders", "a.T"}
    assert "a.T and a.t meet" in found.left_out["a.t"]
    with pytest.raises(SchemaConflictError):
        run(["*"], streams=streams, stored=[member("shop.orders", "shop_orders")], isolates=False)


@pytest.mark.parametrize(
    ("include", "stream", "expected"),
    [
        (["shop.*"], "shop.orders", True), (["shop.*"], "crm.orders", False), (["*"], "x", True), (["shop.*"], "shop", False),
        (['"my.db".*'], "my.db.t", True), (["*.*"], "my.db.t.u", True), (["shop.orders"], "shop.orders", True),
    ],
)  # fmt: skip
def test_a_new_stream_is_looked_at_only_if_a_pattern_may_take_it(
    include: list[str], stream: str, expected: bool
) -> None:
    assert may_take(read_selection(StreamsSpec(include=tuple(include))), stream) is expected


def test_a_running_selection_keeps_what_is_still_asked_for() -> None:
    stored = [member("shop.orders", "shop_orders"), member("shop.items", "lines")]
    present = {"shop.orders": "Shop_Orders", "shop.items": "lines", "shop.gone": "shop_gone", "shop.log": "shop_log"}
    same = run(["shop.*"], stored=stored)
    assert same.change(present) == present, "unlisted or unreadable ones are the source's own concern"
    less = run(["shop.orders", "crm.*"], stored=stored)
    assert less.change(present) == {"shop.orders": "Shop_Orders", "crm.customers": "crm_customers"}
    moved = run(["shop.*"], stored=stored, tables={"shop.items": "elsewhere"})
    assert moved.change(present)["shop.items"] == "elsewhere"


def test_a_name_that_is_too_long_is_left_out_alone() -> None:
    long = table("shop", "x" * 60)
    found = run(["shop.*"], streams=(ORDERS, long), dialect=POSTGRESQL)
    assert found.tables.keys() == {"shop.orders"}
    assert "too long" in found.left_out[long.id]
    assert "spec.streams.tables" in found.left_out[long.id]
    assert long.id in run(["shop.*"], streams=(ORDERS, long), dialect=POSTGRESQL, tables={long.id: "x"}).tables


def test_a_dot_in_a_name_never_chooses_a_schema() -> None:
    dotted = table("shop", "a.b")
    found = run(["*"], streams=(ORDERS, dotted), template="{name}", dialect=POSTGRESQL)
    assert found.tables == {"shop.orders": "orders"}
    assert "would name a schema" in found.left_out["shop.a.b"]
    assert run(["*"], streams=(ORDERS, dotted), template="{name}").tables["shop.a.b"] == "a.b"


def test_a_stream_keeps_the_table_that_it_has() -> None:
    stored = [
        single("shop.orders", "warehouse"),
        single("shop.items", "old", "2025"),
        single("shop.items", "new", "2026"),
    ]
    found = run(["shop.*"], stored=stored)
    assert found.tables == {"shop.orders": "warehouse", "shop.items": "new"}
    assert list(found.tables) == ["shop.orders", "shop.items"]
    assert run(["shop.orders"], stored=stored, tables={"shop.orders": "mine"}).tables == {"shop.orders": "mine"}
    empty = StoredStream("shop.orders", "tried", has_position=False, is_member=True, updated="2026")
    assert run(["shop.orders"], stored=[empty]).tables == {"shop.orders": "shop_orders"}


def test_what_is_let_go_or_gone_is_told() -> None:
    stored = [member("shop.orders", "a"), member("shop.items", "b"), member("shop.gone", "c")]
    notes = run(["shop.orders", "shop.gon*"], stored=stored).notes
    assert "not selected any more; their rows and positions stay: shop.items" in notes
    assert any(note.startswith("the source does not have any more") and "shop.gone" in note for note in notes)


def test_what_is_gone_is_carried_to_its_end_while_it_is_selected() -> None:
    stored = [member("shop.orders", "a"), member("shop.gone", "c"), single("shop.old", "d")]
    assert run(["shop.orders", "shop.gon*"], stored=stored).tables == {"shop.orders": "a", "shop.gone": "c"}
    assert run(["shop.*"], exclude=["*.gone", "*.log"], stored=stored).tables.keys() == {"shop.orders", "shop.items"}
    assert run(["shop.gone"], stored=stored).tables == {"shop.gone": "c"}
    never = StoredStream("shop.gone", "c", has_position=False, is_member=True, updated="2026")
    assert run(["shop.*"], stored=[never]).tables.keys() == {"shop.orders", "shop.items"}


def test_ignored_are_streams_that_were_made_later_not_those_that_were_asked_for_later() -> None:
    first = run(["shop.*"], added="ignore", streams=(ORDERS, LOG))
    stored = [member("shop.orders", "shop_orders")]
    later = run(["shop.*"], added="ignore", stored=stored, recorded=first.record)
    assert later.tables.keys() == {"shop.orders"}
    assert "ignored, because they were made later and added is ignore: shop.items" in later.notes
    assert json.loads(later.record)["streams"] == ["shop.log", "shop.orders"]
    assert run(["shop.*"], stored=stored, recorded=first.record).tables.keys() == {"shop.orders", "shop.items"}
    more = run(["shop.*", "crm.*"], added="ignore", stored=stored, recorded=first.record)
    assert more.tables.keys() == {"shop.orders", "crm.customers"}
    named = run(["shop.*", "shop.items"], added="ignore", stored=stored, recorded=first.record)
    assert named.tables.keys() == {"shop.orders", "shop.items"}
    again = run(["shop.*"], added="ignore", stored=stored, recorded=later.record)
    assert again.tables == later.tables


def test_what_was_excluded_counts_when_it_is_included_again() -> None:
    first = run(["shop.*"], exclude=["shop.items"], added="ignore")
    found = run(["shop.*"], added="ignore", stored=[member("shop.orders", "o")], recorded=first.record)
    assert "shop.items" in found.tables


def test_a_stream_that_can_not_be_seen_for_a_while_still_counts() -> None:
    first = run(["shop.*"], added="ignore")
    away = run(["shop.*"], added="ignore", streams=(ORDERS,), recorded=first.record)
    back = run(["shop.*"], added="ignore", stored=[member("shop.orders", "shop_orders")], recorded=away.record)
    assert "shop.items" in back.tables


def test_ignore_that_is_set_later_keeps_what_is_carried() -> None:
    first = run(["shop.*"], streams=(ORDERS,))
    stored = [member("shop.orders", "shop_orders"), member("shop.items", "shop_items")]
    assert "shop.items" in run(["shop.*"], added="ignore", stored=stored, recorded=first.record).tables


def test_names_that_are_included_exactly_are_looked_for() -> None:
    spec = StreamsSpec(include=("shop.orders", "crm.*", '"my.db"."a*b"'))
    assert exact_names(spec) == ("shop.orders", "my.db.a*b")


NAMES = st.text(alphabet=string.ascii_letters + string.digits + '._-*é"', min_size=1, max_size=70)


@given(
    st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=12, unique=True),
    st.sampled_from(["", "{database}_{name}", "{name}", "raw.{name}", "t"]),
    st.sampled_from([SQLITE, POSTGRESQL]),
    st.data(),
)
def test_no_two_streams_ever_share_a_name_of_the_dataset(
    names: list[tuple[str, str]], template: str, dialect: Dialect, data: st.DataObject
) -> None:
    streams = list({stream.id: stream for stream in (table(*name) for name in names)}.values())
    ids = st.sampled_from([stream.id for stream in streams])
    kept = data.draw(st.dictionaries(ids, st.sampled_from(["t", "T", "raw.t", "t_incidents"]), max_size=3))
    found = choose_tables(streams, template, {}, kept, dialect, append=False)
    taken = [name for text in found.tables.values() for name in names_beside(dialect.parse_table(text), dialect)]
    assert len(taken) == len(set(taken))
    assert len(found.tables) + len(found.problems) + len(found.meetings) == len(streams)
    assert not found.tables.keys() & found.problems.keys()
