"""Hashes of specs, as version 0.1.0 wrote them on its Jobs: one that changes would restart every running execution at an upgrade."""

import json
from pathlib import Path
from typing import Any

import pytest

from connector_operator.resources.connector import config_hash, form_hash, parse_spec, sharing_hash, spec_hash
from connector_operator.resources.dataset import dataset_hash, parse_dataset
from connector_operator.workloads.jobs import RunnerSettings
from connector_runner.schemas.kinds.connector import ConnectorSpec

GOLDEN = json.loads(Path(__file__).with_name("golden_hashes.json").read_text(encoding="utf-8"))


def hashes_of(spec: ConnectorSpec) -> dict[str, str]:
    return {
        "config": config_hash(spec),
        "spec": spec_hash(spec),
        "form": form_hash(spec, "installation"),
        "sharing": sharing_hash(spec),
    }


@pytest.mark.parametrize("entry", GOLDEN["connectors"], ids=lambda entry: str(entry["name"]))
def test_the_hashes_of_a_connector_stay(entry: dict[str, Any]) -> None:
    spec, problems = parse_spec(entry["spec"])
    assert spec is not None
    assert problems == ()
    assert hashes_of(spec) == entry["hashes"]


@pytest.mark.parametrize("entry", GOLDEN["connectors"], ids=lambda entry: str(entry["name"]))
@pytest.mark.parametrize("policy", ["Rolling", "OnRestart"])
def test_when_a_changed_image_follows_is_part_of_no_hash(entry: dict[str, Any], policy: str) -> None:
    spec, problems = parse_spec(entry["spec"] | {"runner": {**entry["spec"].get("runner", {}), "updatePolicy": policy}})
    assert spec is not None
    assert problems == ()
    assert hashes_of(spec) == entry["hashes"]


def test_the_hash_of_an_installation_stays() -> None:
    """It decides whether a pod that has not started is replaced, and which discoveries are shared."""
    assert RunnerSettings(image="connector-runner:1").form() == GOLDEN["installation"]


@pytest.mark.parametrize("entry", GOLDEN["datasets"], ids=lambda entry: str(entry["name"]))
def test_the_hash_of_a_dataset_stays(entry: dict[str, Any]) -> None:
    spec, problems = parse_dataset(entry["spec"])
    assert spec is not None
    assert problems == ()
    assert dataset_hash(entry["name"], "TABLE", spec) == entry["hash"]
