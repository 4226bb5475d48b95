"""A fresh dataset of each kind for every test that asks for one, and the servers of the sources."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.worlds import Servers
from tests.kit.datasets import DATASETS, ELSEWHERE, WITH_TABLES, WITH_TRANSACTIONS, Dataset, fresh_dataset

ALWAYS = ("test_sinks", "test_claims")
"""The files of the suite that run for every dataset each time."""
EVERYWHERE = (
    "test_append_keeps_the_history_and_retracts_what_is_replaced",
    "test_an_older_runner_commits_no_more_and_says_who_took_over",
    "test_a_table_is_taken_over_with_its_position_and_that_is_recorded",
)
"""The tests that run each time for every place that a dataset can be in."""
LOCAL = ("test_examining",)
"""The files whose tests give a dataset no options."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "dataset" in metafunc.fixturenames:
        has = metafunc.definition.get_closest_marker
        names = (
            WITH_TRANSACTIONS if has("needs_transaction") else WITH_TABLES if has("needs_tables") else tuple(DATASETS)
        )
        file = metafunc.module.__name__.rpartition(".")[2]
        parts = [_marked(name, is_always=name != "iceberg" or file in ALWAYS) for name in names]
        if "delta" in names and file not in LOCAL:
            parts += [_marked(name, is_always=metafunc.definition.name in EVERYWHERE) for name in ELSEWHERE]
        metafunc.parametrize("dataset", parts, indirect=True)


def _marked(name: str, *, is_always: bool) -> Any:
    """Of what shares everything but its tables or its place with another dataset, most is run by `make test-faults`."""
    return name if is_always else pytest.param(name, marks=pytest.mark.fault)


@pytest.fixture
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dataset]:
    with fresh_dataset(request.param, tmp_path, request.getfixturevalue) as made:
        yield made


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with contextlib.ExitStack() as stack:
        yield Servers(stack)
