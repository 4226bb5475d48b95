"""Hashes of specs, as version 0.1.0 wrote them on its Jobs: one that changes would restart every running execution at an upgrade."""

import json
from pathlib import Path
from typing import Any

import pytest

from connector_operator.resources.connector import config_hash, parse_spec, spec_hash
from connector_operator.resources.dataset import dataset_hash, parse_dataset

GOLDEN = json.loads(Path(__file__).with_name("golden_hashes.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("entry", GOLDEN["connectors"], ids=lambda entry: str(entry["name"]))
def test_the_hashes_of_a_connector_stay(entry: dict[str, Any]) -> None:
    spec, problems = parse_spec(entry["spec"])
    assert spec is not None
    assert problems == ()
    assert {"config": config_hash(spec), "spec": spec_hash(spec)} == entry["hashes"]


@pytest.mark.parametrize("entry", GOLDEN["datasets"], ids=lambda entry: str(entry["name"]))
def test_the_hash_of_a_dataset_stays(entry: dict[str, Any]) -> None:
    spec, problems = parse_dataset(entry["spec"])
    assert spec is not None
    assert problems == ()
    assert dataset_hash(entry["name"], "TABLE", spec) == entry["hash"]
