"""The whole behaviour on one page: which inputs lead to which action, state and reason.

Every possible combination of the four inputs is in exactly one row (a test enumerates them), so the order of rows does
not matter. `docs/states.md` is generated from here. What a row means for others is in its fields: nothing outside this
module uses a row's name (`make lint` checks it).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

import msgspec

from connector_operator.decide.inputs import (
    Execution,
    Gate,
    Inputs,
    Listing,
    ListingInputs,
    Memory,
    Need,
    Request,
    Slot,
    Timer,
)
from connector_operator.decide.outputs import Action, EventType, ListingAction, ReasonFrom, StopCause, Wake
from connector_operator.resources.reasons import Reason

Word = TypeVar("Word", bound=StrEnum)


def only(*words: Word) -> frozenset[Word]:
    """Only these values."""
    return frozenset(words)


def all_but(*words: Word) -> frozenset[Word]:
    """All values of their kind except these."""
    return frozenset(type(words[0])) - frozenset(words)


class When(msgspec.Struct, frozen=True):
    """The inputs with which a row holds: each of the four must be in its set."""

    requests: frozenset[Request]
    executions: frozenset[Execution]
    gates: frozenset[Gate] = frozenset(Gate)
    memories: frozenset[Memory] = frozenset(Memory)


class Row(msgspec.Struct, frozen=True):
    """One row.

    Attributes:
        name: What metrics, logs and the documentation call it.
        state: `state.status`.
        reason: Of Ready; or where it comes from, if the row leaves it open.
        message: Of Ready; {parts} are filled in by `messages`.
        ready, reconciling, stalled: Which of these conditions are true; only Stalled if a pod or gate needs a person.
        unhealthy: RunnerHealthy is False, with the reason and message of Ready; otherwise the pod decides.
        event: How the change to this row is reported.
        wake: When to look again even if nothing happens.
        stop: Why an execution is stopped, where the action stops one.
        needs_dry_run: A dry run first checks that the API server accepts the next Job.
    """

    name: str
    when: When
    action: Action = Action.NOTHING
    state: str = ""
    reason: Reason | ReasonFrom | None = None
    message: str = ""
    ready: bool = False
    reconciling: bool = False
    stalled: bool = False
    unhealthy: bool = False
    event: EventType = EventType.WARNING
    wake: Wake = Wake.NONE
    stop: StopCause | None = None
    needs_dry_run: bool = False

    def has(self, inputs: Inputs) -> bool:
        """Whether the row holds with these inputs."""
        when = self.when
        return (
            inputs.request in when.requests
            and inputs.execution in when.executions
            and inputs.gate in when.gates
            and inputs.memory in when.memories
        )


class ListingRow(msgspec.Struct, frozen=True):
    """One row of the table of discoveries.

    Attributes:
        reconciling: A discovery is in progress; Reconciling reports it if nothing else is being changed.
        names_pod_problem: The streams are not known because the discovery's pod does not start.
        asks_peers: First look for another connector's discovery, finished or running.
        waits_for_peer: It waits for another connector's discovery.
        waits_for_slot: It waits until another discovery has ended.
        wakes: Look again when the next attempt is due.
        retries: It is retried automatically.
    """

    name: str
    needs: frozenset[Need]
    listings: frozenset[Listing]
    timers: frozenset[Timer] = frozenset(Timer)
    slots: frozenset[Slot] = frozenset(Slot)
    action: ListingAction = ListingAction.NOTHING
    reconciling: bool = False
    names_pod_problem: bool = False
    waits_for_slot: bool = False
    asks_peers: bool = False
    waits_for_peer: bool = False
    wakes: bool = False
    retries: bool = True

    def has(self, inputs: ListingInputs) -> bool:
        """Whether the row holds with these inputs."""
        return (
            inputs.need in self.needs
            and inputs.listing in self.listings
            and inputs.timer in self.timers
            and inputs.slot in self.slots
        )


A, E, G, M, R = Action, Execution, Gate, Memory, Request
RUNNING, STOPPED, ABSENT = only(R.RUNNING), only(R.STOPPED), only(R.ABSENT)
NOT_RUNNING, NOT_STOPPED, EXISTING = only(R.ABSENT, R.STOPPED), only(R.ABSENT, R.RUNNING), all_but(R.DELETED)
LIVE = all_but(E.NONE, E.UNSEEN, E.ENDING, E.ORPHANED, E.STRANDED)
NONE, ENDING, CHANGED = only(E.NONE), only(E.ENDING), only(E.OUTDATED, E.BARRED, E.BEHIND)
OPEN, ANY_GATE, NOT_COMPLETED = only(G.OPEN), frozenset(Gate), all_but(M.COMPLETED)
UNUSABLE = only(G.INVALID, G.REFUSED, G.UNSELECTED, G.UNKNOWN, G.MISDIRECTED)
NORMAL = EventType.NORMAL
LEAVES = "The execution is asked to commit and end."
MAKES_WAY = "The execution is being replaced; the next one starts when its pod is gone."
GOES_ON = "The execution of the earlier spec continues."
# fmt: off
ROWS = (
    #   row            inputs                                     action     state      reason              message
    Row("deleted",     When(only(R.DELETED), frozenset(E))),
    Row("look",        When(EXISTING, only(E.UNSEEN)),            A.LOOK),
    Row("stop",        When(NOT_RUNNING, LIVE),                   A.STOP,    "running", Reason.STOPPING,         LEAVES,
        reconciling=True, unhealthy=True, event=NORMAL, stop=StopCause.ASKED),
    Row("stopping",    When(NOT_RUNNING, ENDING),                 A.CLEAR,   "running", Reason.STOPPING,         LEAVES,
        reconciling=True, unhealthy=True, event=NORMAL, wake=Wake.LEAVE),
    Row("orphaned",    When(EXISTING, only(E.ORPHANED)),          A.NOTHING, "running", Reason.POD_ORPHANED,      "{left}",
        stalled=True, unhealthy=True, wake=Wake.LEFT_POD),
    Row("stranded",    When(EXISTING, only(E.STRANDED)),          A.NOTHING, "running", Reason.NODE_LOST,         "{left}",
        reconciling=True, unhealthy=True, wake=Wake.LEFT_POD),
    Row("stopped",     When(STOPPED, NONE),                       A.NOTHING, "stopped", Reason.STOPPED,          "Stopped as requested; set spec.status to running to continue where it left off.",
        ready=True, event=NORMAL),
    Row("trim",        When(RUNNING, only(E.SURPLUS)),            A.TRIM,    "running", Reason.REPLACING,        "More than one execution was found; all but the newest are stopped.",
        reconciling=True, unhealthy=True),
    Row("lost",        When(RUNNING, only(E.LOST)),               A.STOP,    "running", Reason.NODE_LOST,         "The execution's node does not answer; another execution takes over.",
        reconciling=True, unhealthy=True, stop=StopCause.NODE_LOST),
    Row("leaving",     When(RUNNING, ENDING),                     A.CLEAR,   "running", Reason.REPLACING,        MAKES_WAY,
        reconciling=True, unhealthy=True, event=NORMAL, wake=Wake.LEAVE),
    Row("replace",     When(RUNNING, only(E.OUTDATED), OPEN),     A.STOP,    "running", Reason.REPLACING,        MAKES_WAY,
        reconciling=True, unhealthy=True, event=NORMAL, stop=StopCause.REPLACED, needs_dry_run=True),
    Row("barred",      When(RUNNING, only(E.BARRED), OPEN),       A.NOTHING, "running", Reason.JOB_REFUSED,       GOES_ON + " {refusal}",
        stalled=True, wake=Wake.DRY_RUN),
    Row("spent",       When(RUNNING, only(E.SPENT)),              A.STOP,    "running", Reason.REPLACING,        "{over} Its Job is replaced by the next execution.",
        reconciling=True, unhealthy=True, stop=StopCause.OVER),
    Row("admission",   When(RUNNING, only(E.SUSPENDED)),          A.NOTHING, "running", Reason.AWAITING_ADMISSION, "{suspended}",
        reconciling=True),
    Row("held",        When(RUNNING, CHANGED, only(G.UNDISCOVERED, G.HOMELESS)), A.NOTHING, "running", ReasonFrom.GATE, GOES_ON + " {gate}",
        reconciling=True),
    Row("stuck",       When(RUNNING, CHANGED, UNUSABLE),          A.NOTHING, "running", ReasonFrom.GATE,    GOES_ON + " {gate}",
        stalled=True),
    Row("send",        When(RUNNING, only(E.BEHIND), OPEN),       A.SEND,    "running", Reason.SELECTION_CHANGING, "{sending}",
        ready=True, reconciling=True, event=NORMAL),
    Row("declined",    When(RUNNING, only(E.DECLINED)),           A.NOTHING, "running", ReasonFrom.ANSWER,        "{declined}",
        stalled=True),
    Row("turn",        When(RUNNING, only(E.QUEUED)),             A.NOTHING, "running", Reason.AWAITING_TURN,     "The Dataset has changed; this connector follows when those before it are ready again.",
        ready=True, reconciling=True, event=NORMAL),
    Row("running",     When(RUNNING, only(E.READY)),              A.NOTHING, "running", Reason.RUNNING,          "{runs}{into}.",
        ready=True, event=NORMAL),
    Row("starting",    When(RUNNING, only(E.WAITING)),            A.NOTHING, "running", ReasonFrom.POD,     "{pod}",
        reconciling=True, event=NORMAL),
    Row("completed",   When(RUNNING, NONE, ANY_GATE, only(M.COMPLETED)), A.NOTHING, "stopped", Reason.COMPLETED, "The stream has come to its end; set spec.restartedAt to any new text to run it again.",
        ready=True, event=NORMAL),
    Row("invalid",     When(NOT_STOPPED, NONE, only(G.INVALID), NOT_COMPLETED), A.NOTHING, "errored", ReasonFrom.GATE, "{gate}",
        stalled=True),
    Row("refused",     When(NOT_STOPPED, NONE, only(G.REFUSED), NOT_COMPLETED), A.NOTHING, "errored", ReasonFrom.GATE, "{gate}",
        stalled=True),
    Row("pending",     When(NOT_STOPPED, NONE, only(G.UNDISCOVERED), NOT_COMPLETED), A.NOTHING, "pending", ReasonFrom.GATE, "{gate}",
        reconciling=True),
    Row("received",    When(ABSENT, NONE, only(G.UNSELECTED)),    A.NOTHING, "received", Reason.STREAMS_RECEIVED, "{streams} Select one in spec.selectedStream.",
        ready=True, event=NORMAL),
    Row("unselected",  When(RUNNING, NONE, only(G.UNSELECTED), NOT_COMPLETED), A.NOTHING, "received", ReasonFrom.GATE, "{gate}",
        stalled=True),
    Row("unknown",     When(NOT_STOPPED, NONE, only(G.UNKNOWN), NOT_COMPLETED), A.NOTHING, "errored", ReasonFrom.GATE, "{gate}",
        stalled=True),
    Row("homeless",    When(NOT_STOPPED, NONE, only(G.HOMELESS), NOT_COMPLETED), A.NOTHING, "received", ReasonFrom.GATE, "{gate}",
        reconciling=True),
    Row("misdirected", When(NOT_STOPPED, NONE, only(G.MISDIRECTED), NOT_COMPLETED), A.NOTHING, "errored", ReasonFrom.GATE, "{gate}",
        stalled=True),
    Row("ready",       When(ABSENT, NONE, OPEN),                  A.NOTHING, "ready",   Reason.READY_TO_RUN,       "Ready to run {selected}{into}; set spec.status to running.",
        ready=True, event=NORMAL),
    Row("backoff",     When(RUNNING, NONE, OPEN, only(M.CRASHED)), A.NOTHING, "running", Reason.CRASH_BACKOFF,    "The last execution failed ({last}).",
        reconciling=True, unhealthy=True, wake=Wake.RETRY),
    Row("failing",     When(RUNNING, NONE, OPEN, only(M.FAILING)), A.NOTHING, "errored", Reason.CRASH_LOOP,       "{failures} executions in a row have failed, the last: {last}.",
        reconciling=True, unhealthy=True, wake=Wake.RETRY),
    Row("mend",        When(RUNNING, NONE, OPEN, only(M.REFUSED)), A.NOTHING, "errored", ReasonFrom.LAST,   "{refused}",
        stalled=True, unhealthy=True, wake=Wake.RETRY_OR_CHANGE),
    Row("fenced",      When(RUNNING, NONE, OPEN, only(M.FENCED)),  A.NOTHING, "errored", ReasonFrom.LAST,   "{refused} It is not restarted automatically, because two runners would take the dataset from each other again and again. End the other one (a copy of this connector in another cluster?), then set spec.restartedAt to any new text.",
        stalled=True, unhealthy=True),
    Row("start",       When(RUNNING, NONE, OPEN, only(M.CLEAR)),   A.START,   "running", Reason.STARTING,        "Execution {execution} is starting.",
        reconciling=True, unhealthy=True, event=NORMAL),
)
YES, NO, L, T = only(Need.YES), only(Need.NO), Listing, Timer
LISTING_ROWS = (
    #          row       need             listing                  timer          slot
    ListingRow("known",  NO,              only(L.NONE, L.SHARED)),
    ListingRow("cancel", NO,              only(L.ACTIVE, L.DONE),  action=ListingAction.CANCEL),
    ListingRow("change", frozenset(Need), only(L.OUTDATED),        action=ListingAction.CANCEL),
    ListingRow("leave",  frozenset(Need), only(L.ENDING),          reconciling=True),
    ListingRow("read",   YES,             only(L.DONE),            action=ListingAction.READ, reconciling=True),
    ListingRow("active", YES,             only(L.ACTIVE),          reconciling=True, names_pod_problem=True),
    ListingRow("begin",  YES,             only(L.NONE),            only(T.DUE),   only(Slot.FREE), ListingAction.START, reconciling=True, asks_peers=True),
    ListingRow("line",   YES,             only(L.NONE),            only(T.DUE),   only(Slot.TAKEN), reconciling=True, waits_for_slot=True, asks_peers=True),
    ListingRow("shared", YES,             only(L.SHARED),          reconciling=True, waits_for_peer=True),
    ListingRow("later",  YES,             only(L.NONE),            only(T.LATER), wakes=True),
    ListingRow("rest",   YES,             only(L.NONE),            only(T.NEVER), retries=False),
)
# fmt: on


def find_row(inputs: Inputs) -> Row:
    """The one row that holds; the test of all combinations proves that there is always exactly one."""
    return next(row for row in ROWS if row.has(inputs))


def find_listing_row(inputs: ListingInputs) -> ListingRow:
    """The one row that holds."""
    return next(row for row in LISTING_ROWS if row.has(inputs))
