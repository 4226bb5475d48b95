"""One cluster with the operator for the session, a namespace with a Dataset for each test."""

from pathlib import Path

import pytest

from tests.e2e.kit import Kit, install
from tests.localkube.cluster import Cluster
from tests.localkube.plugin import *  # noqa: F403

SPREAD = {"test_bad_input.py", "test_executions.py", "test_walk.py"}
"""Files whose tests may run beside each other; those of any other file take turns (`pytest -n 3 --dist loadgroup`)."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        is_ours = item.path.parent == Path(__file__).parent and item.path.name not in SPREAD
        if is_ours and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


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
