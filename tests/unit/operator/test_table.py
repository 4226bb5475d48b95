"""Every combination of the four values, each against a row told independently of how the table is written."""

from itertools import product
from string import Formatter

import pytest

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
from connector_operator.decide.messages import PARTS
from connector_operator.decide.outputs import Action, EventType
from connector_operator.decide.table import LISTING_ROWS, ROWS, find_listing_row, find_row

POSSIBLE = [s for s in (Inputs(*words) for words in product(Request, Execution, Gate, Memory)) if s.is_possible]
LISTINGS = [ListingInputs(*words) for words in product(Need, Listing, Timer, Slot)]


def expected_row(s: Inputs) -> str:
    """The behaviour in words, by request first."""
    if s.request is Request.DELETED:
        return "deleted"
    if s.execution is Execution.UNSEEN:
        return "look"
    if s.execution in {Execution.ORPHANED, Execution.STRANDED}:
        return s.execution.value
    if s.request is Request.RUNNING:
        return expected_when_running(s)
    if s.execution is Execution.ENDING:
        return "stopping"
    if s.execution is not Execution.NONE:
        return "stop"
    if s.request is Request.STOPPED:
        return "stopped"
    return {Gate.UNSELECTED: "received", Gate.OPEN: "ready", Gate.UNDISCOVERED: "pending"}.get(s.gate, s.gate.value)


def expected_when_running(s: Inputs) -> str:
    fixed = {
        Execution.READY: "running",
        Execution.WAITING: "starting",
        Execution.QUEUED: "turn",
        Execution.DECLINED: "declined",
        Execution.SURPLUS: "trim",
        Execution.LOST: "lost",
        Execution.SPENT: "spent",
        Execution.SUSPENDED: "admission",
        Execution.ENDING: "leaving",
    }
    if s.execution in fixed:
        return fixed[s.execution]
    if s.execution in {Execution.OUTDATED, Execution.BARRED, Execution.BEHIND}:
        if s.gate is Gate.OPEN:
            rows = {Execution.OUTDATED: "replace", Execution.BARRED: "barred", Execution.BEHIND: "send"}
            return rows[s.execution]
        return "held" if s.gate in {Gate.UNDISCOVERED, Gate.HOMELESS} else "stuck"
    if s.memory is Memory.COMPLETED:
        return "completed"
    if s.gate is not Gate.OPEN:
        return "pending" if s.gate is Gate.UNDISCOVERED else s.gate.value
    starts = {Memory.CLEAR: "start", Memory.CRASHED: "backoff", Memory.FAILING: "failing", Memory.REFUSED: "mend"} | {
        Memory.FENCED: "fenced"
    }
    return starts[s.memory]


def expected_listing_row(s: ListingInputs) -> str:
    """What is on its way first, then what is there though nobody needs it."""
    if s.listing in {Listing.OUTDATED, Listing.ENDING}:
        return "change" if s.listing is Listing.OUTDATED else "leave"
    if s.need is Need.NO:
        return "known" if s.listing in {Listing.NONE, Listing.SHARED} else "cancel"
    if s.listing is Listing.SHARED:
        return "shared"
    if s.listing is not Listing.NONE:
        return "read" if s.listing is Listing.DONE else "active"
    if s.timer is not Timer.DUE:
        return "later" if s.timer is Timer.LATER else "rest"
    return "begin" if s.slot is Slot.FREE else "line"


@pytest.mark.parametrize("request_", Request)
@pytest.mark.parametrize("execution", Execution)
def test_each_combination_is_in_just_the_row_that_names_it(request_: Request, execution: Execution) -> None:
    for situation in POSSIBLE:
        if situation.request is request_ and situation.execution is execution:
            assert [row.name for row in ROWS if row.has(situation)] == [expected_row(situation)], situation


def test_every_row_is_used_and_named_once() -> None:
    assert {find_row(s).name for s in POSSIBLE} == {row.name for row in ROWS}
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert {find_listing_row(s).name for s in LISTINGS} == {row.name for row in LISTING_ROWS}


@pytest.mark.parametrize("situation", LISTINGS, ids=lambda s: "-".join([s.need, s.listing, s.timer, s.slot]))
def test_each_discovery_is_in_just_the_row_that_names_it(situation: ListingInputs) -> None:
    assert [row.name for row in LISTING_ROWS if row.has(situation)] == [expected_listing_row(situation)]


def test_nothing_starts_unless_it_is_asked_for_and_nothing_else_is_there() -> None:
    starts = [s for s in POSSIBLE if find_row(s).action is Action.START]
    assert starts == [Inputs(Request.RUNNING, Execution.NONE, Gate.OPEN, Memory.CLEAR)]


def test_ready_and_stalled_never_meet_and_no_state_is_without_a_condition() -> None:
    for row in ROWS:
        assert not (row.ready and row.stalled), row.name
        assert not (row.reconciling and row.stalled), row.name
        assert bool(row.state) == (row.ready or row.reconciling or row.stalled), row.name


def test_what_a_row_says_of_a_stop_and_of_a_dry_run_goes_with_what_it_does() -> None:
    for row in ROWS:
        assert (row.action is Action.STOP) == (row.stop is not None), row.name
        assert row.action is Action.STOP or not row.needs_dry_run, row.name
        assert row.event is EventType.NORMAL or not row.ready, row.name
        assert bool(row.message) == bool(row.reason) == bool(row.state), row.name


def test_messages_name_only_parts_that_there_are() -> None:
    named = {name for row in ROWS for _, name, _, _ in Formatter().parse(row.message) if name}
    assert named == set(PARTS)
