"""Checks before the start: what would otherwise fail later with an obscure error, each reported in one sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from connector_operator.cluster.client import ApiError, KubeClient
from connector_operator.crds.definitions import build_connector_crd, build_dataset_crd
from connector_runner.schemas.kinds import naming

Right = tuple[str, str, str]
"""API group, resource (with its subresource), verb."""

RIGHTS: tuple[Right, ...] = (
    *((naming.GROUP, kind, verb) for kind in (naming.CONNECTORS, naming.DATASETS) for verb in ("list", "watch")),
    (naming.GROUP, "connectors/status", "patch"),
    (naming.GROUP, "datasets/status", "patch"),
    *(("batch", "jobs", verb) for verb in ("get", "list", "watch", "create", "delete")),
    ("", "pods", "list"),
    ("", "pods/log", "get"),
    *(("", "events", verb) for verb in ("list", "create", "patch")),
)
"""Everything that the operator needs in each namespace that it watches; `manifests/` grants exactly this."""
ORDERS_RIGHTS: tuple[Right, ...] = tuple(("", "configmaps", verb) for verb in ("create", "patch"))
"""Needed only where a running selection changes. Not required at the start, so that an operator of this version also runs with
the rights of the version before: without them the condition SelectionApplied names what is missing.
"""
LEASE_RIGHTS: tuple[Right, ...] = tuple(("coordination.k8s.io", "leases", verb) for verb in ("get", "create", "update"))

_INSTALL = "install it with kubectl apply --server-side -f crds/"


async def check_cluster(client: KubeClient, namespaces: Iterable[str], lease_namespace: str) -> list[str]:
    """Everything that is missing, one sentence each; empty when the operator can start.

    Raises:
        ApiError: The API server can't be reached at all.
    """
    problems = await check_resources(client)
    watched = list(namespaces) or [""]
    missing = await lacking_rights(client, [(namespace, right) for namespace in watched for right in RIGHTS])
    missing_lease = await lacking_rights(client, [(lease_namespace, right) for right in LEASE_RIGHTS])
    return [*problems, *describe_lacking(missing), *describe_lacking(missing_lease)]


async def check_start(client: KubeClient, namespaces: Iterable[str], lease_namespace: str) -> list[str]:
    """Like `check_cluster`, but if rights are missing in some of several namespaces, the others are still served.

    Raises:
        ApiError: The API server can't be reached at all.
    """
    watched = list(namespaces)
    granted = await granted_namespaces(client, watched) if len(watched) > 1 else []
    return await check_cluster(client, granted or watched, lease_namespace)


async def granted_namespaces(client: KubeClient, namespaces: Iterable[str]) -> list[str]:
    """The namespaces in which the operator has all its rights.

    Raises:
        ApiError: The API server can't be reached.
    """
    asked = list(namespaces)
    missing = await lacking_rights(client, [(namespace, right) for namespace in asked for right in RIGHTS])
    return [namespace for namespace in asked if namespace not in missing]


async def lacking_rights(client: KubeClient, asked: list[tuple[str, Right]]) -> dict[str, list[str]]:
    """Which of some rights are missing, by namespace, in words."""
    granted = await asyncio.gather(*(_is_granted(client, *one) for one in asked))
    missing: dict[str, list[str]] = {}
    for (namespace, (group, resource, verb)), is_granted in zip(asked, granted, strict=True):
        if not is_granted:
            name = f"{resource}.{group}" if group else resource
            missing.setdefault(namespace, []).append(f"{verb} {name}")
    return missing


def describe_lacking(missing: dict[str, list[str]]) -> list[str]:
    """A sentence for each namespace."""
    problems = []
    for namespace, rights in missing.items():
        where = f"in namespace {namespace!r}" if namespace else "in all namespaces (is this the namespaced install?)"
        problems.append(f"The operator's service account lacks rights {where}: {', '.join(rights)}; see manifests/.")
    return problems


async def gives_own_ids(client: KubeClient) -> bool:
    """Whether the cluster assigns users, groups and profiles to pods, and refuses others: OpenShift.

    It is recognised by its API group.
    """
    try:
        await client.request("GET", "/apis/security.openshift.io")
    except ApiError as error:
        if error.status in {403, 404}:
            return False
        raise
    return True


async def check_resources(client: KubeClient) -> list[str]:
    """Whether both kinds exist and have every field that this operator writes or passes on."""
    try:
        found = await client.request("GET", f"/apis/{naming.API_VERSION}")
    except ApiError as error:
        if error.status != 404:
            raise
        found = {"resources": []}
    served = {resource["name"] for resource in found["resources"]}
    problems = [
        f"The custom resource definition {plural}.{naming.GROUP} is missing; {_INSTALL}."
        for plural in (naming.CONNECTORS, naming.DATASETS)
        if plural not in served
    ]
    if problems:
        return problems
    document = await client.request("GET", f"/openapi/v3/apis/{naming.API_VERSION}")
    schemas = {
        kind["kind"]: schema
        for schema in document["components"]["schemas"].values()
        for kind in schema.get("x-kubernetes-group-version-kind", ())
    }
    for crd in (build_connector_crd(), build_dataset_crd()):
        kind = crd["spec"]["names"]["kind"]
        wanted = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        lacking = sorted(_fields(wanted) - _fields(schemas.get(kind, {})))
        if lacking:
            problems.append(
                f"The custom resource definition of {kind} is of another version than this operator, it lacks "
                f"{', '.join(lacking[:5])}{' and more' if len(lacking) > 5 else ''}; {_INSTALL}."
            )
    return problems


def _fields(schema: dict[str, Any], prefix: str = "") -> set[str]:
    """Dotted paths of all fields of spec and status."""
    found: set[str] = set()
    for name, child in schema.get("properties", {}).items():
        if prefix or name in {"spec", "status"}:
            found.add(f"{prefix}{name}")
            found |= _fields(child.get("items", child), f"{prefix}{name}.")
    return found


async def _is_granted(client: KubeClient, namespace: str, right: Right) -> bool:
    group, resource, verb = right
    kind, _, subresource = resource.partition("/")
    attributes = {"group": group, "resource": kind, "verb": verb}
    attributes |= {"namespace": namespace} if namespace else {}
    attributes |= {"subresource": subresource} if subresource else {}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = await client.request(
        "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body, is_urgent=True
    )
    return bool(answer["status"].get("allowed"))
