"""A fresh dataset of each kind for every test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.datasets import DATASETS, WITH_TABLES, Dataset, fresh_dataset
from tests.servers.fixtures import postgres_server

__all__ = ["postgres_server"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "dataset" in metafunc.fixturenames:
        needs_tables = metafunc.definition.get_closest_marker("needs_tables") is not None
        metafunc.parametrize("dataset", WITH_TABLES if needs_tables else list(DATASETS), indirect=True)


@pytest.fixture
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dataset]:
    with fresh_dataset(request.param, tmp_path, lambda: request.getfixturevalue("postgres_server")) as made:
        yield made
