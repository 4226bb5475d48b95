"""One cluster with the operator for the session, a namespace with a Dataset for each test."""

import pytest

from tests.kit.cluster import Kit, install
from tests.localkube.cluster import Cluster
from tests.localkube.plugin import *  # noqa: F403


@pytest.fixture(scope="session")
def operator(cluster: Cluster) -> Cluster:
    """The session's cluster with the operator installed."""
    install(cluster)
    return cluster


@pytest.fixture
def kit(operator: Cluster, namespace: str) -> Kit:
    """A namespace with a Dataset named rows."""
    made = Kit(operator, namespace)
    made.dataset()
    return made
