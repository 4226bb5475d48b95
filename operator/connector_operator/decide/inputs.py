"""The words of the tables: what is asked for, what there is, what stands in the way, what was before."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

import msgspec


class Word(StrEnum):
    """A value of an input of the tables, with what it means."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """The text with what it means."""
        word = str.__new__(cls, value)
        word._value_ = value
        word.meaning = meaning
        return word


class Request(Word):
    """What is asked for."""

    ABSENT = "absent", "spec.status is not set"
    RUNNING = "running", "spec.status is running"
    STOPPED = "stopped", "spec.status is stopped"
    DELETED = "deleted", "the connector is being deleted"


class Execution(Word):
    """What there is of it."""

    NONE = "none", "no Job, no pod"
    UNSEEN = "unseen", "nothing can be said before the pods are looked at"
    READY = "ready", "live, made from what is asked for, its pod ready"
    WAITING = "waiting", "live, made from what is asked for, its pod not ready"
    OUTDATED = "outdated", "live, made from something that has changed since"
    QUEUED = "queued", "live and ready, its Dataset has changed, another connector has the turn"
    SURPLUS = "surplus", "more than one live"
    BARRED = "barred", "as outdated, but the API server refuses the Job that would follow"
    SUSPENDED = "suspended", "live, but its Job is suspended: whoever did that has not admitted it yet"
    SPENT = (
        "spent",
        "its Job lives, but its runner has ended beside other containers, or somebody has changed the Job so that it must go",
    )
    LOST = "lost", "live, but its pod should have gone long ago: the node is lost"
    ENDING = "ending", "its Job is being deleted, or a pod is left"
    ORPHANED = "orphaned", "a pod is left that no Job owns, so nobody ends it"
    STRANDED = "stranded", "told to leave, but its node does not answer; only where no other execution is asked for"


class Gate(Word):
    """What stands between the spec and a start: the first of these that holds."""

    INVALID = "invalid", "the spec has problems"
    REFUSED = "refused", "the discovery of this configuration ended with 78: a person must act"
    UNDISCOVERED = "undiscovered", "the streams of this configuration are not known yet"
    UNSELECTED = "unselected", "no stream is selected"
    UNKNOWN = "unknown", "the source has no such stream"
    HOMELESS = "homeless", "there is no Dataset"
    MISDIRECTED = "misdirected", "the Dataset is invalid"
    OPEN = "open", "nothing"


class Memory(Word):
    """How earlier executions of this spec ended; anything but clear only when running is asked for."""

    CLEAR = "clear", "nothing speaks against a start now"
    CRASHED = "crashed", "it failed, less than five times in a row, and waits"
    FAILING = "failing", "it failed five times in a row or more, and waits"
    REFUSED = "refused", "it ended with 78, and waits"
    FENCED = "fenced", "somebody else took the dataset over while it ran"
    COMPLETED = "completed", "the stream has come to its end"


class Need(Word):
    """Whether streams must be listed."""

    NO = "no", "they are known for this configuration, or it is invalid"
    YES = "yes", "they are not known, or asked for again"


class Listing(Word):
    """What there is of a discovery."""

    NONE = "none", "no Job"
    ACTIVE = "active", "a Job lists what is asked for"
    DONE = "done", "a Job has ended and nobody has read it"
    OUTDATED = "outdated", "a Job lists what is no longer asked for"
    ENDING = "ending", "a Job is being deleted"
    SHARED = "shared", "no Job, but another connector's lists the same"


class Timer(Word):
    """When the next attempt is due."""

    DUE = "due", "now"
    LATER = "later", "after a delay that grows with failures"
    NEVER = "never", "it failed, and the connector is stopped"


class Slot(StrEnum):
    """Whether one more discovery may run in this installation."""

    FREE = "free"
    TAKEN = "taken"


class Inputs(msgspec.Struct, frozen=True):
    """Which row of the table of executions holds."""

    request: Request
    execution: Execution
    gate: Gate
    memory: Memory

    @property
    def is_possible(self) -> bool:
        """Memory counts only where running is asked for."""
        return self.memory is Memory.CLEAR or self.request is Request.RUNNING


class ListingInputs(msgspec.Struct, frozen=True):
    """Which row of the table of discoveries holds."""

    need: Need
    listing: Listing
    timer: Timer
    slot: Slot
