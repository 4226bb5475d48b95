"""Everything that `decide` may look at. Whoever observes fills it in; nothing else reaches a decision."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from connector_operator.decide.peers import Peers
from connector_operator.resources.dataset import DatasetView, Resolution
from connector_operator.resources.events import EventMessage, NodeSign
from connector_operator.resources.reasons import Reason
from connector_operator.resources.workload import ObservedJob, ObservedPod
from connector_runner.schemas.catalogue import CatalogueSummary
from connector_runner.schemas.kinds.connector import ConnectorSpec
from connector_runner.schemas.kinds.connector_status import ConnectorStatus
from connector_runner.schemas.manifest import TakeOver

UNRESOLVED = DatasetView(
    Resolution.MISSING, Reason.DATASET_NOT_NAMED, "spec.datasetId is not set; name a Dataset there."
)


class DryRun(msgspec.Struct, frozen=True):
    """What the API server answered to a dry run of the Job that would follow.

    Attributes:
        refusal: Why it would be refused, as a sentence; "" when it would not, or when nobody can tell.
        again: When to ask again.
    """

    refusal: str = ""
    again: datetime | None = None


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that decisions depend on; `installation` stands for all that pods depend on."""

    failed_history: int = 3
    completed_history: int = 1
    grace: timedelta = timedelta(seconds=60)
    node_lost_after: timedelta = timedelta(seconds=60)
    look_after: timedelta = timedelta(seconds=5)
    unschedulable_after: timedelta = timedelta(seconds=30)
    stable_after: timedelta = timedelta(minutes=10)
    fresh_for: timedelta = timedelta(seconds=60)
    service_accounts: tuple[str, ...] = ()
    allowances: tuple[str, ...] = ()
    installation: str = ""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One connector and what belongs to it, at one moment.

    Attributes:
        spec: None when it can't be read; then `problems` says why, and `wanted` still holds spec.status.
        problems: Everything wrong with the spec.
        wanted: spec.status as it stands.
        jobs: All Jobs with this connector's label, an earlier namesake's included.
        pods: Its pods; None: not looked at yet.
        warnings: What events say of its Jobs and pods that don't get ready, latest last; () also when not looked at.
        node_signs: What those that make nodes say of its pods that no node takes, latest last; () also when not looked at.
        catalogue: Of a discovery Job that has completed; None: not read yet, or lost when `catalogue_lost`.
        vanished: Executions' Jobs that were seen to go, by run, as they were last.
        vanished_attempts: The highest discovery whose Job was seen to go.
        has_slot: Whether one more discovery may start now.
        has_turn: Whether this connector may follow a changed Dataset now.
        take_over: Whom the table may be taken over from now: named by the spec, and without a live Job.
        dry_run: Whether the API server would take the Job that follows a replaced one; None: not asked.
        created: When the Connector was made.
        changed: When anything but its status was changed last; None: never since it was made.
        peers: What others know that ask for the same list of streams; None: not looked at yet.
        refusal: Why the API server refused the actions of the last visit, as a sentence; "" when it didn't.
    """

    now: datetime
    namespace: str
    name: str
    uid: str
    generation: int = 1
    is_deleting: bool = False
    spec: ConnectorSpec | None = None
    problems: tuple[str, ...] = ()
    wanted: str = ""
    status: ConnectorStatus = ConnectorStatus()
    stored: dict[str, Any] = {}
    dataset: DatasetView = UNRESOLVED
    jobs: tuple[ObservedJob, ...] = ()
    pods: tuple[ObservedPod, ...] | None = None
    warnings: tuple[EventMessage, ...] = ()
    node_signs: tuple[NodeSign, ...] = ()
    catalogue: CatalogueSummary | None = None
    catalogue_lost: bool = False
    vanished: Mapping[int, ObservedJob] = {}
    vanished_attempts: int = 0
    has_slot: bool = True
    has_turn: bool = True
    take_over: TakeOver | None = None
    dry_run: DryRun | None = None
    created: datetime | None = None
    changed: datetime | None = None
    peers: Peers | None = None
    refusal: str = ""
    policy: Policy = Policy()
