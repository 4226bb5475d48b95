"""A fresh database of each kind for every test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.datasets import WITH_TABLES, Dataset, fresh_dataset


@pytest.fixture(params=WITH_TABLES)
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dataset]:
    with fresh_dataset(request.param, tmp_path, request.getfixturevalue) as made:
        yield made
