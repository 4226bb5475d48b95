"""The messages of a case: the reasons and sentences that rows leave to the gate, the pod and the last execution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from string import Formatter

import msgspec

from connector_operator.decide.case import Case
from connector_operator.decide.inputs import Gate
from connector_operator.decide.orders import EARLIER_GOES_ON, answer_of, say_refused_orders
from connector_operator.decide.outputs import Action, ListingAction, ReasonFrom, Wake
from connector_operator.decide.pod_problems import Explanation, WaitsFor, explain_suspended, explain_unready
from connector_operator.decide.selected import say_nothing_selected, say_runs, say_selected
from connector_operator.decide.sharing import find_asker
from connector_operator.decide.termination import read_live_ending
from connector_operator.resources import names
from connector_operator.resources.reasons import Reason, RunnerReason
from connector_operator.resources.times import format_time
from connector_runner.schemas.kinds.connector_status import ConnectorStatus

_MOST_NAMED = 20
_DATASET_GONE = "; its Dataset can't be used any more, but it continues until it is stopped or restarted"
_CHANGES_ITS_POD = frozenset({Action.START, Action.STOP, Action.TRIM})


class Messages(msgspec.Struct, frozen=True, kw_only=True):
    """The messages of one case.

    Attributes:
        reason, message: Of the Ready condition.
        event: The message without its times, for events.
        ready, reconciling, stalled: As in the row, except that only Stalled is true if a person must act.
        listing: Why the streams are not known, or could not be listed again.
        pod: Why the execution's pod is not ready.
    """

    reason: Reason | RunnerReason
    message: str
    event: str
    ready: bool = False
    reconciling: bool = False
    stalled: bool = False
    listing: Explanation
    pod: Explanation


class _Sayers(msgspec.Struct, frozen=True):
    """The case, and the explanations that a row may refer to."""

    case: Case
    gate: Explanation
    pod: Explanation


def build_messages(case: Case) -> Messages:
    """All messages of one case; the same observation always gives the same messages."""
    seen, row = case.facts.seen, case.row
    listing = _explain_listing(case)
    gate = _explain_gate(case, listing)
    live = case.facts.live[-1].job if case.facts.live else None
    pod = explain_unready(live, seen) if live else Explanation(Reason.NO_EXECUTION, "")
    if seen.refusal and row.action in _CHANGES_ITS_POD:
        return Messages(
            reason=Reason.JOB_REFUSED, message=seen.refusal, event=seen.refusal, stalled=True, listing=listing, pod=pod
        )
    if row.action is Action.SEND and (refusal := say_refused_orders(case.facts, case.memory)):
        said = f"{EARLIER_GOES_ON} {refusal}"
        return Messages(reason=Reason.ORDERS_REFUSED, message=said, event=said, stalled=True, listing=listing, pod=pod)
    message = _fill(row.message, _Sayers(case, gate, pod))
    when = gate.when if row.reason is ReasonFrom.GATE else _say_when(case)
    givers = {ReasonFrom.GATE: gate, ReasonFrom.POD: pod, ReasonFrom.ANSWER: _explain_answer(case)}
    giver = givers.get(row.reason) if isinstance(row.reason, ReasonFrom) else None
    is_helpless = row.reconciling and giver is not None and giver.waits_for is WaitsFor.PERSON
    return Messages(
        reason=_reason(case, giver),
        message=message + when,
        event=message,
        ready=row.ready,
        reconciling=row.reconciling and not is_helpless,
        stalled=row.stalled or is_helpless,
        listing=listing,
        pod=pod,
    )


def _reason(case: Case, giver: Explanation | None) -> Reason | RunnerReason:
    if giver is not None:
        return giver.reason
    reason = case.row.reason
    return (
        RunnerReason(case.memory.last_execution.reason) if reason is None or isinstance(reason, ReasonFrom) else reason
    )


def _fill(message: str, sayers: _Sayers) -> str:
    """A row's message with its {parts} filled in."""
    named = {name for _, name, _, _ in Formatter().parse(message) if name}
    return message.format(**{name: PARTS[name](sayers) for name in named})


PARTS: dict[str, Callable[[_Sayers], str]] = {
    "gate": lambda s: s.gate.message,
    "pod": lambda s: s.pod.message,
    "last": lambda s: f"{s.case.memory.last_execution.reason}: {s.case.memory.last_execution.message}",
    "refused": lambda s: close(s.case.memory.last_execution.message),
    "failures": lambda s: str(s.case.memory.retry.failures),
    "selected": lambda s: say_selected(s.case.facts.seen.spec, s.case.memory),
    "runs": lambda s: say_runs(s.case.facts.seen.spec, s.case.memory),
    "into": lambda s: _say_table(s.case),
    "left": lambda s: _say_left(s.case),
    "streams": lambda s: say_streams(s.case.memory),
    "execution": lambda s: names.execution_job_name(s.case.facts.seen.name, s.case.facts.seen.uid, s.case.memory.run),
    "refusal": lambda s: s.case.facts.seen.dry_run.refusal if s.case.facts.seen.dry_run else "",
    "sending": lambda s: _say_sending(s.case),
    "declined": lambda s: f"{EARLIER_GOES_ON} {_explain_answer(s.case).message}",
    "over": lambda s: _say_ending(s.case),
    "suspended": lambda s: explain_suspended(s.case.facts.live[-1].job).message if s.case.facts.live else "",
}
"""The {parts} of rows' messages, and the text for each."""


def _explain_answer(case: Case) -> Explanation:
    """Why the runner refuses the selection that it was sent."""
    reason, message = answer_of(case.memory)
    return Explanation(reason, close(message), WaitsFor.PERSON)


