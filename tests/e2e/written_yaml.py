"""Every YAML that people are shown: manifests, examples, demo, and the blocks of the documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.kit.cluster import ROOT

BASE: dict[str, Any] = {
    "apiVersion": "apperate.io/v1",
    "kind": "Connector",
    "metadata": {"name": "shown-in-part"},
    "spec": {"connectorType": "COINBASE", "datasetId": "rows", "config": {"productId": ["BTC-USD"]}},
}
"""What a block that shows only some fields of a Connector is part of."""
DATASET: dict[str, Any] = {"apiVersion": "apperate.io/v1", "kind": "Dataset", "metadata": {"name": "shown-in-part"}}
OF_DATASET = {"url", "urlFrom", "options", "optionsFrom"}
"""Fields of a spec that only a Dataset has, so that a part with one of them is a Dataset's."""
NOT_FOR_KUBECTL = {"kustomization.yaml", "values.yaml", "Chart.yaml"}
FOLDERS = ("crds", "demo", "examples", "manifests")


BY_HAND = {"by-hand.yaml", "connector.yaml", "iceberg.yaml", "many.yaml"}
"""Files for the runner alone, whose rows stay in the folder: on a cluster their Datasets would need a volume."""


def merge(into: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Like a JSON merge patch."""
    both = {
        name: merge(into[name], value) if isinstance(value, dict) and isinstance(into.get(name), dict) else value
        for name, value in part.items()
    }
    return {**into, **both}


def complete(part: dict[str, Any]) -> dict[str, Any]:
    """The object of which only a part is shown."""
    return merge(DATASET if OF_DATASET & set(part.get("spec", {})) else BASE, part)


def find_manifests() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each file of manifests with its objects."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.yaml")):
            if path.name not in NOT_FOR_KUBECTL:
                left_out = "Dataset" if path.name in BY_HAND else ""
                documents = [one for one in yaml.safe_load_all(path.read_text()) if one and one["kind"] != left_out]
                yield str(path.relative_to(ROOT)), documents


def find_blocks() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each YAML block of the documents with its objects; one that shows a part of a Connector is completed."""
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]):
        for number, block in enumerate(re.findall(r"^```ya?ml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)):
            documents = [one for one in yaml.safe_load_all(block) if one]
            completed = [one if "kind" in one else complete(one) for one in documents]
            yield f"{page.relative_to(ROOT)} {number + 1}", completed


def in_namespace(document: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The object in another namespace than the one it names, if any."""
    return {**document, "metadata": {**document["metadata"], "namespace": namespace}}
