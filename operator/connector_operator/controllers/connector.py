"""One visit of one Connector."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from connector_operator.cluster.apply import Writer
from connector_operator.cluster.cache import ClusterCache
from connector_operator.cluster.client import ApiError
from connector_operator.cluster.observe import Observer
from connector_operator.cluster.orders import Orders
from connector_operator.decide.actions import CreateDiscovery, CreateRunner, DeleteJob, JobAction, SendOrders
from connector_operator.decide.decision import Decision, decide
from connector_operator.decide.facts import is_held_back, is_underway
from connector_operator.decide.observation import Observation
from connector_operator.decide.status import has_changed, refused_status
from connector_operator.engine.askers import Askers
from connector_operator.engine.fair_queue import Key
from connector_operator.engine.slots import Slots
from connector_operator.engine.workers import VisitError
from connector_operator.metrics import DECISIONS
from connector_operator.resources import names
from connector_operator.resources.reasons import Reason
from connector_operator.workloads.jobs import Claim, RunnerSettings, Subject, build_discovery_job, build_runner_job

_MOST_LOOKS = 4
_MALFORMED_DELAY = 300.0
_MALFORMED = re.compile(r"typed \w+ object|schema")
"""Distinguishes the API server's 500 for a status that does not fit its CRD from a temporary one."""
log = logging.getLogger(__name__)


def is_malformed(error: ApiError) -> bool:
    """Whether the applied object can't be accepted as it is; any other 500 may be temporary."""
    return error.status in {400, 422} or (error.status == 500 and _MALFORMED.search(error.message) is not None)


def _is_beginning(decision: Decision) -> bool:
    return any(isinstance(action, CreateDiscovery) for action in decision.actions)


