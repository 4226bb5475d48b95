"""Sends Jobs to the API server, for good or as a dry run."""

from __future__ import annotations

import logging
from typing import Any

from connector_operator.cluster.client import ApiError, KubeClient

log = logging.getLogger(__name__)


def jobs_path(namespace: str, job: str = "") -> str:
    """The API path of a namespace's Jobs, or of one."""
    return f"/apis/batch/v1/namespaces/{namespace}/jobs{'/' + job if job else ''}"


class JobPoster:
    """Posts Jobs that block the deletion of their Connector, so that `--cascade=foreground` waits for their pods.

    Where the API server checks that (OwnerReferencesPermissionEnforcement, as OpenShift does), it takes a right to update
    the finalizers of Connectors. The operator asks for no such right: without it the Jobs block nothing, as it was before.
    """

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._may_block = True

    async def post(self, namespace: str, body: dict[str, Any], *, is_trial: bool = False) -> dict[str, Any]:
        """One request; a second one the first time that blocking is refused.

        Raises:
            ApiError: Refused, or not reached.
        """
        query = {"dryRun": "All"} if is_trial else {}
        try:
            return await self._send(namespace, body, query)
        except ApiError as error:
            if not self._may_block or error.status != 403 or "blockOwnerDeletion" not in error.message:
                raise
            self._may_block = False
            log.info("Jobs can't block the deletion of their Connector here: %s", error.message)
            return await self._send(namespace, body, query)

    async def _send(self, namespace: str, body: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
        for owner in body["metadata"]["ownerReferences"]:
            owner["blockOwnerDeletion"] = self._may_block
        made: dict[str, Any] = await self._client.request("POST", jobs_path(namespace), query=query, body=body)
        return made
