"""One connector at one moment, as everything that follows from the rows sees it."""

from __future__ import annotations

import msgspec

from connector_operator.decide.facts import Facts
from connector_operator.decide.inputs import Execution, Inputs, ListingInputs
from connector_operator.decide.stream_facts import StreamFacts
from connector_operator.decide.table import ListingRow, Row
from connector_operator.resources.workload import ObservedJob
from connector_runner.schemas.kinds.connector_status import ConnectorStatus


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What is known, and the rows that hold.

    Attributes:
        memory: The status as far as it is memory: after `fold`, then after `record`.
        waiting: Live Jobs without a ready pod, except those that somebody holds back.
    """

    facts: Facts
    memory: ConnectorStatus
    streams: StreamFacts
    inputs: Inputs
    listing: ListingInputs
    row: Row
    listing_row: ListingRow
    waiting: tuple[ObservedJob, ...]


_WAITING = frozenset({Execution.WAITING, Execution.OUTDATED, Execution.BEHIND, Execution.LOST})


def waiting_jobs(facts: Facts, inputs: Inputs) -> tuple[ObservedJob, ...]:
    """Live Jobs without a ready pod, discoveries first."""
    live = [d.job for d in facts.discoveries if d.is_live]
    if inputs.execution in _WAITING:
        live += [e.job for e in facts.live]
    return tuple(job for job in live if not job.ready and not job.is_suspended)
