"""Every reason that the operator gives, with its meaning and remedy; `docs/reasons.md` is generated from here."""

from __future__ import annotations

from enum import StrEnum
from typing import NewType, Self

NOTHING = "Nothing to do."
RunnerReason = NewType("RunnerReason", str)
"""A reason that the runner gave; it comes with its own message."""


class Reason(StrEnum):
    """A reason of a condition, an event or a last execution; others come from the runner, with its own message.

    Attributes:
        meaning: What it means, as a sentence.
        remedy: What a person does about it.
        is_quiet: A normal, short state: logged, not worth an event.
    """

    meaning: str
    remedy: str
    is_quiet: bool

    def __new__(cls, value: str, meaning: str, remedy: str = NOTHING, is_quiet: bool = False) -> Self:
        """The text, with its meaning and remedy."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning, member.remedy, member.is_quiet = meaning, remedy, is_quiet
        return member

    RUNNING = "Running", "The execution's pod is ready: it is connected to source and dataset."
    STOPPED = (
        "Stopped",
        "Stopped as requested, and no pod is left.",
        "Set `spec.status: running` to continue where it left off.",
    )
    COMPLETED = (
        "Completed",
        "The stream came to its end (the runner exited 0).",
        "Set `spec.restartedAt` to any new text to run it again.",
    )
    STREAMS_RECEIVED = (
        "StreamsReceived",
        "The streams are known, none is selected.",
        "Set `spec.selectedStream` to one of `status.streams`.",
    )
    READY_TO_RUN = (
        "ReadyToRun",
        "A stream is selected and the Dataset exists; running is not requested.",
        "Set `spec.status: running`.",
    )
    DISCOVERING = "Discovering", "A discovery is listing the streams.", NOTHING, True
    AWAITING_SLOT = (
        "AwaitingSlot",
        "The highest allowed number of discoveries is running.",
        "Wait, or raise `--discovery-concurrency`.",
        True,
    )
    DISCOVERY_TIMED_OUT = (
        "DiscoveryTimedOut",
        "The source did not list its streams before the deadline.",
        "Check that the cluster reaches the source; raise `--discovery-deadline` for a slow one. It is retried automatically.",
    )
    CATALOGUE_LOST = (
        "CatalogueLost",
        "The list of streams could not be read completely from the discovery's log.",
        "It is retried automatically; if it keeps failing, check the node's log rotation.",
    )
    STARTING = "Starting", "The execution is reserved, or its pod is not ready yet.", NOTHING, True
    STOPPING = "Stopping", "The runner was asked to commit and end.", "Nothing to do; it has its grace period.", True
    REPLACING = (
        "Replacing",
        "The runner's spec has changed; the next execution waits until the pod of the last one is gone.",
    )
    AWAITING_TURN = (
        "AwaitingTurn",
        "The Dataset has changed; its connectors follow one by one. Of RunnerUpToDate: the runner's image has changed; connectors follow a few at a time.",
        "Nothing to do, or set `spec.restartedAt` to follow now.",
        True,
    )
    UP_TO_DATE = "UpToDate", "Of RunnerUpToDate: the execution was made from the runner's present image."
    UPDATING = (
        "Updating",
        "Of RunnerUpToDate: the execution is replaced because the runner's image has changed, or the next one has not been ready long enough yet.",
    )
    UPDATE_FAILED = (
        "UpdateFailed",
        "Of RunnerUpToDate: with the changed image the execution fails, does not get ready, or would be refused; the roll-out stops here, all others keep their image.",
        "Read the message and the condition Ready. Set a fixed image (it is tried here at once), or stop this connector, or restart others by `spec.restartedAt` to have them follow now.",
    )
    UPDATE_HELD = (
        "UpdateHeld",
        "Of RunnerUpToDate: the runner's image has changed, but another change of this connector or of its Dataset comes first, or something prevents a start.",
        "Read the condition Ready.",
    )
    ON_RESTART = (
        "OnRestart",
        "Of RunnerUpToDate: the runner's image has changed; `spec.runner.updatePolicy` lets this execution continue with the earlier one.",
        "Set `spec.restartedAt` when it suits.",
    )
    SELECTION_CHANGING = (
        "SelectionChanging",
        "The running execution gets the changed `spec.streams`; until it carries it (within about a minute), the earlier selection goes on.",
        NOTHING,
        True,
    )
    SELECTION_APPLIED = "SelectionApplied", "The running execution carries the selection of `spec.streams`."
    SELECTION_UNCONFIRMED = (
        "SelectionUnconfirmed",
        "The running execution was sent the changed `spec.streams`, but its runner has not said within two minutes that it carries it.",
        "Look at the runner's log. A runner's image of an earlier version does not look for changes: set `spec.restartedAt` to any new text for a new execution.",
    )
    ORDERS_REFUSED = (
        "OrdersRefused",
        "The API server refuses the ConfigMap by which a running execution gets the changed `spec.streams`; the earlier selection goes on.",
        "Fix what the message names (a right that is missing, a quota, a foreign ConfigMap of that name), or set `spec.restartedAt` to any new text for a new execution.",
    )
    CRASH_BACKOFF = (
        "CrashBackoff",
        "The last execution failed; the next one waits (1 s, doubling to 5 min; reset after 10 min of running).",
        "Read `status.lastExecution` and `kubectl logs job/…`; a change of the spec starts it at once.",
    )
    CRASH_LOOP = "CrashLoop", "Five executions in a row or more have failed.", "As for CrashBackoff."
    STREAM_NOT_SELECTED = (
        "StreamNotSelected",
        "Running is requested, but no stream is selected.",
        "Set `spec.selectedStream`.",
    )
    UNKNOWN_STREAM = (
        "UnknownStream",
        "The source does not have the selected stream; the message lists those it has.",
        "Select another one, or create it at the source: discovery repeats with growing delays, and at once with a new `spec.rediscoverAt`.",
    )
    INVALID_CONFIG = (
        "InvalidConfig",
        "The spec has problems; the message lists all, each with its path.",
        "Fix the spec.",
    )
    DATASET_NOT_NAMED = "DatasetNotNamed", "`spec.datasetId` is not set.", "Set it."
    DATASET_NOT_FOUND = (
        "DatasetNotFound",
        "There is neither a Dataset of that name nor one named `default`.",
        "Create one; the connector continues automatically.",
    )
    DATASET_INVALID = "DatasetInvalid", "The Dataset has problems; the message lists them.", "Fix the Dataset."
    JOB_REFUSED = (
        "JobRefused",
        "The API server refuses the Job (quota, admission); the message is the server's. If a change caused it, the running execution continues: the Job is tried before that execution is stopped.",
        "Fix what the message names; it is retried automatically.",
    )
    AWAITING_ADMISSION = (
        "AwaitingAdmission",
        "The Job is suspended, or scaled to zero, or its pod has scheduling gates, by whatever admits them (a queue such as Kueue, a policy, a person); the pod starts when it is admitted.",
        "Ask whoever admits them, or start it by hand with the command in the message.",
    )
    POD_REFUSED = (
        "PodRefused",
        "The Job exists, but no pod can be created (quota, Pod Security); the message is the cluster's.",
        "Fix what the message names.",
    )
    SECRET_NOT_FOUND = (
        "SecretNotFound",
        "The pod can't start because a Secret is missing.",
        "Create the Secret; the pod then starts automatically.",
    )
    POD_NOT_STARTED = (
        "PodNotStarted",
        "The pod can't start (the message is the kubelet's), or the node that it was given has not begun with it for two minutes.",
        "Fix what the message names.",
    )
    IMAGE_NOT_PULLED = (
        "ImageNotPulled",
        "The runner's image can't be pulled.",
        "Check `--runner-image` and `spec.runner.imagePullSecrets`.",
    )
    UNSCHEDULABLE = (
        "Unschedulable",
        "No node accepts the pod. If nodes are created on demand, it waits for one (Reconciling) as long as an event says that one is coming; "
        "otherwise it is Stalled after `--unschedulable-after`. Also if no scheduler has said anything about the pod for two minutes.",
        "Check `spec.runner` (resources, nodeSelector, tolerations) and the nodes.",
    )
    RUNNER_NOT_READY = (
        "RunnerNotReady",
        "The runner has been up for two minutes without being ready. It is never replaced for that reason.",
        "Read its log: it says what it waits for.",
    )
    SIDECAR_ENDED = (
        "SidecarEnded",
        "The runner works, but an injected sidecar container has ended, so the pod does not count as ready.",
        "Fix that container, or keep it out of the operator's pods; then set `spec.restartedAt`.",
    )
    SIDECAR_NOT_READY = (
        "SidecarNotReady",
        "The runner works, but an injected sidecar container is not ready.",
        "Read that container's log.",
    )
    NODE_LOST = (
        "NodeLost",
        "The pod should have ended long ago, but its node does not answer. If running is requested, another execution takes over, and the dataset's fence keeps the old one from writing; a stop waits for the node.",
        "Nothing to do if the node comes back; otherwise remove the node, or delete the pod with the command in the message.",
    )
    POD_ORPHANED = (
        "PodOrphaned",
        "A pod of an earlier execution still runs although its Job is gone (deleted with `--cascade=orphan`); nothing else starts until it ends.",
        "Delete the pod with the command in the message: the operator may not delete pods.",
    )
    REPLACED = "Replaced", "Of a last execution: it was replaced by the next one."
    JOB_DELETED = (
        "JobDeleted",
        "Of a last execution: somebody deleted its Job.",
        "Nothing to do: the next one starts at once. To stop a connector set `spec.status: stopped`.",
    )
    JOB_SUSPENDED = (
        "JobSuspended",
        "Of a last execution: somebody suspended its Job, or scaled it to zero, after it had run; it could only continue in a second pod.",
        "Nothing to do: the next one starts automatically. To stop a connector set `spec.status: stopped`.",
    )
    JOB_ALTERED = (
        "JobAltered",
        "Of a last execution: its Job was changed so that it may create more than one pod.",
        "Exclude completions and parallelism of the operator's Jobs from what policies and controllers change.",
    )
    DISRUPTED = (
        "Disrupted",
        "Of a last execution: its pod was evicted, preempted or deleted.",
        "Nothing to do: the next one starts at once.",
    )
    POD_LOST = (
        "PodLost",
        "Of a last execution: its pod was removed before its end could be seen.",
        "Nothing to do: the next one starts at once.",
    )
    CRASHED = (
        "Crashed",
        "Of a last execution: it ended without saying why; the message is the end of its log.",
        "Read `kubectl logs job/…`.",
    )
    OOM_KILLED = (
        "OOMKilled",
        "Of a last execution: it needed more memory than its limit.",
        "Raise `spec.runner.resources.limits.memory`.",
    )
    DEADLINE_EXCEEDED = (
        "DeadlineExceeded",
        "Of a last execution: its Job has a deadline that somebody set.",
        "Restart the connector.",
    )
    FENCE_LOST = (
        "FenceLost",
        "Another runner holds the dataset. At the start of an execution: a run of this connector with the same or a higher number has claimed it; the next one tries after a minute, and takes the dataset over only if that run's checkpoint has not moved since. While an execution ran: another runner took the dataset over, so there are two of this connector.",
        "At the start: nothing, unless another runner of this connector really runs; then end one of them. While running: end the other one, then set `spec.restartedAt` to any new text.",
    )
    SCHEMA_CONFLICT = (
        "SchemaConflict",
        "Of a last execution: the table is filled by another connector or stream, or can't be changed to fit; the message says which.",
        "Choose another table (`spec.datasetId`, or `spec.streams.tables`); or stop the other connector and take its table over, with the command in the message (`spec.takeOver`).",
    )
    TAKE_OVER_REFUSED = (
        "TakeOverRefused",
        "Of a last execution: `spec.takeOver` was set for a history (writeMode append), whose rows have the name of the connector that wrote them.",
        "Remove `spec.takeOver`: histories may be shared, and the connector starts as a new one; or keep the old one's name and namespace to continue at its position.",
    )
    ACTION_REQUIRED = (
        "ActionRequired",
        "Of a last execution: it exited 78, and its own reason was lost with its pod.",
        "Read `kubectl logs job/…`.",
    )
    STATUS_REFUSED = (
        "StatusRefused",
        "The API server refuses the status; the message is the server's. The decision is not carried out; the last accepted status stays, with this condition.",
        "If a field is not declared, the CRD has another version: `kubectl apply --server-side -k crds/`. Otherwise report it, with the message.",
    )
    VALID = "Valid", "Of ConfigValid, or of a Dataset: no problem was found."
    DISCOVERED = "Discovered", "Of Discovered: the streams are those of this configuration."
    RESOLVED = "Resolved", "Of DatasetResolved: the Dataset was found."
    NO_EXECUTION = "NoExecution", "Of RunnerHealthy and StreamsHealthy: no execution is requested, or none is ready."
    NO_STREAM_FAILED = "NoStreamFailed", "Of StreamsHealthy: the runner carries all selected streams."
    STREAMS_FAILED = (
        "StreamsFailed",
        "Of StreamsHealthy: the streams that the message names are paused at their positions, each with its reason; the others continue, and the connector stays Ready.",
        "Read the message and `status.progress.failures`, and fix the cause. A stream is tried again by itself, and continues exactly where it was paused.",
    )
    PROGRESS_UNKNOWN = (
        "ProgressUnknown",
        "Of StreamsHealthy: the operator does not know how the streams are: it has not read the runner's progress yet, may not, or the runner's image is too old to report it.",
        "Wait for two minutes. Then: `--progress-seconds` must not be 0, and the message says why the log can't be read.",
    )
    SETTLED = "Settled", "Of Reconciling: nothing is being changed."
    NOT_STALLED = "NotStalled", "Of Stalled: nothing needs a person."
    REACHED = "Reached", "Of a Dataset: the last execution was connected to it."
    NOT_REACHED = (
        "NotReached",
        "Of a Dataset: a connector's last execution failed because of it.",
        "Read the message.",
    )
    NOT_TRIED = "NotTried", "Of a Dataset: no execution has reported yet."
    ROLLED_OUT = "RolledOut", "Of a Dataset: all running connectors use its present form."
    ROLLING_OUT = "RollingOut", "Of a Dataset: running connectors follow a change one by one."
    WAITING = (
        "Waiting",
        "Of a Dataset: the connectors that followed a change are not ready, so the others continue with the earlier form.",
        "Fix the Dataset or the named connectors; or set `spec.restartedAt` of others to have them follow now.",
    )
