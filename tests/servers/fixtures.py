"""Servers that are started once in each process of tests; `tests/conftest.py` offers them to every folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.iceberg_rest import IcebergRestServer
from tests.servers.iceberg_s3 import IcebergS3Server
from tests.servers.kafka import KafkaServer
from tests.servers.postgresql import PostgresServer
from tests.servers.s3 import SeaweedServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[KafkaServer]:
    with KafkaServer() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[SeaweedServer]:
    with SeaweedServer() as server:
        yield server


@pytest.fixture(scope="session")
def iceberg_server() -> Iterator[IcebergRestServer]:
    with IcebergRestServer() as server:
        yield server


@pytest.fixture(scope="session")
def iceberg_s3_server(s3_server: SeaweedServer) -> Iterator[IcebergS3Server]:
    with IcebergS3Server(s3_server) as server:
        yield server
