"""The reasons and sentences that the tables leave to the gate, the pod and the last execution."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from connector_operator.decide.classify import alive_pods, has_failed, is_fresh, live_jobs
from connector_operator.decide.facts import own_jobs, problems_of
from connector_operator.decide.inputs import Action, Gate, Inputs, ListingAction
from connector_operator.decide.observation import Observation
from connector_operator.decide.pod_problems import Explanation, explain_suspended, explain_unready
from connector_operator.decide.table import ListingRow, Row
from connector_operator.decide.termination import read_spent_ending
from connector_operator.resources import names
from connector_operator.resources.connector import ConnectorStatus
from connector_operator.resources.times import format_time

_MOST_NAMED = 20
GOES_ON = "; its Dataset can't be used any more, so it goes on until it is stopped or restarted"


class Messages(msgspec.Struct, frozen=True):
    """What is said of one situation.

    Attributes:
        reason, message: Of the Ready condition.
        flags: Which conditions are true, as in the row, unless only a person can help: then Stalled and nothing else.
        told: The message without what changes with the clock, for events.
        listing: Why the streams are not known (or not known anew).
        pod: Why the execution's pod is not ready.
    """

    reason: str
    message: str
    flags: str
    told: str
    listing: Explanation
    pod: Explanation

    @property
    def is_trouble(self) -> bool:
        """Whether they tell of something that only a person can mend."""
        return "S" in self.flags


def build_messages(
    seen: Observation, memory: ConnectorStatus, row: Row, listing: ListingRow, situation: Inputs
) -> Messages:
    """Everything that is said of one situation; pure text, the same for the same observation."""
    listed = say_listing(seen, memory, listing)
    gate = say_gate(seen, memory, situation.gate, listed)
    live = live_jobs(seen)
    pod = explain_unready(live[-1], seen.pods, seen.told, seen.now) if live else Explanation("NoExecution", "")
    last = memory.last_execution
    if seen.trouble and row.action in {Action.START, Action.STOP, Action.TRIM}:
        return Messages("JobRefused", seen.trouble, "S", seen.trouble, listed, pod)
    reason = {"<gate>": gate.reason, "<pod>": pod.reason, "<last>": last.reason}.get(row.reason, row.reason)
    message = row.says.format(
        gate=gate.message,
        pod=pod.message,
        last=f"{last.reason}: {last.message}" if row.name not in {"mend", "fenced"} else closed(last.message),
        failures=memory.retry.failures,
        stream=seen.spec.selected_stream if seen.spec else "",
        left=say_left(seen),
        into=f" into table {seen.dataset.table}" if seen.dataset.table else GOES_ON,
        streams=say_streams(memory),
        execution=names.execution_job_name(seen.name, seen.uid, memory.run),
        trial=seen.trial.refusal if seen.trial else "",
        spent=say_spent(seen),
        suspended=explain_suspended(live[-1]).message if live else "",
        when="{when}",
    )
    when = gate.when if row.reason == "<gate>" else say_when(seen, memory, row)
    message = message if "{when}" in message else f"{message}{{when}}"
    is_helpless = (row.reason == "<pod>" and is_stuck(pod)) or (row.reason == "<gate>" and is_stuck(gate))
    flags = "S" if is_helpless and "P" in row.flags else row.flags
    return Messages(reason, message.replace("{when}", when), flags, message.replace("{when}", ""), listed, pod)


_WAITS_ITSELF = frozenset({"RunnerNotReady", "SidecarNotReady"})
_POD_TROUBLE = frozenset(
    {"PodRefused", "Unschedulable", "ImageNotPulled", "SecretNotFound", "PodNotStarted", "SidecarEnded", "JobRefused"}
)


def is_stuck(wait: Explanation) -> bool:
    """Whether a pod or Job can't come to be unless somebody mends something; a source that is away is no such thing."""
    return wait.is_trouble and wait.reason in _POD_TROUBLE


def say_when(seen: Observation, memory: ConnectorStatus, row: Row) -> str:
    """When something is tried again, as a sentence with a space before it; "" where time does not matter."""
    if row.name == "barred" and seen.trial is not None and seen.trial.again is not None:
        return f" Asked again at {format_time(seen.trial.again)}, and at once when the spec changes."
    if row.name in {"backoff", "failing"}:
        return f" Tried again at {memory.retry.at}."
    return f" Tried again at {memory.retry.at}, and at once when the spec changes." if row.name == "mend" else ""


