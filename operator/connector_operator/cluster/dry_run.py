"""Asks the API server by a dry run whether it would accept the next Job, before the running one is stopped."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import msgspec

from connector_operator.cluster.client import ApiError
from connector_operator.cluster.jobs import JobPoster
from connector_operator.decide.backoff import REFUSED_DELAY, delay_after
from connector_operator.decide.facts import Facts
from connector_operator.decide.observation import DryRun, Observation
from connector_operator.resources import names
from connector_operator.resources.connector import spec_hash
from connector_operator.workloads.jobs import RunnerSettings, Subject, build_runner_job

_QUOTA = re.compile(r"exceeded quota: .*?requested: (.*), used: (.*), limited: (.*)$")
_UNKNOWN = re.compile(r"does not support dry run", re.IGNORECASE)
_KEPT = 4096


class Refusal(msgspec.Struct, frozen=True):
    """A refusal that is valid until the next dry run.

    Attributes:
        asked_for: Hashes of what the Job was to be made from.
        count: The number of consecutive refusals.
    """

    asked_for: tuple[str, str]
    count: int
    dry_run: DryRun


class DryRuns:
    """Remembers refusals, so that events of a connector whose next Job is refused cost no request."""

    def __init__(self, poster: JobPoster, settings: RunnerSettings) -> None:
        self._poster = poster
        self._settings = settings
        self._refusals: dict[str, Refusal] = {}

    def known(self, seen: Observation) -> DryRun | None:
        """The last refusal of the same Job, until the next dry run is due."""
        refusal = self._refusals.get(seen.uid)
        if refusal is None or refusal.dry_run.again is None or seen.now >= refusal.dry_run.again:
            return None
        asked_for = (spec_hash(seen.spec) if seen.spec else "", seen.dataset.hash)
        return refusal.dry_run if refusal.asked_for == asked_for else None

    async def ask(self, facts: Facts) -> DryRun:
        """One dry run.

        Raises:
            ApiError: The API server could not be asked.
        """
        seen = facts.seen
        if seen.spec is None:
            return DryRun()
        run = max([seen.status.run, *seen.vanished, *(job.run for job in seen.jobs)]) + 1
        subject = Subject(seen.namespace, seen.name, seen.uid, seen.spec)
        job = names.execution_job_name(seen.name, seen.uid, run)
        body = build_runner_job(subject, job, run, seen.dataset, self._settings)
        try:
            await self._poster.post(seen.namespace, body, is_trial=True)
        except ApiError as error:
            if error.is_transient:
                raise
            if not is_unknown(error):
                return self._refuse(facts, f"The API server would refuse the Job that is to follow: {error.message}.")
        self._refusals.pop(seen.uid, None)
        return DryRun()

    def _refuse(self, facts: Facts, message: str) -> DryRun:
        seen, asked_for = facts.seen, (facts.hashes.spec, facts.seen.dataset.hash)
        before = self._refusals.get(seen.uid)
        count = before.count + 1 if before is not None and before.asked_for == asked_for else 1
        wait: timedelta = delay_after(count, REFUSED_DELAY, seen.uid)
        again: datetime = seen.now + wait
        dry_run = DryRun(message.replace("..", "."), again)
        self._refusals[seen.uid] = Refusal(asked_for, count, dry_run)
        if len(self._refusals) > _KEPT:
            del self._refusals[next(iter(self._refusals))]
        return dry_run


def is_unknown(error: ApiError) -> bool:
    """Whether a refused dry run does not show that the real request would be refused.

    A webhook that does not support dry runs; a name that is taken; a quota in which the old Job will make room.
    """
    if error.reason == "AlreadyExists" or _UNKNOWN.search(error.message):
        return True
    found = _QUOTA.search(error.message)
    return found is not None and _has_room_after(found[2], found[3])


def _has_room_after(used: str, limited: str) -> bool:
    """Whether the usage, without one Job and with the next, is within the limits; if no number can be read: yes."""
    limits = dict(part.partition("=")[::2] for part in limited.split(","))
    for part in used.split(","):
        name, _, text = part.partition("=")
        limit = limits.get(name, "")
        if text.isdecimal() and limit.isdecimal() and int(text) > int(limit):
            return False
    return True
