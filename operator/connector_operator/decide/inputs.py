"""The inputs of the tables: what is requested, what exists, what prevents a start, what happened before."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

import msgspec


class Word(StrEnum):
    """A value of an input of the tables, with what it means."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """The text, with its meaning."""
        word = str.__new__(cls, value)
        word._value_ = value
        word.meaning = meaning
        return word


class Request(Word):
    """What is requested."""

    ABSENT = "absent", "spec.status is not set"
    RUNNING = "running", "spec.status is running"
    STOPPED = "stopped", "spec.status is stopped"
    DELETED = "deleted", "the connector is being deleted"


class Execution(Word):
    """Which Jobs and pods exist."""

    NONE = "none", "no Job, no pod"
    UNSEEN = "unseen", "not known before the pods are listed"
    READY = "ready", "live, made from the present spec, its pod ready"
    WAITING = "waiting", "live, made from the present spec, its pod not ready"
    OUTDATED = "outdated", "live, made from something that has changed since"
    BEHIND = (
        "behind",
        "live, made from the present spec, but its runner does not carry the selection of spec.streams yet",
    )
    DECLINED = (
        "declined",
        "live and ready, but its runner refuses the selection of spec.streams and goes on with the earlier one",
    )
    QUEUED = "queued", "live and ready, its Dataset has changed, another connector has the turn"
    SURPLUS = "surplus", "more than one live"
    BARRED = "barred", "as outdated, but the API server refuses the next Job"
    SUSPENDED = "suspended", "live, but its Job is suspended and not admitted yet"
    SPENT = (
        "spent",
        "its Job is live, but its runner has ended while other containers run, or somebody has changed the Job so that it must be replaced",
    )
    LOST = "lost", "live, but its pod should have gone long ago: the node is lost"
    ENDING = "ending", "its Job is being deleted, or a pod is left"
    ORPHANED = "orphaned", "a pod is left that no Job owns, so nothing ends it"
    STRANDED = "stranded", "asked to end, but its node does not answer; only if no other execution is requested"


CARRYING = frozenset({Execution.READY, Execution.BEHIND, Execution.DECLINED})
"""Its pod works, whatever selection it carries."""


class Gate(Word):
    """What prevents a start: the first of these that holds."""

    INVALID = "invalid", "the spec has problems"
    REFUSED = "refused", "the discovery of this configuration ended with 78: a person must act"
    UNDISCOVERED = "undiscovered", "the streams of this configuration are not known yet"
    UNSELECTED = "unselected", "no stream is selected"
    UNKNOWN = "unknown", "the source has no such stream"
    HOMELESS = "homeless", "there is no Dataset"
    MISDIRECTED = "misdirected", "the Dataset is invalid"
    OPEN = "open", "nothing"


class Memory(Word):
    """How earlier executions of this spec ended; anything but clear only when running is requested."""

    CLEAR = "clear", "nothing prevents a start now"
    CRASHED = "crashed", "it failed, less than five times in a row, and waits"
    FAILING = "failing", "it failed five times in a row or more, and waits"
    REFUSED = "refused", "it ended with 78, and waits"
    FENCED = "fenced", "somebody else took the dataset over while it ran"
    COMPLETED = "completed", "the stream has come to its end"


class Need(Word):
    """Whether streams must be listed."""

    NO = "no", "they are known for this configuration, or it is invalid"
    YES = "yes", "they are not known, or requested again"


class Listing(Word):
    """The state of the discovery's Job."""

    NONE = "none", "no Job"
    ACTIVE = "active", "a Job lists the streams of the present configuration"
    DONE = "done", "a Job has ended and nobody has read it"
    OUTDATED = "outdated", "a Job lists the streams of an earlier configuration"
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
        """Memory counts only when running is requested."""
        return self.memory is Memory.CLEAR or self.request is Request.RUNNING


class ListingInputs(msgspec.Struct, frozen=True):
    """Which row of the table of discoveries holds."""

    need: Need
    listing: Listing
    timer: Timer
    slot: Slot
