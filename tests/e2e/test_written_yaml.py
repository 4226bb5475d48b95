"""Whatever YAML people are shown is accepted by the API server, and GitOps tools see no drift after it is applied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.written_yaml import find_blocks, find_manifests, in_namespace
from tests.kit.cluster import Api
from tests.localkube.cluster import Cluster, KubectlError, eventually

OTHERS = ("monitoring.coreos.com", "argoproj.io", "toolkit.fluxcd.io")
"""API groups of other software, which is not on the tests' cluster."""
CLUSTER_SCOPED = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace"}
MANIFESTS, SHOWN = dict(find_manifests()), dict(find_blocks())
OURS = {
    name: documents
    for name, documents in {**MANIFESTS, **SHOWN}.items()
    if name.startswith(("docs/", "examples/", "manifests/samples/", "demo/"))
    and any(one["kind"] in {"Connector", "Dataset"} for one in documents)
}
"""What a person applies: each with a Connector or a Dataset."""


def test_there_is_something_to_check() -> None:
    assert len(MANIFESTS) > 20
    assert len(SHOWN) > 8
    assert len(OURS) > 15


@pytest.fixture
def places(operator: Cluster, namespace: str) -> Iterator[list[str]]:
    """A namespace for each of `OURS`."""
    names = [f"{namespace}-{number}" for number in range(len(OURS))]
    apply(operator, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names])
    yield names
    operator.kubectl("delete", "namespace", *names, "--wait=false")


def as_list(documents: list[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})


def apply(cluster: Cluster, documents: list[dict[str, Any]], *flags: str) -> str:
    return cluster.kubectl("apply", *flags, "-f", "-", input=as_list(documents))


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("flags", [["--dry-run=server"], ["--dry-run=server", "--server-side", "--force-conflicts"]])
def test_the_api_server_accepts_it(cluster: Cluster, namespace: str, flags: list[str]) -> None:
    """In one request a kind of tool; what is refused is named."""
    documents = [
        one if one["kind"] in CLUSTER_SCOPED else in_namespace(one, namespace)
        for documents in (*MANIFESTS.values(), *SHOWN.values())
        for one in documents
        if not one["apiVersion"].partition("/")[0].endswith(OTHERS)
    ]
    answer = apply(cluster, documents, *flags)
    assert answer.count("(server dry run)") == len(documents) > 50


def wait_looked_at(cluster: Cluster, names: list[str]) -> None:
    """Until the operator has written the status of every Connector and Dataset: the moment that a GitOps tool looks."""
    api = Api(cluster)

    def check() -> bool:
        for kind in ("connectors", "datasets"):
            for one in api.get(f"/apis/apperate.io/v1/{kind}")["items"]:
                metadata, status = one["metadata"], one.get("status", {})
                if metadata["namespace"] in names and status.get("observedGeneration") != metadata["generation"]:
                    raise LookupError(f"{metadata['namespace']}/{metadata['name']}: {status}")
        return True

    eventually(check, timeout=120, what="everything that was applied has been looked at")


@pytest.mark.parametrize("flags", [[], ["--server-side"]], ids=["client-side", "server-side"])
def test_nothing_drifts_after_it_is_applied(operator: Cluster, places: list[str], flags: list[str]) -> None:
    documents = [
        in_namespace(one, place) for place, documents in zip(places, OURS.values(), strict=True) for one in documents
    ]
    apply(operator, documents, *flags)
    wait_looked_at(operator, places)
    text = as_list(documents)

    def is_as_written() -> bool:
        # Not at the first look: what starts now has a status that changes while kubectl compares.
        try:
            operator.kubectl("diff", *flags, "-f", "-", input=text)
        except KubectlError as error:
            raise AssertionError(
                operator.kubectl("diff", *flags, "-f", "-", input=text, check=False) or error.stderr
            ) from None
        return True

    eventually(is_as_written, timeout=120, what="no drift")
