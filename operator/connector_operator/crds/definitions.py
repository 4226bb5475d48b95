"""Both custom resource definitions, from the declarations of the kinds and the schemas of the sources."""

from __future__ import annotations

from typing import Any

from connector_operator.crds.release import ANNOTATION, RELEASE
from connector_operator.crds.union import build_rules, build_union
from connector_runner.schemas.config import Schema, config_schema, connector_types
from connector_runner.schemas.kinds import naming
from connector_runner.schemas.kinds.connector import CONNECTOR
from connector_runner.schemas.kinds.dataset import DATASET
from connector_runner.schemas.kinds.declare import Column, Kind, build_schema


def build_connector_crd() -> dict[str, Any]:
    """The whole definition of Connector, for all types that have a schema."""
    schemas = {kind: config_schema(kind) for kind in connector_types()}
    spec = build_schema(CONNECTOR.spec)
    spec["properties"]["config"] |= build_union(schemas)
    spec["x-kubernetes-validations"] = [*build_rules(schemas), *(rule.build() for rule in CONNECTOR.spec_rules)]
    return _definition(CONNECTOR, spec)


def build_dataset_crd() -> dict[str, Any]:
    """The whole definition of Dataset."""
    spec = build_schema(DATASET.spec)
    del spec["properties"]["url"]["format"]  # password is our own format; the API server warns about it
    spec["x-kubernetes-validations"] = [rule.build() for rule in DATASET.spec_rules]
    return _definition(DATASET, spec)


def _definition(kind: Kind, spec: Schema) -> dict[str, Any]:
    version = {
        "name": naming.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
        "selectableFields": [{"jsonPath": path} for path in kind.selectable],
        "schema": {"openAPIV3Schema": _root(kind, spec)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{naming.GROUP}",
            "labels": {"app.kubernetes.io/part-of": "connector-operator"},
            "annotations": {ANNOTATION: RELEASE},
        },
        "spec": {
            "group": naming.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short],
                "categories": ["apperate"],
            },
            "versions": [version],
        },
    }


def _root(kind: Kind, spec: Schema) -> Schema:
    status = build_schema(kind.status)
    # Without it kstatus (Flux, Argo CD, kubectl wait) considers an object done that the operator has not visited yet.
    status["default"] = {"observedGeneration": -1}
    root: Schema = {
        "type": "object",
        "description": kind.description,
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
        "required": ["spec"],
    }
    return root | ({"x-kubernetes-validations": [rule.build() for rule in kind.rules]} if kind.rules else {})


def _column(column: Column) -> Schema:
    built: Schema = {
        "name": column.name,
        "jsonPath": column.path,
        "type": "date" if column.name == "Age" else "string",
    }
    built |= {"priority": 1} if column.is_wide else {}
    return built | ({"description": column.description} if column.description else {})
