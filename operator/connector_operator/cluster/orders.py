"""Writes what live executions are sent, into one ConfigMap each, and reads their runners' answers.

With two rights only, to create and to patch ConfigMaps: none is read or listed. A patch is refused unless the ConfigMap
belongs to the execution's Job, so that one which somebody else has made under its name is left alone.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import timedelta
from typing import Any

import msgspec

from connector_operator.cluster.client import JSON_PATCH, ApiError, KubeClient
from connector_operator.decide.actions import SendOrders
from connector_operator.decide.backoff import REFUSED_DELAY, delay_after
from connector_operator.decide.observation import Delivery, Observation
from connector_operator.resources import names
from connector_runner.schemas.kinds import naming
from connector_runner.schemas.manifest import SELECTION_FILE
from connector_runner.schemas.orders import OrdersAnswer, encode_orders, find_answer

AGAIN = (timedelta(minutes=1), timedelta(minutes=10))
"""Delays before orders that are as they should be are written again; doubling, and from the first when somebody had changed them."""
_KEPT = 4096
_LOG_LINES = "1000"
_LOG_BYTES = "1048576"


class _Written(msgspec.Struct):
    """What is remembered of one connector's orders."""

    delivery: Delivery
    version: str = ""
    times: int = 0


class Orders:
    """Remembers what was written, so that the orders of a connector cost a request only when one is due."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._written: OrderedDict[str, _Written] = OrderedDict()

    def known(self, uid: str) -> Delivery | None:
        """What this process has done about the orders of a connector's execution."""
        written = self._written.get(uid)
        return written.delivery if written is not None else None

    async def write(self, seen: Observation, action: SendOrders) -> str:
        """Makes the ConfigMap, or makes it again what it should be; returns why it is refused, "" if it is not.

        Raises:
            ApiError: The API server could not be asked.
        """
        mark, before = action.streams.whole_key, self._of(seen.uid, action.job)
        try:
            version, refusal = await self._apply(seen.namespace, action), ""
        except ApiError as error:
            if error.is_transient:
                raise
            version, refusal = "", _explain(error, action.job)
        is_same = before.delivery.mark == mark and before.version == version and before.delivery.refusal == refusal
        times = before.times + 1 if is_same else 1
        again = seen.now + delay_after(times, REFUSED_DELAY if refusal else AGAIN, seen.uid)
        delivery = msgspec.structs.replace(before.delivery, mark=mark, again=again, refusal=refusal)
        self._keep(seen.uid, _Written(delivery, version, times))
        return refusal if not is_same else ""

    async def read_answer(self, seen: Observation, job: str) -> tuple[OrdersAnswer | None, Delivery]:
        """The newest answer in the log of a Job's runner, and what is remembered from now on.

        Raises:
            ApiError: The API server could not be asked.
        """
        written = self._of(seen.uid, job)
        pod = next((pod for pod in seen.pods or () if pod.job == job and pod.is_alive), None)
        answer = None
        if pod is not None:
            path = f"/api/v1/namespaces/{seen.namespace}/pods/{pod.name}/log"
            query = {"container": names.CONTAINER, "tailLines": _LOG_LINES, "limitBytes": _LOG_BYTES}
            try:
                answer = find_answer(await self._client.request("GET", path, query=query, is_text=True))
            except ApiError as error:
                if error.is_transient:
                    raise
        written.delivery = msgspec.structs.replace(written.delivery, looked=seen.now)
        self._keep(seen.uid, written)
        return answer, written.delivery

    def _of(self, uid: str, job: str) -> _Written:
        found = self._written.get(uid)
        return found if found is not None and found.delivery.job == job else _Written(Delivery(job=job))

    def _keep(self, uid: str, written: _Written) -> None:
        self._written[uid] = written
        self._written.move_to_end(uid)
        if len(self._written) > _KEPT:
            self._written.popitem(last=False)

    async def _apply(self, namespace: str, action: SendOrders) -> str:
        """Patches, or creates if there is none; returns the version."""
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        name, data = names.orders_name(action.job), {SELECTION_FILE: encode_orders(action.streams)}
        change = [
            {"op": "test", "path": "/metadata/ownerReferences/0/uid", "value": action.uid},
            {"op": "add", "path": "/data", "value": data},
        ]
        query = {"fieldManager": names.MANAGER}
        try:
            made = await self._client.request(
                "PATCH", f"{path}/{name}", query=query, body=change, content_type=JSON_PATCH
            )
        except ApiError as error:
            if error.status != 404:
                raise
            made = await self._client.request("POST", path, query=query, body=build_orders(namespace, action))
        return str(made["metadata"]["resourceVersion"])


def build_orders(namespace: str, action: SendOrders) -> dict[str, Any]:
    """The ConfigMap, owned by the execution's Job: it goes with it."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": action.job, "uid": action.uid, "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.orders_name(action.job),
            "namespace": namespace,
            "labels": {naming.LABEL_MANAGED_BY: names.MANAGER},
            "ownerReferences": [owner],
        },
        "data": {SELECTION_FILE: encode_orders(action.streams)},
    }


def _explain(error: ApiError, job: str) -> str:
    name = names.orders_name(job)
    if error.status == 422 and "immutable" not in error.message:
        return (
            f"ConfigMap {name} is not this execution's, or somebody has changed its owner: delete it ({error.message})."
        )
    return (
        f"The API server refuses ConfigMap {name}, by which the runner gets the selection: {error.message.rstrip('.')}."
    )
