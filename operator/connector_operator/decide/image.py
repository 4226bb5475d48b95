"""How an execution stands to the runner's image: whether it must follow a changed one now, and whether it has done so.

What is remembered (`status.update`) is only about executions that worked and were replaced for the image: if such a one
does not work again, the image may be the cause, and the roll-out stops. A connector that was failing before delays nobody.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from connector_operator.decide import termination
from connector_operator.decide.case import Case
from connector_operator.decide.facts import Facts, JobFacts
from connector_operator.decide.inputs import CARRYING, Execution, Gate, Request
from connector_operator.decide.orders import find_what_holds_image
from connector_operator.decide.outputs import Action
from connector_operator.resources.reasons import Reason
from connector_operator.resources.times import format_time, parse_time
from connector_runner.schemas.kinds.connector_status import ConnectorStatus, Update

PATIENCE = timedelta(minutes=10)
"""An execution with a changed image that is not ready after this time counts as failed."""
_FAILED = frozenset({termination.CRASHED, termination.REFUSED, termination.FENCED})
_DIGEST_SHOWN = len("sha256:") + 12


def execution_version(case: Case) -> str:
    """The version of the execution that exists, is being created or is ending; "" when there is none."""
    seen, live = case.facts.seen, case.facts.live
    if case.row.action is Action.START:
        return image_version(seen.policy.image)
    if live:
        return image_version(live[-1].job.image)
    return "" if case.inputs.execution is Execution.NONE else seen.status.runner_version


def image_version(image: str) -> str:
    """The tag of an image, else the beginning of its digest, else `latest`."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return tag or digest[:_DIGEST_SHOWN] or ("latest" if image else "")


def follows_image_now(facts: Facts, memory: ConnectorStatus, live: JobFacts) -> bool:
    """Whether an execution is to be replaced now because the runner's image has changed."""
    seen = facts.seen
    is_asked = live.has_other_image and seen.has_image_turn and seen.follows_image and not live.job.is_suspended
    return is_asked and not find_what_holds_image(facts, memory, live.job)


def stop_update(facts: Facts, before: Update) -> Update:
    """What to remember when an execution is stopped to be replaced.

    One that was ready counts as working; one whose last update has not proved to work is tried with the present image.
    """
    live = facts.live[-1]
    if not live.has_other_image or not (before.run or (live.job.ready and _is_only_image(facts, live))):
        return before
    return Update(facts.seen.policy.image, live.job.run + 1, format_time(facts.seen.now))


def _is_only_image(facts: Facts, live: JobFacts) -> bool:
    dataset = facts.seen.dataset.hash
    return live.job.spec_hash == facts.hashes.spec and (not dataset or live.job.dataset_hash == dataset)


def start_update(facts: Facts, before: Update, run: int) -> Update:
    """What to remember when an execution starts: whether a failed update is tried with another image."""
    image = facts.seen.policy.image
    return Update(image, run, format_time(facts.seen.now)) if before.run and before.image != image else before


def has_failed(memory: ConnectorStatus) -> bool:
    """Whether an execution of the pending update has failed."""
    return memory.last_execution.run >= memory.update.run > 0 and memory.retry.outcome in _FAILED


def has_proved(facts: Facts, memory: ConnectorStatus, execution: Execution) -> bool:
    """Whether an update has proved to work: ready for long enough, or come to the end of its stream."""
    if memory.last_execution.run >= memory.update.run and memory.retry.outcome == termination.COMPLETED:
        return True
    since = _ready_since(facts)
    return execution in CARRYING and since is not None and facts.seen.now >= since + _needed(facts, memory)


def _ready_since(facts: Facts) -> datetime | None:
    healthy = facts.conditions.get("RunnerHealthy")
    return parse_time(healthy.last_transition_time) if healthy is not None and healthy.status == "True" else None


def _needed(facts: Facts, memory: ConnectorStatus) -> timedelta:
    """An image that has failed once must run until failures are forgotten."""
    return facts.seen.policy.stable_after if has_failed(memory) else facts.seen.policy.min_ready


