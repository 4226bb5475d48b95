"""A runner's pod in layers: the built-in one, the installation's defaults, and on top the Connector's `spec.runner`.

Pure. One rule for each field, by the kind of field (`RULES`); `docs/pods.md` explains it to people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from connector_runner.schemas.config import config_problems
from connector_runner.schemas.kinds.checks import plain_schema
from connector_runner.schemas.kinds.reserved import own_problems
from connector_runner.schemas.kinds.runner import RunnerSpec

Layer = Mapping[str, Any]
FS_GROUP = 65532
"""Owns volumes that nobody else owns, so that a runner that is not root can write to a new claim."""
SAFE_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
SETTINGS_INSTEAD = {"terminationGracePeriodSeconds": "--runner-grace", "imagePullPolicy": "--runner-pull-policy"}
"""Fields of `spec.runner` whose default is a setting of the operator."""


def built_in(*, is_cluster_choosing: bool = False) -> Layer:
    """The lowest layer.

    Args:
        is_cluster_choosing: The cluster assigns its own groups and profiles (OpenShift): the layer sets none.
    """
    chosen = {} if is_cluster_choosing else {"fsGroup": FS_GROUP, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {"runAsNonRoot": True, **chosen},
        "containerSecurityContext": SAFE_CONTAINER,
    }


def merge_layers(layers: Iterable[Layer]) -> dict[str, Any]:
    """One layer from several, the later ones over the earlier ones; a null removes what is below it."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            if value is None:
                merged.pop(name, None)
            else:
                merged[name] = RULES.get(name, replace)(merged.get(name), value)
    return merged


def replace(_below: Any, above: Any) -> Any:
    """The rule for all other fields: the upper value replaces the lower one."""
    return above


def by_key(below: Any, above: Any) -> Any:
    """The rule for objects: merged key by key."""
    return {key: value for key, value in {**(below or {}), **above}.items() if value is not None}


def joined(*keys: str) -> Callable[[Any, Any], Any]:
    """The rule for lists: lower entries first, without those whose keys an upper one has (no keys: equal ones)."""

    def join(below: Any, above: Any) -> Any:
        taken = [_identity(entry, keys) for entry in above]
        return [*(entry for entry in below or () if _identity(entry, keys) not in taken), *above]

    return join


def _identity(entry: Any, keys: tuple[str, ...]) -> Any:
    return [entry.get(key) for key in keys] if keys else entry


RULES: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(("nodeSelector", "podLabels", "podAnnotations", "jobLabels", "jobAnnotations"), by_key),
    **dict.fromkeys(("securityContext", "containerSecurityContext"), by_key),
    "env": joined("name"),
    "volumes": joined("name"),
    "volumeMounts": joined("mountPath"),
    "imagePullSecrets": joined("name"),
    "hostAliases": joined("ip"),
    "topologySpreadConstraints": joined("topologyKey", "whenUnsatisfiable"),
    "tolerations": joined(),
}


def effective_runner(runner: RunnerSpec, layers: Iterable[Layer]) -> RunnerSpec:
    """The spec that a pod is made from: the installation's layers, and the Connector's spec over them."""
    merged = merge_layers([*layers, runner.raw()])
    return msgspec.convert(merged, RunnerSpec)


def follows_image(runner: RunnerSpec, layers: Iterable[Layer]) -> bool:
    """Whether a changed image replaces a running execution: `updatePolicy`, of the uppermost layer that has it."""
    policies = [layer.get("updatePolicy") for layer in layers]
    return next((p for p in (runner.update_policy, *reversed(policies)) if p), "Rolling") == "Rolling"


def defaults_problems(raw: Any) -> tuple[str, ...]:
    """What is wrong with an installation's defaults, one sentence each, beginning with the path."""
    if not isinstance(raw, dict):
        return ("expected a mapping with fields of spec.runner",)
    problems = [f"{name}: set {flag} instead" for name, flag in SETTINGS_INSTEAD.items() if name in raw]
    bare = _without_nulls(raw)
    problems += [p.removeprefix("runner.") for p in config_problems(bare, plain_schema(RunnerSpec), path="runner")]
    if not problems:
        problems += [p.removeprefix("runner.") for p in own_problems(bare, "runner")]
    return tuple(problems)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    return [_without_nulls(part) for part in value] if isinstance(value, list) else value
