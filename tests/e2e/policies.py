"""Admission policies of one namespace, in place of what other people's clusters have: queues, meshes, policy engines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.kit.cluster import Kit
from tests.localkube.cluster import KubectlError, eventually

API = "admissionregistration.k8s.io/v1"
APIS = {"jobs": "batch", "pods": ""}
SIDECAR = (
    'object.spec.containers.exists(c, c.name == "mesh") ? [] : [JSONPatch{op: "add", path: "/spec/containers/0", value: '
    'Object.spec.containers{name: "mesh", image: "sh:test", args: ["trap \'exit 0\' TERM; while :; do sleep 1; done"], '
    "securityContext: Object.spec.containers.securityContext{runAsUser: 65532}}}]"
)
"""The proxy of a service mesh, which starts first and runs until it is asked to end."""
SUSPEND = '[JSONPatch{op: "add", path: "/spec/suspend", value: true}]'
GATE = '[JSONPatch{op: "add", path: "/spec/schedulingGates", value: [{"name": "queue.example/gate"}]}]'
"""What a queue puts on pods that it has not admitted yet."""
STRIP_LABELS = (
    '!has(object.metadata.labels) ? [] : object.metadata.labels.filter(l, l.startsWith("apperate.io/")).map(l, '
    'JSONPatch{op: "remove", path: "/metadata/labels/" + jsonpatch.escapeKey(l)})'
)
"""A policy that lets only labels of its own list through."""


def _base(kit: Kit, name: str, resource: str, operations: list[str]) -> dict[str, Any]:
    rule = {"apiGroups": [APIS[resource]], "apiVersions": ["v1"], "operations": operations, "resources": [resource]}
    where = {"matchLabels": {"kubernetes.io/metadata.name": kit.namespace}}
    return {"matchConstraints": {"resourceRules": [rule], "namespaceSelector": where}}


@contextmanager
def _policy(kit: Kit, kind: str, name: str, spec: dict[str, Any], binding: dict[str, Any]) -> Iterator[None]:
    full = f"{name}-{kit.namespace}"
    made = [
        {"apiVersion": API, "kind": kind, "metadata": {"name": full}, "spec": spec},
        {
            "apiVersion": API,
            "kind": f"{kind}Binding",
            "metadata": {"name": full},
            "spec": {"policyName": full, **binding},
        },
    ]
    for one in made:
        kit.kubectl("apply", "-f", "-", input=json.dumps(one))
    try:
        yield
    finally:
        kit.kubectl("delete", f"{kind.lower()}binding,{kind.lower()}", full, "--ignore-not-found")


def _probe(kit: Kit, resource: str, name: str = "probe") -> Any:
    """A dry run of what the policy is about; as the API server would have it."""
    command = ["create", "job", name] if resource == "jobs" else ["run", name, "--restart=Never"]
    return json.loads(kit.kubectl(*command, "--image=none", "--dry-run=server", "-o", "json"))


@contextmanager
def refuse(
    kit: Kit,
    resource: str,
    message: str,
    expression: str = "false",
    operations: tuple[str, ...] = ("CREATE",),
    *,
    waits: bool = True,
    probe: str = "",
) -> Iterator[None]:
    """Refuses what does not fulfil a CEL expression; holds when the block begins, if it `waits` for that.

    `probe` names an object that the expression refuses, where it does not refuse all.
    """
    spec = _base(kit, "refuse", resource, list(operations)) | {
        "validations": [{"expression": expression, "message": message}]
    }
    with _policy(kit, "ValidatingAdmissionPolicy", f"refuse-{resource}", spec, {"validationActions": ["Deny"]}):
        if waits and (probe or expression == "false") and "CREATE" in operations:

            def holds() -> bool:
                try:
                    _probe(kit, resource, probe or "probe")
                except KubectlError as error:
                    return message in error.stderr
                return False

            eventually(holds, what=f"the policy {message!r} holds")
        yield


@contextmanager
def mutate(kit: Kit, resource: str, patch: str, *, waits: bool = True) -> Iterator[None]:
    """Changes what is created, by a JSON patch in CEL; holds in the whole block and not after it, if it `waits` for that."""
    mark = '[JSONPatch{op: "add", path: "/metadata/annotations", value: {"mutated": "yes"}}]'
    guarded = f'has(object.metadata.name) && object.metadata.name == "probe" ? {mark} : ({patch})'
    spec = _base(kit, "mutate", resource, ["CREATE"]) | {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": guarded}}],
    }
    with _policy(kit, "MutatingAdmissionPolicy", f"mutate-{resource}", spec, {}):
        if waits:
            eventually(lambda: is_mutated(kit, resource), what="the mutation holds")
        yield
    if waits:
        eventually(lambda: not is_mutated(kit, resource), what="the mutation holds no longer")


def is_mutated(kit: Kit, resource: str) -> bool:
    """Whether a mutation holds now."""
    return bool(_probe(kit, resource)["metadata"].get("annotations", {}).get("mutated") == "yes")
