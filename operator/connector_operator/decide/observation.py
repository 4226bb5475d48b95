"""Everything that `decide` may use. The observer fills it in; nothing else reaches a decision."""

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
from connector_runner.schemas.orders import OrdersAnswer
from connector_runner.schemas.progress import Progress

UNRESOLVED = DatasetView(
    Resolution.MISSING, Reason.DATASET_NOT_NAMED, "spec.datasetId is not set; name a Dataset there."
)


class Heard(msgspec.Struct, frozen=True):
    """What was last read of a runner's progress.

    Attributes:
        run: Its execution.
        progress: What it reported; None if it was not found in its log, or could not be read.
        problem: Why it could not be read, as a sentence; "" when it could.
    """

    run: int
    progress: Progress | None = None
    problem: str = ""


class DryRun(msgspec.Struct, frozen=True):
    """The API server's answer to a dry run of the next Job.

    Attributes:
        refusal: Why it would be refused, as a sentence; "" when it would be accepted, or when that is not known.
        again: When to ask again.
    """

    refusal: str = ""
    again: datetime | None = None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What this process has done about the orders of a live execution.

    Attributes:
        job: The execution's Job.
        mark: Hash of the selection that its ConfigMap was last written with, or was to be.
        again: When to write it again: somebody may have changed or deleted it meanwhile.
        refusal: Why the API server refused it, as a sentence; "" when it did not.
        looked: When its runner's log was last read for an answer; None: never.
    """

    job: str
    mark: str = ""
    again: datetime | None = None
    refusal: str = ""
    looked: datetime | None = None


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that decisions depend on.

    Attributes:
        installation: Hash of everything that pods depend on besides a Connector.
        image: The runner's image; "" when it is not known.
        defaults: As `installation`, without the image.
        min_ready: How long an execution with a changed image must be ready before it counts as working.
    """

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
    image: str = ""
    defaults: str = ""
    min_ready: timedelta = timedelta(seconds=10)
    asks_progress: bool = True


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One connector and what belongs to it, at one moment.

    Attributes:
        spec: None when it can't be read; then `problems` says why, and `wanted` still holds spec.status.
        problems: Everything that is wrong with the spec.
        wanted: spec.status as written.
        jobs: All Jobs with this connector's label, including those of an earlier namesake.
        pods: Its pods; None: not read yet.
        warnings: Warning events about its Jobs and pods that do not get ready, latest last; () also when not read.
        node_signs: Events of node autoscalers about its unschedulable pods, latest last; () also when not read.
        catalogue: Of a completed discovery Job; None: not read yet, or lost when `catalogue_lost`.
        vanished: Jobs of executions that are gone, by run, as they were last seen.
        vanished_attempts: The number of the latest discovery whose Job is gone.
        has_slot: Whether one more discovery may start now.
        has_turn: Whether this connector may follow a changed Dataset now.
        has_image_turn: Whether it may follow a changed image of the runner now.
        update_blocker: Who stops the roll-out of that image, as words for this connector's status; "" for nobody.
        follows_image: Whether a changed image replaces its running execution (`spec.runner.updatePolicy`).
        take_over: Whom the table may be taken over from now: named by the spec, and without a live Job.
        dry_run: Whether the API server would accept the Job that is to replace the live one; None: not asked.
        created: When the Connector was created.
        changed: When anything except its status was last changed; None: never since it was created.
        peers: What other connectors that need the same list of streams know about it; None: not read yet.
        delivery: What was done about the orders of the live execution; None: nothing.
        answer: The newest answer in its runner's log; None: none, or not read.
        heard: What was last read of its runner's progress; None: nothing yet.
        refusal: Why the API server refused the actions of the last visit, as a sentence; "" when it did not.
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
    has_image_turn: bool = False
    update_blocker: str = ""
    follows_image: bool = True
    take_over: TakeOver | None = None
    dry_run: DryRun | None = None
    created: datetime | None = None
    changed: datetime | None = None
    peers: Peers | None = None
    delivery: Delivery | None = None
    answer: OrdersAnswer | None = None
    heard: Heard | None = None
    refusal: str = ""
    policy: Policy = Policy()
