"""Objects of earlier versions under the present custom resource definitions: what was valid stays valid, with its status."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.local_operator import start_bare
from tests.kit.cluster import ROOT, Kit
from tests.localkube.cluster import LocalKube

UNIT = ROOT / "tests/unit/operator"
RECORDED: dict[str, Any] = json.loads((UNIT / "written_by_0_1_0.json").read_text())
GOLDEN: dict[str, Any] = json.loads((UNIT / "golden_hashes.json").read_text())
EARLIER = "55ac9cc"
"""The commit that wrote the recorded objects."""


def object_of(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "apperate.io/v1", "kind": kind, "metadata": {"name": name.lower()}, "spec": spec}


def recorded() -> list[dict[str, Any]]:
    """Every Connector and Dataset that version 0.1.0 has left."""
    kinds = {"connectors": "Connector", "datasets": "Dataset"}
    return [
        object_of(kind, raw["metadata"]["name"], raw["spec"]) for key, kind in kinds.items() for raw in RECORDED[key]
    ]


def all_objects() -> list[dict[str, Any]]:
    """These, and the specs whose hashes are kept."""
    kinds = {"connectors": "Connector", "datasets": "Dataset"}
    golden = [
        object_of(kind, f"golden-{key}-{number}", raw["spec"])
        for key, kind in kinds.items()
        for number, raw in enumerate(GOLDEN[key])
    ]
    return [*recorded(), *golden]


def as_list(objects: list[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def test_every_object_of_an_earlier_version_is_accepted(kit: Kit) -> None:
    objects = all_objects()
    said = kit.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input=as_list(objects))
    assert len(said.splitlines()) == len(objects)


@pytest.fixture
def earlier(local_only: None, tmp_path: Path) -> Iterator[LocalKube]:
    """A cluster with the definitions of then."""
    cluster = start_bare(tmp_path / "cluster")
    cluster.kubectl("delete", "crd", "--all")
    for file in ("connectors", "datasets"):
        show = ["git", "show", f"{EARLIER}:crds/{file}.yaml"]
        text = subprocess.run(show, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        cluster.kubectl("apply", "--server-side", "-f", "-", input=text)
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    yield cluster
    cluster.stop()


@pytest.mark.fault
def test_objects_that_are_stored_can_still_be_changed_after_the_definitions_are_upgraded(earlier: LocalKube) -> None:
    earlier.kubectl("apply", "-f", "-", input=as_list(recorded()))
    for raw in RECORDED["connectors"]:
        status = json.dumps({"status": raw["status"]})
        name = raw["metadata"]["name"]
        earlier.kubectl("patch", "connector", name, "--subresource=status", "--type=merge", "-p", status)
    before = {kind: earlier.get(kind)["items"] for kind in ("connectors", "datasets")}
    earlier.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(ROOT / "crds"))
    earlier.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    for kind, objects in before.items():
        now = {raw["metadata"]["name"]: raw for raw in earlier.get(kind)["items"]}
        for raw in objects:
            name = raw["metadata"]["name"]
            assert (now[name]["spec"], now[name].get("status")) == (raw["spec"], raw.get("status")), "nothing is lost"
    earlier.kubectl("label", "connectors,datasets", "--all", "touched=yes")
    for raw in RECORDED["connectors"]:
        name = raw["metadata"]["name"]
        earlier.kubectl("patch", "connector", name, "--type=merge", "-p", '{"spec":{"description":"changed"}}')
        status = json.dumps({"status": {**raw["status"], "runnerVersion": "1"}})
        earlier.kubectl("patch", "connector", name, "--subresource=status", "--type=merge", "-p", status)
        assert earlier.get("connector", name)["status"]["runnerVersion"] == "1"
