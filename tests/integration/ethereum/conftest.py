"""Datasets for the tests of this folder."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.ethereum.running import Dataset, sqlite_dataset
from tests.servers.postgresql import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    """An empty one."""
    if request.param == "sqlite":
        return sqlite_dataset(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"d{uuid.uuid4().hex[:10]}"
    server.execute(f"CREATE DATABASE {name}")
    return Dataset(server.url(name))
