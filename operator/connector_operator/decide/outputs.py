"""The words that rows answer with: what is done, when to look again, how a stop and a change are reported."""

from __future__ import annotations

from enum import Enum, StrEnum


class Action(StrEnum):
    """What is done about the execution."""

    NOTHING = "nothing"
    LOOK = "look at the pods"
    START = "reserve the run, then create the Job"
    STOP = "delete the Job in the foreground"
    TRIM = "delete all Jobs but the newest"
    CLEAR = "delete an earlier namesake's Jobs, and those whose pods are left"


class ListingAction(StrEnum):
    """What is done about a discovery."""

    NOTHING = "nothing"
    READ = "read its pod's log"
    START = "create the Job"
    CANCEL = "delete the Job"


class ReasonFrom(StrEnum):
    """Who gives the reason where the row leaves it open."""

    GATE = "gate"
    POD = "pod"
    LAST = "last"
    """The last execution."""


class EventType(StrEnum):
    """How a change is reported to people; a Normal one becomes a Warning where only a person can help."""

    NORMAL = "Normal"
    WARNING = "Warning"


class Wake(Enum):
    """When to look again though nothing happens."""

    NONE = "only when something happens, or for Jobs that wait for a pod"
    RETRY = "when the delay after a failure is over"
    RETRY_OR_CHANGE = "when that delay is over; a change of the spec ends it sooner"
    DRY_RUN = "when the API server is asked again whether it takes the next Job"
    LEAVE = "when what is being deleted should be gone"
    LEFT_POD = "ever less often: no event says that a left pod is gone"


class StopCause(Enum):
    """Why an execution is stopped: what the last execution says of it."""

    ASKED = "asked"
    REPLACED = "replaced"
    NODE_LOST = "node lost"
    OVER = "over"
    """Its execution is over already though its Job lives: how that ended is read from its pod."""
