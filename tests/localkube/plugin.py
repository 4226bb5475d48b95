"""The fixtures of tests that need a cluster: one for all of a session, a namespace for each test.

A `conftest.py` takes them with `from tests.localkube.plugin import *`. With pytest-xdist the workers share one
cluster, which the last of them ends. With CONNECTOR_TEST_KUBECONFIG set, that cluster is used instead, as it is.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

import pytest

from tests.localkube.build import locked
from tests.localkube.cluster import Cluster, Image, KubectlError, LocalKube

__all__ = ["cluster", "local_only", "localkube", "namespace", "pytest_runtest_makereport"]

KUBECONFIG_VARIABLE = "CONNECTOR_TEST_KUBECONFIG"
ROOT = Path(__file__).resolve().parents[2]
FAILED = pytest.StashKey[bool]()


def default_images() -> Mapping[str, Image]:
    """The project's images as the checkout has them, and two for test workloads: `python:test` and `sh:test`."""
    python = sys.executable
    own: dict[str, Image] = {
        f"connector-{part}:dev": {
            "command": [str(Path(python).with_name(f"connector-{part}"))],
            "env": {"PYTHONUNBUFFERED": "1"},
            "user": 65532,
        }
        for part in ("operator", "runner")
    }
    return {
        **own,
        "python:test": {"command": [python], "env": {"PYTHONUNBUFFERED": "1"}},
        "sh:test": {"command": ["/bin/sh", "-c"]},
    }


@pytest.fixture(scope="session")
def local_only() -> None:
    """Skips a test that starts a cluster of its own, where the tests are to run on another one."""
    if KUBECONFIG_VARIABLE in os.environ:
        pytest.skip(f"this test starts a localkube of its own; {KUBECONFIG_VARIABLE} names a cluster that is not ours")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The session's cluster: a local one with an audit log, or the one that CONNECTOR_TEST_KUBECONFIG names."""
    if path := os.environ.get(KUBECONFIG_VARIABLE):
        yield Cluster(Path(path))
        return
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if is_worker else base) / "localkube"
    shared.mkdir(exist_ok=True)
    users = shared / "users"
    with locked(shared / "lock", quiet=True):
        # Bound to the process that outlives the workers, so that a killed run leaves nothing.
        parent = os.getppid() if is_worker else os.getpid()
        local = LocalKube.start(shared / "cluster", default_images(), audit=True, parent=parent)
        users.write_text(str(int(users.read_text()) + 1 if users.exists() else 1))
    yield local
    with locked(shared / "lock", quiet=True):
        left = int(users.read_text()) - 1
        users.write_text(str(left))
        if left == 0:
            local.stop()


@pytest.fixture(scope="session")
def localkube(cluster: Cluster) -> LocalKube:
    """The session's cluster where a test needs a local one: to take components away, or to read the audit log."""
    if not isinstance(cluster, LocalKube):
        pytest.skip(f"this test takes parts of the cluster away; {KUBECONFIG_VARIABLE} names one that is not ours")
    return cluster


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own; when the test fails, what is in it is printed before it is deleted."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    if request.node.stash.get(FAILED, False):
        print(describe_namespace(cluster, name))
    cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Lets fixtures know that their test failed."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


def describe_namespace(cluster: Cluster, namespace: str) -> str:
    """Returns what helps to understand a failed test: connectors, jobs, pods, events, logs, the operator's too."""

    def ask(*arguments: str, where: str = namespace) -> str:
        command = f"$ kubectl {' '.join(arguments)} -n {where}\n"
        try:
            return command + cluster.kubectl(*arguments, "-n", where)
        except KubectlError as error:
            return command + error.stderr

    parts = [
        ask("get", "connectors,datasets", "-o", "yaml"),
        ask("get", "deployments,jobs,pods,pvc", "-o", "wide"),
        ask("describe", "jobs"),
        ask("describe", "pods"),
        ask("get", "events", "--sort-by=.lastTimestamp"),
    ]
    pods = cluster.kubectl("get", "pods", "-n", namespace, "-o", "name", check=False).split()
    parts.extend(ask("logs", pod, "--all-containers", "--prefix", "--tail=200") for pod in pods)
    parts.append(ask("logs", "deployment/connector-operator", "--all-pods", "--tail=200", where="connector-operator"))
    return "\n".join(parts)
