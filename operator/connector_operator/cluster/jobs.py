"""Sends Jobs to the API server, to create them or as a dry run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from connector_operator.cluster.client import ApiError, KubeClient
from connector_operator.resources import names
from connector_operator.resources.workload import read_job
from connector_runner.schemas.kinds import naming

_LABELS = (names.LABEL_CONNECTOR, names.LABEL_ROLE, names.LABEL_RUN)
log = logging.getLogger(__name__)


def jobs_path(namespace: str, job: str = "") -> str:
    """The API path of a namespace's Jobs, or of one."""
    return f"/apis/batch/v1/namespaces/{namespace}/jobs{'/' + job if job else ''}"


def explain_unknown(asked: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    """Why a Job could not be recognised as the requested one, as a sentence; "" when it can.

    Args:
        asked: The Job as it was sent.
        made: The Job as the API server has created it, or would create it.
    """
    mine, its = asked["metadata"], made.get("metadata") or {}
    if read_job(made).owner == mine["ownerReferences"][0]["uid"]:
        return ""
    has, said = its.get("labels") or {}, mine["labels"]
    changed = [f"label {name}" for name in _LABELS if has.get(name) != said[name]]
    changed += ["owner reference"] if not its.get("ownerReferences") else []
    what = ", ".join(changed) or "name or owner"
    return (
        f"something that changes Jobs when they are made (a mutating policy or webhook) takes away or changes its {what}, "
        "by which the operator knows it: have it leave Jobs with the label app.kubernetes.io/managed-by: "
        f"{names.MANAGER} alone, or at least their labels {naming.GROUP}/* and their owner references"
    )


class JobPoster:
    """Posts Jobs that block the deletion of their Connector, so that `--cascade=foreground` waits for their pods.

    If the API server checks that (OwnerReferencesPermissionEnforcement, as on OpenShift), blocking needs a right to
    update the finalizers of Connectors. The operator does not require this right: without it the Jobs block nothing.

    A Job that the operator could not recognise as its own is deleted at once. From then on Jobs of that namespace are
    first sent as a dry run, so that no more pods are created in vain.
    """

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._may_block = True
        self._tried_first: set[str] = set()

    async def post(self, namespace: str, body: dict[str, Any], *, is_trial: bool = False) -> dict[str, Any]:
        """One request; a second one the first time that blocking is refused, and where a dry run comes first.

        Raises:
            ApiError: Refused, not reached, or the result could not be recognised as the operator's own Job.
        """
        if is_trial or namespace in self._tried_first:
            require_known(body, await self._send(namespace, body, {"dryRun": "All"}))
            self._tried_first.discard(namespace)
        if is_trial:
            return body
        made = await self._send(namespace, body, {})
        try:
            require_known(body, made)
        except ApiError:
            self._tried_first.add(namespace)
            await self.remove(namespace, made)
            raise
        return made

    async def remove(self, namespace: str, made: Mapping[str, Any]) -> None:
        """Deletes a Job that was created for the operator, but can't be recognised as its own; if it is gone, fine.

        Raises:
            ApiError: The request was refused, or the server not reached.
        """
        meta = made["metadata"]
        body = {"propagationPolicy": "Foreground", "preconditions": {"uid": meta["uid"]}}
        try:
            await self._client.request("DELETE", jobs_path(namespace, meta["name"]), body=body)
        except ApiError as error:
            if error.status not in {404, 409}:
                raise

    async def _send(self, namespace: str, body: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
        try:
            return await self._request(namespace, body, query)
        except ApiError as error:
            if not self._may_block or error.status != 403 or "blockOwnerDeletion" not in error.message:
                raise
            self._may_block = False
            log.info("Jobs can't block the deletion of their Connector here: %s", error.message)
            return await self._request(namespace, body, query)

    async def _request(self, namespace: str, body: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
        for owner in body["metadata"]["ownerReferences"]:
            owner["blockOwnerDeletion"] = self._may_block
        made: dict[str, Any] = await self._client.request("POST", jobs_path(namespace), query=query, body=body)
        return made


def require_known(asked: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Rejects a Job that could not be recognised as the requested one.

    Raises:
        ApiError: It could not be recognised.
    """
    if why := explain_unknown(asked, made):
        raise ApiError(422, "NotOurs", why)
