"""A manifest that is run locally means the same as for kubectl: the same file is read by the real kubectl and by the runner."""

import base64
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from connector_runner.kubectl_yaml import KubectlYamlError, load_documents
from connector_runner.manifests import orders_from_file
from connector_runner.protocols.errors import InvalidConfigError
from tests.kit.cluster import Kit
from tests.kit.yaml_values import DOCUMENTS, SCALARS, random_scalar
from tests.localkube.cluster import Cluster, KubectlError


def read_by_kubectl(cluster: Cluster, text: str) -> Any:
    """What kubectl makes of a manifest, before the API server has seen it; None when it refuses."""
    try:
        told = cluster.kubectl("create", "--dry-run=client", "--validate=false", "-o", "json", "-f", "-", input=text)
    except KubectlError:
        return None
    return json.loads(told)


def read_by_hand(text: str) -> Any:
    try:
        return load_documents(text)[0]
    except KubectlYamlError:
        return None


def manifest(values: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  namespace: default\nvalues:\n{values}"


def same(value: Any) -> str:
    """JSON by value: 1.0 and 1 are one number, and one beyond 64 bits is as exact as a float."""

    def plain(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: plain(child) for key, child in part.items()}
        if isinstance(part, list):
            return [plain(child) for child in part]
        is_number = isinstance(part, int | float) and not isinstance(part, bool)
        return float(part) if is_number and not -(2**63) <= part < 2**63 else part

    return json.dumps(plain(value), sort_keys=True)


def differences(cluster: Cluster, scalars: list[str]) -> dict[str, tuple[Any, Any]]:
    """Scalars that the two read differently; many in one file, one a file where the whole is refused."""
    text = manifest("".join(f"  - {scalar}\n" for scalar in scalars))
    theirs, ours = read_by_kubectl(cluster, text), read_by_hand(text)
    if len(scalars) == 1:
        return (
            {} if same(theirs and theirs["values"]) == same(ours and ours["values"]) else {scalars[0]: (theirs, ours)}
        )
    # One that is refused spoils the file, and one that is open (a bracket) swallows the next.
    if theirs is not None and ours is not None and len(theirs["values"]) == len(ours["values"]) == len(scalars):
        pairs = zip(scalars, theirs["values"], ours["values"], strict=True)
        return {scalar: (a, b) for scalar, a, b in pairs if same(a) != same(b)}
    half = len(scalars) // 2
    return differences(cluster, scalars[:half]) | differences(cluster, scalars[half:])


def test_every_kind_of_scalar_is_read_as_kubectl_reads_it(cluster: Cluster) -> None:
    lone = {s: read_by_hand(manifest(f"  - {s}\n")) for s in SCALARS}
    good = [s for s, read in lone.items() if read is not None and len(read["values"]) == 1]
    assert len(good) > 150
    assert differences(cluster, good) == {}
    assert [s for s in lone if s not in good and differences(cluster, [s])] == []


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.fault) for seed in range(2, 8))])
def test_scalars_at_random_are_read_as_kubectl_reads_them(cluster: Cluster, seed: int) -> None:
    random = Random(seed)
    assert differences(cluster, [random_scalar(random) for _ in range(800 if seed == 1 else 4000)]) == {}


@pytest.mark.parametrize("text", DOCUMENTS)
def test_keys_merges_and_documents_are_read_as_kubectl_reads_them(cluster: Cluster, text: str) -> None:
    whole = text if text.startswith(("{", "apiVersion", "---")) else manifest(text)
    theirs, ours = read_by_kubectl(cluster, whole), read_by_hand(whole)
    assert same(theirs and theirs.get("values")) == same(ours and ours.get("values"))


@pytest.mark.parametrize("password", ["0123", "yes", "12:30:45", "'0123'", "2026-01-01", "1e3", "y", "~", "0o17", "x"])
def test_a_secret_by_hand_is_the_secret_of_the_cluster(kit: Kit, tmp_path: Path, password: str) -> None:
    secret = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: db}}\nstringData:\n  password: {password}\n"
    connector = {
        "apiVersion": "apperate.io/v1",
        "kind": "Connector",
        "metadata": {"name": "c"},
        "spec": {"connectorType": "MYSQL", "configFrom": [{"secretRef": {"name": "db"}}]},
    }
    file = tmp_path / "m.yaml"
    file.write_text(f"{secret}---\n{json.dumps(connector)}\n")
    try:
        found = kit.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", input=secret)
    except KubectlError:
        with pytest.raises(InvalidConfigError, match=r"Secret db: stringData\.password"):
            orders_from_file(file)
        return
    value = base64.b64decode(json.loads(found)["data"]["password"]).decode()
    assert orders_from_file(file).read_secrets() == [{"password": value}]
