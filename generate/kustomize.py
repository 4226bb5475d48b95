"""The manifests as kustomize builds them: what `install.yaml` and the chart are made from. Only what our kustomizations use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]
"""One Kubernetes object."""
CLUSTER_SCOPED = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace"}
_KEYS = {"apiVersion", "kind", "resources", "namespace", "labels", "patches"}
_FIRST = (
    "Namespace",
    "CustomResourceDefinition",
    "ServiceAccount",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
)


class KustomizeError(ValueError):
    """A kustomization has something that is not understood here; the message says what."""


def read_documents(path: Path) -> list[Document]:
    """The objects of a manifest."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def read_kustomization(folder: Path) -> Document:
    """A folder's kustomization.

    Raises:
        KustomizeError: It has a key that is not understood here.
    """
    kustomization: Document = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    if unknown := set(kustomization) - _KEYS:
        raise KustomizeError(f"{folder}/kustomization.yaml: generate/kustomize.py does not know {', '.join(unknown)}")
    return kustomization


def build(folder: Path) -> list[Document]:
    """The objects of a kustomization, in the order of kinds in which they can be applied.

    Raises:
        KustomizeError: Something is not understood here.
    """
    kustomization = read_kustomization(folder)
    documents: list[Document] = []
    for resource in kustomization["resources"]:
        path = folder / resource
        documents += build(path) if path.is_dir() else read_documents(path)
    for document in documents:
        for label in kustomization.get("labels", ()):
            document["metadata"].setdefault("labels", {}).update(label["pairs"])
        if namespace := kustomization.get("namespace"):
            _place(document, namespace)
    for patch in kustomization.get("patches", ()):
        _patch(documents, patch)
    return sorted(documents, key=lambda document: _rank(document["kind"]))


def read_added_environment(folder: Path) -> list[Document]:
    """The environment variables that the patches of a kustomization add to a container.

    Raises:
        KustomizeError: A patch is of another form.
    """
    operations = [
        operation
        for patch in read_kustomization(folder).get("patches", ())
        for operation in yaml.safe_load(patch["patch"])
    ]
    for operation in operations:
        path = operation["path"]
        if operation["op"] != "add" or path != "/spec/template/spec/containers/0/env/-":
            raise KustomizeError(f"{folder}: generate/kustomize.py does not know the patch {operation['op']} {path}")
    return [operation["value"] for operation in operations]


def _patch(documents: list[Document], patch: Document) -> None:
    for operation in yaml.safe_load(patch["patch"]):
        for document in documents:
            if (document["kind"], document["metadata"]["name"]) == (patch["target"]["kind"], patch["target"]["name"]):
                document["spec"]["template"]["spec"]["containers"][0]["env"].append(operation["value"])


def _place(document: Document, namespace: str) -> None:
    if document["kind"] not in CLUSTER_SCOPED:
        document["metadata"]["namespace"] = namespace
    for subject in document.get("subjects", ()):
        subject["namespace"] = namespace


def _rank(kind: str) -> int:
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)