def _say_sending(case: Case) -> str:
    """What becomes of a changed selection."""
    what = say_selected(case.facts.seen.spec, case.memory)
    return f"The running execution is asked to carry {what}; the streams that stay are not interrupted."


def _say_ending(case: Case) -> str:
    """How the execution ended, if its Job is still live."""
    if not case.facts.live:
        return ""
    live = case.facts.live[-1]
    return read_live_ending(live.job, case.facts.seen.pods or (), live.outlived_code).message


def _say_when(case: Case) -> str:
    """When the next attempt is, as a sentence with a space before it; "" if time does not matter."""
    wake, retry, dry_run = case.row.wake, case.memory.retry, case.facts.seen.dry_run
    if wake is Wake.DRY_RUN and dry_run is not None and dry_run.again is not None:
        return f" Tried again at {format_time(dry_run.again)}, and at once when the spec changes."
    if wake is Wake.RETRY:
        return f" Tried again at {retry.at}."
    return f" Tried again at {retry.at}, and at once when the spec changes." if wake is Wake.RETRY_OR_CHANGE else ""


def _say_table(case: Case) -> str:
    spec, dataset = case.facts.seen.spec, case.facts.seen.dataset
    if spec is not None and spec.streams is not None and dataset.table:
        return f" into tables {dataset.table} of Dataset {dataset.name!r}"
    return f" into table {dataset.table}" if dataset.table else _DATASET_GONE


def say_streams(status: ConnectorStatus) -> str:
    """How many streams there are, and the names of the first ones."""
    known = [stream.id for stream in status.streams]
    more = f", and {status.streams_total - _MOST_NAMED} more" if status.streams_total > _MOST_NAMED else ""
    if not known:
        return "The source has no streams."
    count = f"{status.streams_total} streams" if status.streams_total != 1 else "1 stream"
    return f"The source has {count}: {', '.join(known[:_MOST_NAMED])}{more}."


def _say_left(case: Case) -> str:
    """Which pod is left over, and what to do about it: the operator may not delete pods."""
    left = case.facts.alive_pods
    if not left:
        return ""
    command = f"kubectl delete pod -n {case.facts.seen.namespace} {left[0].name}"
    if left[0].is_orphan:
        return f"Pod {left[0].name} runs without a Job, so nothing ends it; delete it with: {command}."
    return (
        f"Pod {left[0].name} was asked to end, but its node does not answer: it may run until the node is back or "
        f"gone. If you know that the node is off: {command} --force."
    )


def close(text: str) -> str:
    """A runner's message as a complete sentence, so that another may follow."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def list_problems(problems: Sequence[str]) -> str:
    """Problems as one sentence."""
    return "; ".join(problems) + "."


def _explain_listing(case: Case) -> Explanation:
    """Why the streams of this configuration are not known, or what their discovery waits for."""
    seen, row, discovery = case.facts.seen, case.listing_row, case.memory.discovery
    if seen.refusal and row.action is ListingAction.START:
        return Explanation(Reason.JOB_REFUSED, seen.refusal, WaitsFor.PERSON)
    if row.waits_for_slot:
        return Explanation(Reason.AWAITING_SLOT, "Other discoveries are running; this one waits for its turn.")
    live = [d.job for d in case.facts.discoveries if d.is_live]
    if live and row.names_pod_problem:
        unready = explain_unready(live[-1], seen)
        if unready.waits_for is not WaitsFor.TIME:
            return unready
    if case.streams.has_failed:
        when = f" Tried again at {discovery.retry_at}, and at once when the spec changes." if row.retries else ""
        return Explanation(RunnerReason(discovery.reason), close(discovery.message), when=when)
    if row.waits_for_peer:
        return _explain_asker(case)
    return Explanation(Reason.DISCOVERING, "The streams of this configuration are being listed.")


def _explain_asker(case: Case) -> Explanation:
    """Which connector's discovery this one waits for, and what delays that one."""
    asker = find_asker(case.facts, case.memory, case.streams)
    if asker is None:
        return Explanation(Reason.DISCOVERING, "The streams of this configuration are being listed.")
    if asker.reason is not None:
        return Explanation(asker.reason, f"Connector {asker.name} lists the streams: {asker.message}", WaitsFor.PERSON)
    message = f"Connector {asker.name} lists the streams of the same configuration; its list serves this one, too."
    return Explanation(Reason.DISCOVERING, message)


def _say_unknown(case: Case) -> str:
    spec = case.facts.seen.spec
    if spec is not None and spec.streams is not None:
        return say_nothing_selected(case.memory.selection)
    return f"The source has no stream {spec.selected_stream if spec is not None else ''!r}."


def _explain_gate(case: Case, listing: Explanation) -> Explanation:
    """What prevents a start."""
    seen = case.facts.seen
    match case.inputs.gate:
        case Gate.INVALID:
            return Explanation(Reason.INVALID_CONFIG, list_problems(case.facts.problems))
        case Gate.REFUSED | Gate.UNDISCOVERED:
            return listing
        case Gate.UNSELECTED:
            return Explanation(
                Reason.STREAM_NOT_SELECTED,
                f"Running is requested, but no stream is selected: set spec.selectedStream. {say_streams(case.memory)}",
            )
        case Gate.UNKNOWN:
            return Explanation(Reason.UNKNOWN_STREAM, f"{_say_unknown(case)} {say_streams(case.memory)}")
        case Gate.HOMELESS | Gate.MISDIRECTED:
            return Explanation(seen.dataset.reason, seen.dataset.message)
        case Gate.OPEN:
            return Explanation(Reason.READY_TO_RUN, "")
