"""The whole behaviour on one page: which situation leads to which action, state and reason.

Every possible combination of the four values is in exactly one row (a test enumerates them), so the order means nothing.
`docs/states.md` is generated from here. A reason in <brackets> is said by the gate, the pod or the last execution.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

import msgspec

from connector_operator.decide.inputs import (
    Action,
    Execution,
    Gate,
    Inputs,
    Listing,
    ListingAction,
    ListingInputs,
    Memory,
    Need,
    Request,
    Slot,
    Timer,
)

Word = TypeVar("Word", bound=StrEnum)


class Row(msgspec.Struct, frozen=True):
    """One row: holds where each of the four values is in its set; `flags`: Ready, Progressing (Reconciling), Stalled."""

    name: str
    requests: frozenset[Request]
    executions: frozenset[Execution]
    gates: frozenset[Gate]
    memories: frozenset[Memory]
    action: Action
    state: str
    reason: str
    flags: str
    says: str

    def has(self, situation: Inputs) -> bool:
        """Whether the row holds in this situation."""
        return (
            situation.request in self.requests
            and situation.execution in self.executions
            and situation.gate in self.gates
            and situation.memory in self.memories
        )


class ListingRow(msgspec.Struct, frozen=True):
    """One row of the table of discoveries."""

    name: str
    needs: frozenset[Need]
    listings: frozenset[Listing]
    timers: frozenset[Timer]
    slots: frozenset[Slot]
    action: ListingAction

    def has(self, situation: ListingInputs) -> bool:
        """Whether the row holds in this situation."""
        return (
            situation.need in self.needs
            and situation.listing in self.listings
            and situation.timer in self.timers
            and situation.slot in self.slots
        )


def _in(words: type[Word], text: str) -> frozenset[Word]:
    """`*` all, `a b` these, `-a b` all but these."""
    if text == "*":
        return frozenset(words)
    chosen = {words(word) for word in text.removeprefix("-").split()}
    return frozenset(set(words) - chosen if text.startswith("-") else chosen)


def _row(
    name: str, request: str, execution: str, gate: str, memory: str, then: tuple[Action, str, str, str], says: str
) -> Row:
    words = (_in(Request, request), _in(Execution, execution), _in(Gate, gate), _in(Memory, memory))
    return Row(name, *words, *then, says)


def _list(name: str, need: str, listing: str, timer: str, slot: str, action: ListingAction) -> ListingRow:
    return ListingRow(name, _in(Need, need), _in(Listing, listing), _in(Timer, timer), _in(Slot, slot), action)


A = Action
# fmt: off
ROWS = (
    #    row            request            execution        gate                              memory        action     state       reason             flags
    _row("deleted",     "deleted",         "*",             "*",                              "*",         (A.NOTHING, "",         "",                ""),  ""),
    _row("look",        "-deleted",        "unseen",        "*",                              "*",         (A.LOOK,    "",         "",                ""),  ""),
    _row("stop",        "absent stopped",  "ready waiting outdated barred suspended spent queued surplus lost", "*", "*", (A.STOP,    "running",  "Stopping",        "P"), "The execution is told to commit and leave."),
    _row("stopping",    "absent stopped",  "ending",        "*",                              "*",         (A.CLEAR,   "running",  "Stopping",        "P"), "The execution is told to commit and leave."),
    _row("orphaned",    "-deleted",        "orphaned",      "*",                              "*",         (A.NOTHING, "running",  "PodOrphaned",     "S"), "{left}"),
    _row("stranded",    "-deleted",        "stranded",      "*",                              "*",         (A.NOTHING, "running",  "NodeLost",        "P"), "{left}"),
    _row("stopped",     "stopped",         "none",          "*",                              "*",         (A.NOTHING, "stopped",  "Stopped",         "R"), "Stopped as asked; set spec.status to running to go on where it left off."),
    _row("trim",        "running",         "surplus",       "*",                              "*",         (A.TRIM,    "running",  "Replacing",       "P"), "More than one execution was found; all but the newest are told to leave."),
    _row("lost",        "running",         "lost",          "*",                              "*",         (A.STOP,    "running",  "NodeLost",        "P"), "The execution's node does not answer; another execution takes over."),
    _row("leaving",     "running",         "ending",        "*",                              "*",         (A.CLEAR,   "running",  "Replacing",       "P"), "The execution makes way for the next, which starts when its pod is gone."),
    _row("replace",     "running",         "outdated",      "open",                           "*",         (A.STOP,    "running",  "Replacing",       "P"), "The execution makes way for the next, which starts when its pod is gone."),
    _row("barred",      "running",         "barred",        "open",                           "*",         (A.NOTHING, "running",  "JobRefused",      "S"), "The execution of the earlier spec goes on. {trial}{when}"),
    _row("spent",       "running",         "spent",         "*",                              "*",         (A.STOP,    "running",  "Replacing",       "P"), "{spent}"),
    _row("admission",   "running",         "suspended",     "*",                              "*",         (A.NOTHING, "running",  "AwaitingAdmission", "P"), "{suspended}"),
    _row("held",        "running",         "outdated barred", "undiscovered homeless",        "*",         (A.NOTHING, "running",  "<gate>",          "P"), "The execution of the earlier spec goes on. {gate}"),
    _row("stuck",       "running",         "outdated barred", "invalid refused unselected unknown misdirected", "*", (A.NOTHING, "running", "<gate>",   "S"), "The execution of the earlier spec goes on. {gate}"),
    _row("turn",        "running",         "queued",        "*",                              "*",         (A.NOTHING, "running",  "AwaitingTurn",    "RP"), "The Dataset has changed; this connector follows when those before it are ready again."),
    _row("running",     "running",         "ready",         "*",                              "*",         (A.NOTHING, "running",  "Running",         "R"), "Stream {stream} runs{into}."),
    _row("starting",    "running",         "waiting",       "*",                              "*",         (A.NOTHING, "running",  "<pod>",           "P"), "{pod}"),
    _row("completed",   "running",         "none",          "*",                              "completed", (A.NOTHING, "stopped",  "Completed",       "R"), "The stream has come to its end; set spec.restartedAt to any new text to run it again."),
    _row("invalid",     "absent running",  "none",          "invalid",                        "-completed", (A.NOTHING, "errored", "<gate>",          "S"), "{gate}"),
    _row("refused",     "absent running",  "none",          "refused",                        "-completed", (A.NOTHING, "errored", "<gate>",          "S"), "{gate}"),
    _row("pending",     "absent running",  "none",          "undiscovered",                   "-completed", (A.NOTHING, "pending", "<gate>",          "P"), "{gate}"),
    _row("received",    "absent",          "none",          "unselected",                     "*",         (A.NOTHING, "received", "StreamsReceived", "R"), "{streams} Select one in spec.selectedStream."),
    _row("unselected",  "running",         "none",          "unselected",                     "-completed", (A.NOTHING, "received", "<gate>",         "S"), "{gate}"),
    _row("unknown",     "absent running",  "none",          "unknown",                        "-completed", (A.NOTHING, "errored", "<gate>",          "S"), "{gate}"),
    _row("homeless",    "absent running",  "none",          "homeless",                       "-completed", (A.NOTHING, "received", "<gate>",         "P"), "{gate}"),
    _row("misdirected", "absent running",  "none",          "misdirected",                    "-completed", (A.NOTHING, "errored", "<gate>",          "S"), "{gate}"),
    _row("ready",       "absent",          "none",          "open",                           "*",         (A.NOTHING, "ready",    "ReadyToRun",      "R"), "Ready to run stream {stream}{into}; set spec.status to running."),
    _row("backoff",     "running",         "none",          "open",                           "crashed",   (A.NOTHING, "running",  "CrashBackoff",    "P"), "The last execution failed ({last}).{when}"),
    _row("failing",     "running",         "none",          "open",                           "failing",   (A.NOTHING, "errored",  "CrashLoop",       "P"), "{failures} executions in a row have failed, the last: {last}.{when}"),
    _row("mend",        "running",         "none",          "open",                           "refused",   (A.NOTHING, "errored",  "<last>",          "S"), "{last}{when}"),
    _row("fenced",      "running",         "none",          "open",                           "fenced",    (A.NOTHING, "errored",  "<last>",          "S"), "{last} It does not start again by itself, as two would take the dataset from each other for ever. End the other one (a copy of this connector in another cluster?), then set spec.restartedAt to any new text."),
    _row("start",       "running",         "none",          "open",                           "clear",     (A.START,   "running",  "Starting",        "P"), "Execution {execution} is starting."),
)
LISTING_ROWS = (
    #     row       need  listing            timer    slot     action
    _list("known",  "no",  "none",            "*",     "*",     ListingAction.NOTHING),
    _list("cancel", "no",  "active done",     "*",     "*",     ListingAction.CANCEL),
    _list("change", "*",   "outdated",        "*",     "*",     ListingAction.CANCEL),
    _list("leave",  "*",   "ending",          "*",     "*",     ListingAction.NOTHING),
    _list("read",   "yes", "done",            "*",     "*",     ListingAction.READ),
    _list("active", "yes", "active",          "*",     "*",     ListingAction.NOTHING),
    _list("begin",  "yes", "none",            "due",   "free",  ListingAction.START),
    _list("line",   "yes", "none",            "due",   "taken", ListingAction.NOTHING),
    _list("later",  "yes", "none",            "later", "*",     ListingAction.NOTHING),
    _list("rest",   "yes", "none",            "never", "*",     ListingAction.NOTHING),
)
# fmt: on


def find_row(situation: Inputs) -> Row:
    """The one row that holds; the enumerated test proves that there is always exactly one."""
    return next(row for row in ROWS if row.has(situation))


def find_listing_row(situation: ListingInputs) -> ListingRow:
    """The one row that holds."""
    return next(row for row in LISTING_ROWS if row.has(situation))