def settles_at(facts: Facts, memory: ConnectorStatus, execution: Execution) -> datetime | None:
    """When time alone changes what is thought of a pending update."""
    now = facts.seen.now
    if execution in CARRYING:
        return (_ready_since(facts) or now) + _needed(facts, memory)
    limit = _limit(memory)
    return limit if limit is not None and limit > now else None


def _limit(memory: ConnectorStatus) -> datetime | None:
    begun = parse_time(memory.update.at)
    return None if begun is None else begun + PATIENCE


Content = tuple[str, Reason, str]
"""Status, reason and message of a condition."""


def say_image(case: Case, *, is_stalled: bool) -> Content:
    """The content of the condition RunnerUpToDate; `is_stalled`: a person is needed before the execution gets ready."""
    facts, memory = case.facts, case.memory
    image = facts.seen.policy.image
    if case.inputs.request is not Request.RUNNING:
        return "Unknown", Reason.NO_EXECUTION, "No execution is requested."
    if memory.update.run:
        return _say_update(case, is_stalled=is_stalled)
    if case.row.action is Action.START:
        return "True", Reason.UP_TO_DATE, _say_made(image)
    if not facts.live or case.row.action is Action.STOP:
        return "Unknown", Reason.NO_EXECUTION, "The next execution is made from the present image."
    live = facts.live[-1]
    if live.has_other_image:
        return _say_other(case, live)
    message = _say_made(live.job.image)
    if live.has_other_defaults:
        message += " The installation's settings or defaults for pods have changed since; the next execution has them."
    return "True", Reason.UP_TO_DATE, message


def _say_made(image: str) -> str:
    return f"It was made from image {image}." if image else "Its image is not known."


def _say_update(case: Case, *, is_stalled: bool) -> Content:
    """Of an update that has not proved to work yet."""
    memory, seen = case.memory, case.facts.seen
    image, limit = memory.update.image, _limit(memory)
    live = case.facts.live[-1] if case.facts.live else None
    works = case.inputs.execution in CARRYING
    is_late = limit is not None and seen.now >= limit and not works
    if live is not None and live.has_other_image and (held := find_what_holds_image(case.facts, memory, live.job)):
        return "False", Reason.UPDATE_HELD, f"{_say_both(live, seen.policy.image)} {held}"
    if image != seen.policy.image:
        return "False", Reason.UPDATING, f"It is tried with image {seen.policy.image}."
    if has_failed(memory):
        last = memory.last_execution
        return "False", Reason.UPDATE_FAILED, f"It failed with image {image} ({last.reason}: {last.message})."
    if (is_stalled and not works) or is_late:
        return "False", Reason.UPDATE_FAILED, f"It does not get ready with image {image}; Ready says why."
    return "False", Reason.UPDATING, f"It is replaced by one of image {image}, which must be ready for a while."


def _say_both(live: JobFacts, image: str) -> str:
    return f"It was made from image {live.job.image}; the present one is {image}."


def _say_other(case: Case, live: JobFacts) -> Content:
    """Of an execution that was made from another image than the present one."""
    seen, inputs = case.facts.seen, case.inputs
    has = _say_both(live, seen.policy.image)
    follows = follows_image_now(case.facts, case.memory, live)
    if inputs.execution is Execution.BARRED and follows:
        refusal = seen.dry_run.refusal if seen.dry_run is not None else ""
        return "False", Reason.UPDATE_FAILED, f"{has} {refusal}".strip()
    if not seen.follows_image:
        return "False", Reason.ON_RESTART, f"{has} updatePolicy is OnRestart: it continues until it is restarted."
    is_changing = inputs.execution not in {*CARRYING, Execution.WAITING} and not follows
    if inputs.gate is not Gate.OPEN or is_changing:
        return "False", Reason.UPDATE_HELD, f"{has} Something else comes first; see the condition Ready."
    if held := find_what_holds_image(case.facts, case.memory, live.job):
        return "False", Reason.UPDATE_HELD, f"{has} {held}"
    if seen.update_blocker:
        message = f"{has} The roll-out has stopped: {seen.update_blocker} does not work with it."
        return "False", Reason.AWAITING_TURN, message
    return "False", Reason.AWAITING_TURN, f"{has} It follows when those before it are ready."
