"""The outputs of the tables: what to do, when to look again, and how a stop and a change are reported."""

from __future__ import annotations

from enum import Enum, StrEnum


class Action(StrEnum):
    """What to do about the execution."""

    NOTHING = "nothing"
    LOOK = "list the pods"
    START = "reserve the run, then create the Job"
    STOP = "delete the Job in the foreground"
    SEND = "write the selection for the runner into a ConfigMap"
    TRIM = "delete all Jobs but the newest"
    CLEAR = "delete Jobs of an earlier connector of this name, and those whose pods are left"


class ListingAction(StrEnum):
    """What to do about a discovery."""

    NOTHING = "nothing"
    READ = "read its pod's log"
    START = "create the Job"
    CANCEL = "delete the Job"


class ReasonFrom(StrEnum):
    """Where the reason comes from if the row does not give it."""

    GATE = "gate"
    POD = "pod"
    LAST = "last"
    """The last execution."""
    ANSWER = "answer"
    """The runner's answer to a changed selection."""


class EventType(StrEnum):
    """How a change is reported to people; a Normal event becomes a Warning when only a person can fix the cause."""

    NORMAL = "Normal"
    WARNING = "Warning"


class Wake(Enum):
    """When to look again even if nothing happens."""

    NONE = "only when something happens, or for Jobs that wait for a pod"
    RETRY = "when the delay after a failure is over"
    RETRY_OR_CHANGE = "when that delay is over; a change of the spec ends it sooner"
    DRY_RUN = "when the dry run of the next Job is due again"
    LEAVE = "when what is being deleted should be gone"
    LEFT_POD = "less and less often: no event says that a leftover pod is gone"


class StopCause(Enum):
    """Why an execution is stopped, as recorded in the last execution."""

    ASKED = "asked"
    REPLACED = "replaced"
    NODE_LOST = "node lost"
    OVER = "over"
    """The execution has ended although its Job is live: how it ended is read from its pod."""
