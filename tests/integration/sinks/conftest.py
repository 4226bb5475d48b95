"""A fresh dataset of each kind for every test that asks for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.datasets import DATASETS, Dataset, build_dataset
from tests.servers.fixtures import postgres_server

__all__ = ["postgres_server"]


@pytest.fixture(params=DATASETS)
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    return build_dataset(request.param, tmp_path, lambda: request.getfixturevalue("postgres_server"))
