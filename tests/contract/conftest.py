"""A fresh dataset of each kind for every test that asks for one, and the servers of the sources."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.worlds import Servers
from tests.kit.datasets import DATASETS, WITH_TABLES, WITH_TRANSACTIONS, Dataset, fresh_dataset

ALWAYS = ("test_sinks", "test_claims")
"""The files of the suite that run for every dataset each time."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "dataset" in metafunc.fixturenames:
        has = metafunc.definition.get_closest_marker
        names = (
            WITH_TRANSACTIONS if has("needs_transaction") else WITH_TABLES if has("needs_tables") else tuple(DATASETS)
        )
        parts = [_marked(name, metafunc.module.__name__.rpartition(".")[2]) for name in names]
        metafunc.parametrize("dataset", parts, indirect=True)


def _marked(name: str, file: str) -> Any:
    """Of what shares everything but its tables with another dataset, most of the suite is run by `make test-faults`."""
    return pytest.param(name, marks=pytest.mark.fault) if name == "iceberg" and file not in ALWAYS else name


@pytest.fixture
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dataset]:
    with fresh_dataset(request.param, tmp_path, request.getfixturevalue) as made:
        yield made


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with contextlib.ExitStack() as stack:
        yield Servers(stack)
