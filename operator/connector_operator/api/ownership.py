"""Which GitOps tool manages a connector: it would undo what somebody changes by hand. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ARGO = "argocd.argoproj.io"
_KUSTOMIZE = "kustomize.toolkit.fluxcd.io"
_HELM_OF_FLUX = "helm.toolkit.fluxcd.io"
_MANAGERS = {
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
    "helm": "Helm",
}
"""Field managers by which these tools write."""


def find_owner(metadata: Mapping[str, Any]) -> dict[str, str] | None:
    """The tool that manages a resource (`tool`) and what it calls the set that the resource is in (`name`, "" if unknown); None for none.

    By the labels and annotations that the tools document; else by who wrote fields of the spec.
    """
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if tracked := annotations.get(f"{_ARGO}/tracking-id"):
        return _owner("Argo CD", str(tracked).partition(":")[0])
    if instance := labels.get(f"{_ARGO}/instance"):
        return _owner("Argo CD", instance)
    for prefix in (_KUSTOMIZE, _HELM_OF_FLUX):
        if name := labels.get(f"{prefix}/name"):
            return _owner("Flux", f"{labels.get(f'{prefix}/namespace', '')}/{name}".strip("/"))
    if release := annotations.get("meta.helm.sh/release-name"):
        return _owner("Helm", release)
    if labels.get("app.kubernetes.io/managed-by") == "Helm":
        return _owner("Helm", labels.get("app.kubernetes.io/instance", ""))
    return _find_writer(metadata)


def _find_writer(metadata: Mapping[str, Any]) -> dict[str, str] | None:
    for entry in metadata.get("managedFields") or ():
        tool = _MANAGERS.get(str(entry.get("manager", "")))
        if tool and "f:spec" in (entry.get("fieldsV1") or {}):
            return _owner(tool, "")
    return None


def _owner(tool: str, name: Any) -> dict[str, str]:
    return {"tool": tool, "name": str(name)}
