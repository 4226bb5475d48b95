"""Which streams a selection takes in, and the tables they go into."""

from __future__ import annotations

import string
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.schemas.selection import (
    Named,
    Selection,
    assign_tables,
    default_table,
    parse_pattern,
    parse_selection,
    parse_template,
    resolve,
    say_near,
)


def table(database: str, name: str, aside: str = "") -> Named:
    return Named(f"{database}.{name}", {"database": database, "name": name}, aside)


SHOP = [table("shop", "orders"), table("shop", "audit_2024"), table("crm", "customers"), table("my.db", "a*b")]


def ids(selection: Selection, streams: Sequence[Named] = SHOP) -> list[str]:
    return [stream.id for stream in resolve(selection, streams).streams]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["shop.*", "crm.customers"], ["shop.audit_*"], ["shop.orders", "crm.customers"]),
        (["*"], [], [stream.id for stream in SHOP]),
        (["*.*"], ["crm.*"], ["shop.orders", "shop.audit_2024", "my.db.a*b"]),
        (['"my.db"."a*b"'], [], ["my.db.a*b"]),
        (['"my.db".*'], [], ["my.db.a*b"]),
        (["shop.order?"], [], ["shop.orders"]),
        (["Shop.*"], [], []),
        (["my.db.a*b"], [], ["my.db.a*b"]),  # the id itself, as status lists it
        (["shop"], [], []),
    ],
)
def test_what_is_selected(include: list[str], exclude: list[str], expected: list[str]) -> None:
    assert ids(parse_selection(include, exclude)) == expected


def test_a_quoted_star_is_no_glob() -> None:
    streams = [table("d", "a*b"), table("d", "aXb")]
    assert ids(parse_selection(['d."a*b"']), streams) == ["d.a*b"]
    assert ids(parse_selection(["d.a*b"]), streams) == ["d.a*b", "d.aXb"]


def test_a_shadow_table_needs_its_name() -> None:
    shadow = table("shop", "_orders_gho", "made by gh-ost")
    streams = [*SHOP, shadow]
    found = resolve(parse_selection(["shop.*"]), streams)
    assert shadow not in found.streams
    assert found.left_aside == (shadow,)
    assert shadow in resolve(parse_selection(["shop._orders_gho"]), streams).streams
    assert shadow in resolve(parse_selection(['shop."_orders_gho"']), streams).streams
    assert shadow not in resolve(parse_selection(["shop._orders_gh?"]), streams).streams


def test_what_takes_in_nothing_names_what_is_near() -> None:
    found = resolve(parse_selection(["shop.orderz", "crm.*"]), SHOP)
    assert found.idle == {"shop.orderz": ("shop.orders",)}


@pytest.mark.parametrize("text", ["", "a.", ".a", "a..b", '"a', 'a"b"', '"a"b', '"a".'])
def test_what_can_not_be_read_is_explained(text: str) -> None:
    with pytest.raises(ValueError, match=r"quote|dot"):
        parse_pattern(text)


def test_every_problem_is_named_with_its_path() -> None:
    with pytest.raises(ValueError, match=r"include\[1\]") as problem:
        parse_selection(["a", "b."], ["c.."])
    assert len(str(problem.value).splitlines()) == 2
    assert "spec.streams.exclude[0]" in str(problem.value)


PARTS = st.text(alphabet=string.ascii_letters + '._*?"{} é', min_size=1, max_size=6)


def quoted(part: str) -> str:
    return '"' + part.replace('"', '""') + '"'


@given(st.lists(st.tuples(PARTS, PARTS), min_size=1, max_size=6, unique=True), st.data())
def test_a_quoted_name_selects_its_table_alone(names: list[tuple[str, str]], data: st.DataObject) -> None:
    streams = [table(*name) for name in names]
    wanted = data.draw(st.sampled_from(streams))
    pattern = ".".join(map(quoted, wanted.parts.values()))
    selected = resolve(parse_selection([pattern]), streams).streams
    assert wanted in selected
    assert all(stream == wanted or stream.id == pattern for stream in selected)
    assert wanted not in resolve(parse_selection(["*"], [pattern]), streams).streams


def test_tables() -> None:
    fill = parse_template('raw."{name}"')
    assert fill(SHOP[0]) == 'raw."orders"'
    assert parse_template("{database}_{name}")(SHOP[0]) == "shop_orders"
    assert parse_template("{stream}")(SHOP[3]) == "my_db_a_b"
    assert parse_template("{{x}}_{name}")(SHOP[0]) == "{x}_orders"
    assert parse_template("rows")(SHOP[0]) == "rows"
    assert default_table(SHOP[1]) == "shop_audit_2024"
    with pytest.raises(
        ValueError, match=r"there is no \{schema\}; a stream of this source has \{stream\}, \{database\}, \{name\}"
    ):
        parse_template("{schema}.{name}")(SHOP[0])
    for text in ("{name", "name}"):
        with pytest.raises(ValueError, match="brace"):
            parse_template(text)


def test_streams_that_meet_in_one_table_are_named() -> None:
    streams = [table("a", "x_y"), table("a_x", "y"), table("b", "z")]
    found = assign_tables(streams, parse_template("{stream}"), {})
    assert found.names == {"a.x_y": "a_x_y", "a_x.y": "a_x_y", "b.z": "b_z"}
    assert found.shared == {"a_x_y": ("a.x_y", "a_x.y")}
    assert assign_tables(streams, parse_template("{stream}"), {"a_x.y": "other"}).shared == {}


def test_the_dataset_says_which_names_are_one() -> None:
    streams = [table("d", "Orders"), table("d", "orders")]
    assert assign_tables(streams, parse_template("{name}"), {}).shared == {}
    assert assign_tables(streams, parse_template("{name}"), {}, key=str.lower).shared == {
        "Orders": ("d.Orders", "d.orders")
    }
    long = [table("d", "x" * 70), table("d", "x" * 71)]
    assert len(assign_tables(long, parse_template("{name}"), {}, key=lambda name: name[:63]).shared) == 1


def test_a_name_that_no_stream_has_gets_the_nearest_not_all() -> None:
    many = [f"shop.t{number}" for number in range(2000)]
    assert say_near("Tickr", ["ticker", "matches", "level2"]) == "did you mean ticker?"
    assert say_near("shop.t1x", many).count("shop.") == 3
    assert say_near("x", ["ticker", "matches"]) == "there are ticker, matches"
    assert say_near("zzzzzzzzzzzz", many) == "there are shop.t0, shop.t1, shop.t2, shop.t3, shop.t4 and 1995 more"
    assert say_near("x", []) == "there are none"
