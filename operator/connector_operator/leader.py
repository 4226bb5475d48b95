"""One active operator: it holds a Lease, and its process ends before another can take the Lease.

A separate thread checks the renewals, so that even a blocked event loop, or a process that was stopped for a
while, can't act on a Lease that it may have lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from datetime import UTC, datetime
from typing import Any

from connector_operator.cluster.client import ApiError, KubeClient
from connector_operator.metrics import IS_LEADER

log = logging.getLogger(__name__)
LOST_EXIT_CODE = 3


class Leadership:
    """A Lease of `duration` seconds; renewed every fifth of that, considered lost after two thirds."""

    def __init__(self, client: KubeClient, namespace: str, name: str, identity: str, duration: int) -> None:
        self._client = client
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self.identity = identity
        self._duration = duration
        self._lease: dict[str, Any] = {}
        self._renewed = 0.0
        self._seen: tuple[str, float] = ("", 0.0)
        self._is_released = threading.Event()

    async def acquire(self) -> None:
        """Waits until the Lease is ours."""
        is_logged = False
        while not await self._try():
            if not is_logged:
                log.info(
                    "waiting: %s is the active operator", self._lease.get("spec", {}).get("holderIdentity", "another")
                )
                is_logged = True
            await asyncio.sleep(self._duration / 5)
        IS_LEADER.set(1)
        log.info("active: %s holds the Lease %s", self.identity, self._name)
        threading.Thread(target=self._watch, name="lease", daemon=True).start()

    async def keep(self) -> None:
        """Renews until cancelled; ends the process when another process has the Lease."""
        while True:
            await asyncio.sleep(self._duration / 5)
            if not await self._try() and self._holder() not in {"", self.identity}:
                self._die(f"{self._holder()} has taken the Lease")

    async def release(self) -> None:
        """Lets another process take over at once."""
        self._is_released.set()
        IS_LEADER.set(0)
        spec = self._lease.get("spec", {})
        if spec.get("holderIdentity") == self.identity:
            body = {**self._lease, "spec": {**spec, "holderIdentity": "", "leaseDurationSeconds": 1}}
            try:
                await self._client.request("PUT", f"{self._path}/{self._name}", body=body, is_urgent=True)
            except ApiError as error:
                log.warning("the Lease could not be released: %s", error)

    def _watch(self) -> None:
        limit = self._duration * 2 / 3
        while not self._is_released.wait(0.1):
            if time.monotonic() - self._renewed > limit:
                self._die(f"the Lease was not renewed for {limit:.0f} s")

    def _die(self, why: str) -> None:
        log.error("this operator is no longer the active one: %s", why)
        os._exit(LOST_EXIT_CODE)  # this process may not write anything any more, not even while it exits

    def _holder(self) -> str:
        return str(self._lease.get("spec", {}).get("holderIdentity") or "")

    async def _try(self) -> bool:
        asked = time.monotonic()
        try:
            async with asyncio.timeout(self._duration / 3):
                is_ours = await self._take()
        except (ApiError, TimeoutError) as error:
            log.warning("the Lease could not be renewed: %s", error or "no answer in time")
            return False
        if is_ours:
            self._renewed = asked
        return is_ours

    async def _take(self) -> bool:
        """Creates, renews or takes over; because of the resourceVersion only one of several candidates succeeds."""
        try:
            self._lease = await self._client.request("GET", f"{self._path}/{self._name}", is_urgent=True)
        except ApiError as error:
            if error.status != 404:
                raise
            body = self._body({})
            return await self._put("POST", self._path, body)
        if self._holder() not in {"", self.identity} and not self._is_expired():
            return False
        return await self._put("PUT", f"{self._path}/{self._name}", self._body(self._lease))

    async def _put(self, method: str, path: str, body: dict[str, Any]) -> bool:
        try:
            self._lease = await self._client.request(method, path, body=body, is_urgent=True)
        except ApiError as error:
            if error.status == 409:
                return False
            raise
        return True

    def _is_expired(self) -> bool:
        """Whether the holder has not renewed for the Lease's duration: by our clock alone, because clocks differ."""
        spec = self._lease["spec"]
        sign = f"{spec.get('holderIdentity')} {spec.get('renewTime')}"
        if sign != self._seen[0]:
            self._seen = (sign, time.monotonic())
        return time.monotonic() - self._seen[1] > (spec.get("leaseDurationSeconds") or self._duration)

    def _body(self, before: dict[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = before.get("spec", {})
        is_new = spec.get("holderIdentity") != self.identity
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": before.get("metadata") or {"name": self._name},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": self._duration,
                "acquireTime": now if is_new else spec.get("acquireTime", now),
                "renewTime": now,
                "leaseTransitions": spec.get("leaseTransitions", 0) + (1 if is_new and before else 0),
            },
        }