def say_spent(seen: Observation) -> str:
    """Why a Job that lives must go."""
    ending = read_spent_ending(seen, live_jobs(seen)[-1]) if live_jobs(seen) else None
    return f"{ending.message} Its Job makes way for the next execution." if ending is not None else ""


def say_streams(status: ConnectorStatus) -> str:
    """How many streams there are, and their names as far as a sentence holds them."""
    known = [stream.id for stream in status.streams]
    more = f", and {status.streams_total - _MOST_NAMED} more" if status.streams_total > _MOST_NAMED else ""
    if not known:
        return "The source has no streams."
    count = f"{status.streams_total} streams" if status.streams_total != 1 else "1 stream"
    return f"The source has {count}: {', '.join(known[:_MOST_NAMED])}{more}."


def say_left(seen: Observation) -> str:
    """Which pod is left though nobody wants it, and what to do: the operator may not delete pods."""
    left = alive_pods(seen)
    if not left:
        return ""
    command = f"kubectl delete pod -n {seen.namespace} {left[0].name}"
    if left[0].is_orphan:
        return f"Pod {left[0].name} runs on without a Job, so nothing ends it; end it with: {command}."
    return (
        f"Pod {left[0].name} was told to leave, but its node does not answer: it may run on until the node is back or "
        f"gone. When the node is known to be off: {command} --force."
    )


def closed(text: str) -> str:
    """A runner's message as a sentence, so that another may follow."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def sentence(texts: Sequence[str]) -> str:
    """Problems as one sentence."""
    return "; ".join(texts) + "."


def say_listing(seen: Observation, memory: ConnectorStatus, row: ListingRow) -> Explanation:
    """Why the streams of this configuration are not known, or how far their listing is."""
    discovery = memory.discovery
    if seen.trouble and row.action is ListingAction.START:
        return Explanation("JobRefused", seen.trouble, is_trouble=True)
    if row.name == "line":
        return Explanation("AwaitingSlot", "Other discoveries are running; this one is in line.")
    jobs = [j for j in own_jobs(seen, names.ROLE_DISCOVERY) if j.finished is None and j.deleting is None]
    if jobs and row.name == "active":
        wait = explain_unready(jobs[-1], seen.pods, seen.told, seen.now)
        if (wait.is_trouble and wait.reason not in _WAITS_ITSELF) or wait.reason == "AwaitingAdmission":
            return wait
    if has_failed(seen, memory):
        when = "" if row.name == "rest" else f" Tried again at {discovery.retry_at}, and at once when the spec changes."
        return Explanation(discovery.reason, closed(discovery.message), is_trouble=True, when=when)
    return Explanation("Discovering", "The streams of this configuration are being listed.")


def say_gate(seen: Observation, memory: ConnectorStatus, gate: Gate, listed: Explanation) -> Explanation:
    """What stands between the spec and a start."""
    stream = seen.spec.selected_stream if seen.spec else ""
    match gate:
        case Gate.INVALID:
            return Explanation("InvalidConfig", sentence(problems_of(seen)))
        case Gate.REFUSED | Gate.UNDISCOVERED:
            return listed
        case Gate.UNSELECTED:
            return Explanation(
                "StreamNotSelected",
                f"Running is asked for, but no stream is selected: set spec.selectedStream. {say_streams(memory)}",
            )
        case Gate.UNKNOWN:
            return Explanation("UnknownStream", f"The source has no stream {stream!r}. {say_streams(memory)}")
        case Gate.HOMELESS | Gate.MISDIRECTED:
            return Explanation(seen.dataset.reason, seen.dataset.message)
        case Gate.OPEN:
            return Explanation("ReadyToRun", "")


def say_discovered(seen: Observation, memory: ConnectorStatus, listed: Explanation) -> tuple[str, str, str]:
    """Status, reason and message of the Discovered condition."""
    if seen.spec is None or problems_of(seen):
        return "False", "InvalidConfig", "The configuration has problems; see the condition ConfigValid."
    if not is_fresh(seen, memory):
        return "False", listed.reason, listed.message + listed.when
    notes = " ".join((say_streams(memory), *memory.discovery.notes))
    if has_failed(seen, memory):
        notes += f" Listing them anew failed: {listed.message}{listed.when}"
    return "True", "Discovered", notes
