"""The descriptions of all datasets as data, for registry, operator, resource definitions and documents. Pure."""

from __future__ import annotations

from connector_runner.schemas.datasets.delta import DELTA
from connector_runner.schemas.datasets.descriptor import Descriptor, Option, StoredAs
from connector_runner.schemas.datasets.http import HTTP
from connector_runner.schemas.datasets.iceberg import ICEBERG
from connector_runner.schemas.datasets.kafka import KAFKA
from connector_runner.schemas.datasets.postgresql import POSTGRESQL
from connector_runner.schemas.datasets.sqlite import SQLITE

__all__ = ["DESCRIPTORS", "Descriptor", "Option", "StoredAs"]

DESCRIPTORS = {descriptor.name: descriptor for descriptor in (SQLITE, POSTGRESQL, HTTP, KAFKA, DELTA, ICEBERG)}
"""The descriptors by name, in the order of the documents."""
