"""The manifests that the chart is made from."""

from __future__ import annotations

from pathlib import Path

import yaml

from generate.kustomize import Document, build, read_added_environment, read_documents
from generate.monitoring.alerts import build_rules

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"

BASE = [document for document in build(MANIFESTS / "base") if document["kind"] != "CustomResourceDefinition"]
"""The operator: account, Lease, Deployment."""
API = build(MANIFESTS / "api")
CLUSTER_RIGHTS = [
    *read_documents(MANIFESTS / "cluster-wide/rights.yaml"),
    *read_documents(MANIFESTS / "cluster-wide/roles-for-people.yaml"),
]
NAMESPACE_RIGHTS = read_documents(MANIFESTS / "namespaced/rights.yaml")
NAMESPACED_ENVIRONMENT = read_added_environment(MANIFESTS / "namespaced")
NETWORK_POLICY = read_documents(MANIFESTS / "extras/network-policy.yaml")
DISRUPTION_BUDGET = read_documents(MANIFESTS / "extras/disruption-budget.yaml")
API_NETWORK_POLICY = read_documents(MANIFESTS / "extras/api-network-policy.yaml")
POD_MONITORS = read_documents(MANIFESTS / "monitoring/pod-monitors.yaml")
RULES = [yaml.safe_load(build_rules())]


def _deployment(documents: list[Document]) -> Document:
    (found,) = (document for document in documents if document["kind"] == "Deployment")
    return found


OPERATOR_DEPLOYMENT = _deployment(BASE)
API_DEPLOYMENT = _deployment(API)
