"""The operator's rights for docs/security.md, from the role that the manifests install."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from generate.blocks import Blocks, table

ROLE = Path(__file__).parents[1] / "manifests/cluster-wide/rights.yaml"
_PURPOSES = {
    "connectors": "what people ask for",
    "datasets": "what people ask for",
    "connectors/status": "what it reports",
    "datasets/status": "what it reports",
    "connectors/finalizers": "owner references where they are guarded (OpenShift); nothing is written",
    "jobs": "executions and discoveries",
    "pods": "why one does not start, and whether it has ended",
    "pods/log": "the list of streams of a discovery, the progress of a runner, its last words",
    "events": "what it reports, and why a pod does not start",
    "configmaps": "a changed `spec.streams` for a running execution; none is read",
}
"""What the operator does with each kind."""


def build_rights() -> str:
    """Each kind with its verbs and what they are for.

    Raises:
        KeyError: The role has a kind whose purpose is not said here.
    """
    rules: list[dict[str, Any]] = next(yaml.safe_load_all(ROLE.read_text()))["rules"]
    rows = [
        [f"`{resource}`", rule["apiGroups"][0] or "core", ", ".join(rule["verbs"]), _PURPOSES[resource]]
        for rule in rules
        for resource in rule["resources"]
    ]
    return table(["kind", "group", "verbs", "for"], rows)


BLOCKS: Blocks = {"rights": build_rights}
