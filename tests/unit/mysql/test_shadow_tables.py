"""Which tables belong to a schema change tool, and which only look so."""

from __future__ import annotations

import pytest

from connector_runner.sources.mysql.server.shadow_tables import LONGEST_NAME, shadow_of

LONG = "a" * 60


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("_orders_gho", "gh-ost"), ("_orders_ghc", "gh-ost"), ("_orders_del", "gh-ost"), ("_orders_ghk", "gh-ost"),
        ("_orders_20261128093015_del", "gh-ost"),
        ("_orders_new", "pt-online-schema-change or Spirit"), ("_orders_old", "pt-online-schema-change or Spirit"),
        ("___orders_new", "pt-online-schema-change"), ("__________orders_old", "pt-online-schema-change"),
        ("_orders_chkpnt", "Spirit"), ("_orders_old_20261128_093015", "Spirit"),
    ],
)  # fmt: skip
def test_the_tables_of_a_change_are_known_by_the_table_that_is_changed(name: str, tool: str) -> None:
    assert shadow_of(name, {"orders", name}) == f"the shadow table of {tool} for orders"
    assert shadow_of(name, {"others", name}) == "", "without that table the name means nothing"


@pytest.mark.parametrize("name", ["_spirit_sentinel", "_spirit_checkpoint"])
def test_the_tables_that_spirit_keeps_once_a_database(name: str) -> None:
    assert shadow_of(name, {name}) == "a table of Spirit"


@pytest.mark.parametrize(
    "name", ["orders", "orders_new", "_orders", "_orders_newer", "_new", "__new", "_orders_gho_x", "_gho"]
)
def test_ordinary_tables_stay(name: str) -> None:
    assert shadow_of(name, {"orders", "orders_new", name}) == ""


def test_a_table_whose_own_name_begins_so_is_the_base_of_its_shadow() -> None:
    assert shadow_of("__orders_new", {"_orders", "orders"}).endswith("for _orders")
    assert shadow_of("__orders_gho", {"_orders"}).endswith("for _orders")


def test_a_name_that_was_cut_to_fit_is_known_by_its_beginning() -> None:
    cut = f"_{LONG}"[: LONGEST_NAME - 4] + "_gho"
    assert len(cut) == LONGEST_NAME
    assert shadow_of(cut, {f"{LONG}bcd", cut}).endswith(f"for {LONG}bcd")
    assert shadow_of(f"_{'a' * 20}_gho", {f"{'a' * 20}bcd"}) == "", "a short name was not cut"