class ConnectorController:
    """Observes, decides, writes the status once if it changed, then acts: in this order a crash is harmless."""

    def __init__(
        self,
        observer: Observer,
        writer: Writer,
        cache: ClusterCache,
        slots: Slots,
        askers: Askers,
        orders: Orders,
        settings: RunnerSettings,
        clock: Callable[[], datetime],
    ) -> None:
        self._observer = observer
        self._writer = writer
        self._cache = cache
        self._slots = slots
        self._askers = askers
        self._orders = orders
        self._settings = settings
        self._clock = clock
        self._refusals: dict[Key, str] = {}

    async def visit(self, key: Key) -> float | None:
        """Returns after how many seconds to visit again; None: only when something happens.

        Raises:
            VisitError: Visit again later.
        """
        observed = self._observer.observe(key, self._clock(), self._refusals.get(key, ""))
        if observed is None:
            self.forget(key)
            return None
        seen, version = observed
        try:
            seen, decision = await self._decide(seen)
        except ApiError as error:
            raise VisitError("LookFailed", f"looking at the cluster failed: {error}") from None
        self._keep_slot(key, decision)
        DECISIONS.labels(row=decision.row.name).inc()
        is_asking = decision.listing_row.names_pod_problem
        try:
            if decision.status is not None:
                await self._write(key, seen, version, decision)
            await self._act(key, seen, decision)
            is_asking = is_asking or _is_beginning(decision)
        finally:
            self._askers.end(key)
            if not is_asking:
                self._askers.release(key)
        self._settle_slot(key, seen)
        return max(0.0, (decision.wake - seen.now).total_seconds()) if decision.wake else None

    async def _decide(self, seen: Observation) -> tuple[Observation, Decision]:
        decision = decide(seen)
        for _ in range(_MOST_LOOKS):
            if not decision.looks:
                return seen, decision
            seen = await self._observer.look(decision.facts, decision.looks)
            decision = decide(seen)
        raise VisitError("LookFailed", f"still not seen after {_MOST_LOOKS} looks: {', '.join(decision.looks)}")

    async def _write(self, key: Key, seen: Observation, version: str, decision: Decision) -> None:
        if decision.status is None:
            return
        try:
            await self._writer.write_status(key, version, decision.status)
        except ApiError as error:
            self._settle_slot(key, seen)
            if error.status == 409:
                # The change has an event. Should the watch be behind, the delays grow: each try is a request in vain.
                raise VisitError(
                    "Conflict", "the Connector has changed meanwhile", shortest=0.05, is_expected=True
                ) from None
            if error.status == 404:
                raise VisitError("Gone", "the Connector is gone", shortest=1.0, is_expected=True) from None
            if is_malformed(error):
                # The server can't accept this status (another version of the CRD, an edited schema): no retry helps.
                message = f"the API server refuses the status: {error.message}"
                await self._report(key, seen, Reason.STATUS_REFUSED, message, is_warning=True)
                await self._admit_refusal(key, seen, version, decision.status, message)
                raise VisitError("StatusRefused", message, delay=_MALFORMED_DELAY) from None
            raise VisitError(
                "StatusFailed", f"writing the status failed: {error}", delay=error.retry_after or None
            ) from None
        news = decision.announcement
        if news is not None:
            log.info(
                "%s: %s",
                news.reason,
                news.message,
                extra={"namespace": key.namespace, "object": key.name, "row": decision.row.name},
            )
            if not news.is_quiet:
                await self._report(key, seen, news.reason, news.message, is_warning=news.is_warning)

    async def _admit_refusal(
        self, key: Key, seen: Observation, version: str, status: dict[str, Any], message: str
    ) -> None:
        """Reports the refusal in the last accepted status, as far as that is accepted."""
        bare = refused_status(seen.stored, status, f"T{message[1:]}.", seen.now)
        if not has_changed(seen.stored, bare):
            return
        try:
            await self._writer.write_status(key, version, bare)
        except ApiError as error:
            log.warning("that a status was refused could not be said in it: %s", error)

    async def _report(self, key: Key, seen: Observation, reason: str, message: str, *, is_warning: bool) -> None:
        try:
            await self._writer.send_event(key, seen.uid, reason, message, is_warning=is_warning, now=seen.now)
        except ApiError as error:
            log.warning("an event could not be posted: %s", error)

    async def _act(self, key: Key, seen: Observation, decision: Decision) -> None:
        for action in decision.actions:
            try:
                await self._do(key, seen, action)
            except ApiError as error:
                self._settle_slot(key, seen)
                if error.is_transient:
                    raise VisitError("ActionFailed", f"{type(action).__name__} failed: {error}") from None
                first = key not in self._refusals
                what = "to delete a Job" if isinstance(action, DeleteJob) else "the Job"
                self._refusals[key] = f"The API server refuses {what}: {error.message}"
                raise VisitError("JobRefused", self._refusals[key], delay=0.2 if first else None) from None
        self._refusals.pop(key, None)

    async def _do(self, key: Key, seen: Observation, action: JobAction) -> None:
        if isinstance(action, DeleteJob):
            await self._writer.delete_job(key, action.job, action.uid, in_foreground=action.in_foreground)
        elif isinstance(action, SendOrders):
            if refusal := await self._orders.write(seen, action):
                log.warning(
                    "%s: %s", Reason.ORDERS_REFUSED, refusal, extra={"namespace": key.namespace, "object": key.name}
                )
        elif seen.spec is not None:
            subject = Subject(seen.namespace, seen.name, seen.uid, seen.spec)
            if isinstance(action, CreateRunner):
                body = build_runner_job(
                    subject,
                    action.job,
                    action.run,
                    seen.dataset,
                    self._settings,
                    Claim(action.unmoved, action.take_over),
                )
            else:
                body = build_discovery_job(
                    subject, action.job, action.attempt, self._settings, action.also, action.selections
                )
            await self._writer.create_job(key, body)

    def _keep_slot(self, key: Key, decision: Decision) -> None:
        """Takes the slot before anything is awaited: two visits must not take the same slot."""
        if decision.waits_for:
            self._askers.wait(key, key._replace(name=decision.waits_for))
        if _is_beginning(decision):
            self._askers.begin(key)
            self._slots.hold(key)
        elif decision.listing_row.waits_for_slot:
            self._slots.wait(key)

    def _settle_slot(self, key: Key, seen: Observation) -> None:
        """Releases the slot when no discovery of this key asks a source (any more), or may begin to at any moment."""
        jobs = self._cache.jobs(key)
        going = [j for j in jobs if j.role == names.ROLE_DISCOVERY and is_underway(j, seen.now, seen.policy)]
        if any(not is_held_back(j, seen) for j in going):
            self._slots.hold(key)
        elif not self._slots.is_waiting(key):
            self._slots.release(key)

    def forget(self, key: Key) -> None:
        """The Connector is gone."""
        self._slots.release(key)
        self._askers.release(key)
        self._refusals.pop(key, None)
        self._cache.forget(key)
