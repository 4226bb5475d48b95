"""Reads the progress of running connectors from the end of their runners' logs: staggered, bounded, and apart from visits.

A visit never waits for it: a kubelet that does not answer would hold a worker for as long as the request may take. What was read is kept
here, and a connector is visited only when it has changed.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

from connector_operator.cluster.cache import ClusterCache
from connector_operator.cluster.client import ApiError, KubeClient
from connector_operator.decide.facts import is_live, own_jobs
from connector_operator.decide.observation import Heard
from connector_operator.engine.fair_queue import Key
from connector_operator.resources import names
from connector_operator.resources.workload import ObservedJob, read_pods
from connector_runner.schemas.progress import parse_progress

SHARE = 0.25
"""Of the requests a second that the operator may send, at most so many are for progress."""
TAIL_LINES = "1000"
TAIL_BYTES = str(512 * 1024)
_MOST_AT_A_TIME = 8
_TIMEOUT = 10.0
_MARGIN = 5
"""Seconds that each read looks further back than to the last one."""
_PATIENCE = 3
"""Reads in a row that may fail before the status says so."""
_LONGEST_FACTOR = 16
log = logging.getLogger(__name__)


@dataclass
class _Runner:
    """One live execution.

    Attributes:
        due: When it is read next, as `time.monotonic`.
        pod: The name of its pod; "" if it is not known.
        read: When it was last read.
        failures: How many reads in a row have failed.
    """

    run: int
    job: str
    due: float
    pod: str = ""
    read: float | None = None
    failures: int = 0
    heard: Heard | None = None


class ProgressReader:
    """Asks live executions that are ready, each at most once in `seconds`; with 0 it asks nothing.

    Args:
        client: Sends the requests.
        cache: What the watches show.
        seconds: How often one execution is asked.
        requests_per_second: The operator's own limit.
        wake: Called with a connector whose progress has changed.
    """

    def __init__(
        self, client: KubeClient, cache: ClusterCache, seconds: int, requests_per_second: int, wake: Callable[[Key], None]
    ) -> None:  # fmt: skip
        self._client = client
        self._cache = cache
        self._seconds = seconds
        self._gap = 1 / (SHARE * requests_per_second)
        self._wake = wake
        self._runners: dict[Key, _Runner] = {}
        self._reading: set[asyncio.Task[None]] = set()

    def heard(self, key: Key) -> Heard | None:
        """What was last read about a connector's live execution."""
        runner = self._runners.get(key)
        return None if runner is None else runner.heard

    async def run(self) -> None:
        """Reads until it is cancelled."""
        if not self._seconds:
            return
        listed, every = -math.inf, min(5.0, self._seconds / 4)
        try:
            while True:
                now = time.monotonic()
                if now - listed >= every:
                    listed = now
                    self.list_runners(now)
                key = self.next_due(now)
                if key is not None and len(self._reading) < _MOST_AT_A_TIME:
                    self._runners[key].due = math.inf
                    reading = asyncio.create_task(self._read(key, self._runners[key]))
                    self._reading.add(reading)
                    reading.add_done_callback(self._reading.discard)
                await asyncio.sleep(self._gap if key is not None else min(every, 0.5))
        finally:
            left = list(self._reading)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def list_runners(self, now: float) -> None:
        """Takes in which executions are live; a new one is first read at a moment of its own within the interval."""
        found: dict[Key, _Runner] = {}
        for key in self._cache.connector_keys():
            raw = self._cache.connector(key)
            jobs = own_jobs(self._cache.jobs(key), raw["metadata"]["uid"], names.ROLE_RUNNER) if raw else []
            job = next((job for job in reversed(jobs) if is_live(job)), None)
            if job is not None and (runner := self._keep(key, job, now)) is not None:
                found[key] = runner
        self._runners = found

    def _keep(self, key: Key, job: ObservedJob, now: float) -> _Runner | None:
        known = self._runners.get(key)
        if known is not None and known.job == job.name:
            return known
        if not job.ready:
            return None
        share = crc32(f"{key.namespace}/{key.name}".encode()) / 2**32
        return _Runner(job.run, job.name, now + share * self._seconds)

    def next_due(self, now: float) -> Key | None:
        """The execution that has waited longest to be read; None if none is due."""
        due = ((runner.due, key) for key, runner in self._runners.items() if runner.due <= now)
        return min(due, default=(0.0, None))[1]

    async def _read(self, key: Key, runner: _Runner) -> None:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(_TIMEOUT):
                heard = await self._ask(key, runner)
        except (ApiError, TimeoutError) as error:
            self._fail(key, runner, error)
        else:
            runner.read, runner.failures = begun, 0
            self._take(key, runner, heard)
        finally:
            factor = min(2**runner.failures, _LONGEST_FACTOR)
            runner.due = begun + self._seconds * factor

    async def _ask(self, key: Key, runner: _Runner) -> Heard:
        """One log read, and before the first one a list of pods; what was known stays if the log has nothing new."""
        if not runner.pod:
            runner.pod = await self._find_pod(key, runner.job)
        query = {"container": names.CONTAINER, "tailLines": TAIL_LINES, "limitBytes": TAIL_BYTES}
        if runner.read is not None:
            query["sinceSeconds"] = str(math.ceil(time.monotonic() - runner.read) + _MARGIN)
        path = f"/api/v1/namespaces/{key.namespace}/pods/{runner.pod}/log"
        progress = parse_progress(await self._client.request("GET", path, query=query, is_text=True))
        if progress is None and runner.heard is not None:
            progress = runner.heard.progress
        return Heard(runner.run, progress)

    async def _find_pod(self, key: Key, job: str) -> str:
        path = f"/api/v1/namespaces/{key.namespace}/pods"
        found = await self._client.request("GET", path, query={"labelSelector": f"{names.LABEL_CONNECTOR}={key.name}"})
        pod = next((pod for pod in read_pods(found["items"]) if pod.job == job and pod.is_alive), None)
        if pod is None:
            raise ApiError(404, "NotFound", f"no pod of Job {job} is found")
        return pod.name

    def _fail(self, key: Key, runner: _Runner, error: ApiError | TimeoutError) -> None:
        runner.failures += 1
        runner.pod = ""
        why = str(error) if isinstance(error, ApiError) else "no answer"
        if runner.failures == _PATIENCE:
            log.warning("progress can't be read: %s", why, extra={"namespace": key.namespace, "object": key.name})
        if runner.failures >= _PATIENCE:
            self._take(key, runner, Heard(runner.run, problem=f"The runner's log can't be read: {why[:200]}."))

    def _take(self, key: Key, runner: _Runner, heard: Heard) -> None:
        if heard != runner.heard:
            runner.heard = heard
            self._wake(key)
