"""A fresh dataset of each kind for every test that asks for one, and the servers of the sources."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.worlds import Servers
from tests.kit.datasets import DATASETS, WITH_TABLES, WITH_TRANSACTIONS, Dataset, fresh_dataset


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "dataset" in metafunc.fixturenames:
        has = metafunc.definition.get_closest_marker
        names = (
            WITH_TRANSACTIONS if has("needs_transaction") else WITH_TABLES if has("needs_tables") else tuple(DATASETS)
        )
        metafunc.parametrize("dataset", names, indirect=True)


@pytest.fixture
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dataset]:
    with fresh_dataset(request.param, tmp_path, request.getfixturevalue) as made:
        yield made


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with contextlib.ExitStack() as stack:
        yield Servers(stack)
