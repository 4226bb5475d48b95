"""The one module that writes to the cluster: statuses, Jobs, events. What people own is never written."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from typing import Any

from connector_operator.cluster.cache import ClusterCache
from connector_operator.cluster.client import APPLY, MERGE, ApiError, KubeClient
from connector_operator.cluster.jobs import JobPoster, jobs_path, require_known
from connector_operator.engine.fair_queue import Key
from connector_operator.resources import names
from connector_operator.resources.times import format_time
from connector_operator.resources.workload import read_job
from connector_runner.schemas.kinds import naming

_EVENTS_REMEMBERED = 4096
_MESSAGE_LIMIT = 1024
PLURALS = {"connector": naming.CONNECTORS, "dataset": naming.DATASETS}
KINDS = {"connector": "Connector", "dataset": "Dataset"}


def object_path(key: Key) -> str:
    """The API path of a Connector or Dataset."""
    return f"/apis/{naming.API_VERSION}/namespaces/{key.namespace}/{PLURALS[key.kind]}/{key.name}"


class Writer:
    """Writes to the cluster, and records in the cache what it wrote."""

    def __init__(self, client: KubeClient, cache: ClusterCache, poster: JobPoster) -> None:
        self._client = client
        self._poster = poster
        self._cache = cache
        self._events: OrderedDict[tuple[str, str, str], tuple[str, int]] = OrderedDict()

    async def write_status(self, key: Key, version: str, status: dict[str, Any]) -> str:
        """Applies a whole status, if the object is still at `version`; returns the new version.

        Raises:
            ApiError: 409 when somebody else has written in the meantime: observe again.
        """
        body = {
            "apiVersion": naming.API_VERSION,
            "kind": KINDS[key.kind],
            "metadata": {"name": key.name, "namespace": key.namespace, "resourceVersion": version},
            "status": status,
        }
        query = {"fieldManager": names.MANAGER, "force": "true"}
        path = f"{object_path(key)}/status"
        written = await self._client.request("PATCH", path, query=query, body=body, content_type=APPLY)
        self._cache.note_written(key, written)
        return str(written["metadata"]["resourceVersion"])

    async def create_job(self, key: Key, body: dict[str, Any]) -> None:
        """Creates a Job; if the Job of the same execution already exists, that is fine, too.

        Raises:
            ApiError: Refused (quota, admission), or the name belongs to a foreign Job or one that is being deleted.
        """
        name = body["metadata"]["name"]
        try:
            made = await self._poster.post(key.namespace, body)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            made = await self._client.request("GET", jobs_path(key.namespace, name))
            job, uid = read_job(made), body["metadata"]["ownerReferences"][0]["uid"]
            owners = made["metadata"].get("ownerReferences") or ()
            if job.owner != uid and any(owner.get("controller") and owner.get("uid") == uid for owner in owners):
                await self._poster.remove(key.namespace, made)
                require_known(body, made)
            if job.owner != uid or job.deleting is not None:
                raise ApiError(409, "NameTaken", f"Job {name} exists and is not this execution's; delete it") from None
        self._cache.note_job(key, made)

    async def delete_job(self, key: Key, name: str, uid: str, *, in_foreground: bool) -> None:
        """Deletes a Job; in the foreground it stays until its pods are gone. A Job that is already gone is no error."""
        body: dict[str, Any] = {"propagationPolicy": "Foreground" if in_foreground else "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            answer = await self._client.request("DELETE", jobs_path(key.namespace, name), body=body)
        except ApiError as error:
            if error.status not in {404, 409}:
                raise
            if uid and error.status == 404:
                self._cache.note_job_deleted(uid)
            return
        if in_foreground and answer.get("kind") == "Job":
            self._cache.note_job(key, answer)
        elif uid:
            self._cache.note_job_deleted(uid)

    async def send_event(
        self, key: Key, uid: str, reason: str, message: str, *, is_warning: bool, now: datetime
    ) -> None:
        """Posts an event; if the same event is repeated, only its count grows."""
        message = message[:_MESSAGE_LIMIT]
        same = (uid, reason, message)
        name, count = self._events.get(same, (f"{key.name}.{names.hash_value([*same, format_time(now)])}", 0))
        moment = format_time(now)
        path = f"/api/v1/namespaces/{key.namespace}/events"
        if count:
            try:
                patch = {"count": count + 1, "lastTimestamp": moment}
                await self._client.request("PATCH", f"{path}/{name}", body=patch, content_type=MERGE)
            except ApiError as error:
                if error.status != 404:
                    raise
                count = 0  # the event has expired
        if not count:
            await self._client.request("POST", path, body=_event(key, uid, name, reason, message, is_warning, moment))
        self._events[same] = (name, count + 1)
        self._events.move_to_end(same)
        if len(self._events) > _EVENTS_REMEMBERED:
            self._events.popitem(last=False)


def _event(key: Key, uid: str, name: str, reason: str, message: str, is_warning: bool, moment: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": naming.API_VERSION,
            "kind": KINDS[key.kind],
            "namespace": key.namespace,
            "name": key.name,
            "uid": uid,
        },
        "type": "Warning" if is_warning else "Normal",
        "reason": reason,
        "message": message,
        "count": 1,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "source": {"component": names.MANAGER},
        "reportingComponent": names.MANAGER,
    }
