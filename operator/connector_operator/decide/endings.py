"""How an execution or a discovery ended, and when the next may start: judged from its Job and its pod."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from connector_operator.decide.observation import Policy
from connector_operator.resources.connector import Held, Retry
from connector_operator.resources.names import LARGEST_COUNT
from connector_operator.resources.times import format_time, parse_time
from connector_operator.resources.workload import ObservedJob, ObservedPod
from connector_runner.schemas.outcome import ExitCode, parse_termination

COMPLETED, REFUSED, CRASHED, DISRUPTED, FENCED = "completed", "refused", "crashed", "disrupted", "fenced"

CRASH_DELAY = (timedelta(seconds=1), timedelta(minutes=5))
REFUSED_DELAY = (timedelta(seconds=30), timedelta(minutes=10))
DISCOVERY_DELAY = (timedelta(seconds=2), timedelta(minutes=5))
STILL = timedelta(minutes=1)
"""A dataset that another run of the connector holds is taken over only when its checkpoint has not moved for so long (a
runner with nothing to write moves it every two seconds)."""
FAILING_FROM = 5
"""From this many failures in a row on a connector is errored."""
SHORTEST_CALM = timedelta(minutes=1)
"""A run that is disrupted sooner, and not for the first time, counts as a crash: else a node that evicts everything, or
somebody who deletes or suspends each Job, would make the operator spin."""
_LONGEST_MESSAGE = 1024
_EXIT_CODE = re.compile(r"exit code (\d+)")


class Ending(msgspec.Struct, frozen=True):
    """How one execution or discovery ended.

    Attributes:
        outcome: completed, refused, crashed, disrupted or fenced.
        exit_code: None when nobody saw it.
        held: What held the dataset when it was refused there; none when it was not.
    """

    outcome: str
    reason: str
    message: str
    exit_code: int | None = None
    held: Held = Held()


def judge(job: ObservedJob, pods: Sequence[ObservedPod]) -> Ending:
    """Judges a finished Job: by its pod where there is one, else by its own condition (podFailurePolicy says why)."""
    if job.finished:
        return Ending(COMPLETED, "Completed", "The stream has come to its end.", 0)
    pod = next((p for p in pods if p.job == job.name and p.exit_code is not None), None)
    if job.reason == "DeadlineExceeded":
        return Ending(CRASHED, "DeadlineExceeded", "It did not end in time.")
    if pod is None:
        return _judge_without_pod(job)
    if pod.exit_code == ExitCode.END_OF_STREAM:  # beside containers that go on
        return Ending(COMPLETED, "Completed", "The stream has come to its end.", 0)
    said = parse_termination(pod.message)
    message = said.message[:_LONGEST_MESSAGE] or f"The runner ended with exit code {pod.exit_code}."
    if pod.exit_code == ExitCode.ACTION_REQUIRED:
        if said.is_taken_over:
            return Ending(FENCED, said.reason, message, pod.exit_code)
        is_sane = 0 < said.held_by_run <= LARGEST_COUNT
        held = Held(said.held_by_run, said.held_mark) if is_sane else Held()
        return Ending(REFUSED, said.reason, message, pod.exit_code, held)
    if pod.disruption or pod.exit_code == ExitCode.TERMINATED:
        why = pod.disruption or "its pod was deleted"
        return Ending(DISRUPTED, "Disrupted", f"The runner was told to leave: {why}.", pod.exit_code)
    if pod.container_reason == "OOMKilled":
        message = "The runner needed more memory than spec.runner.resources allows."
        return Ending(CRASHED, "OOMKilled", message, pod.exit_code)
    return Ending(CRASHED, said.reason, message, pod.exit_code)


def exit_code_of(job: ObservedJob) -> int | None:
    """The exit code in a failed Job's condition: its failure policy names every one."""
    found = _EXIT_CODE.search(job.message) if job.reason == "PodFailurePolicy" else None
    return int(found.group(1)) if found else None


def _judge_without_pod(job: ObservedJob) -> Ending:
    code = exit_code_of(job)
    if code == ExitCode.ACTION_REQUIRED:
        return Ending(REFUSED, "ActionRequired", job.message, code)
    if code is not None and code != ExitCode.TERMINATED:
        return Ending(CRASHED, "Crashed", job.message, code)
    if job.reason == "PodFailurePolicy":
        return Ending(DISRUPTED, "Disrupted", job.message, code)
    return Ending(DISRUPTED, "PodLost", "The execution's pod was removed before anybody could see how it ended.")


def delay_after(failures: int, limits: tuple[timedelta, timedelta], seed: str) -> timedelta:
    """Doubles from the first limit to the second; a tenth more or less, the same for the same seed, spreads the herd."""
    first, longest = limits
    spread = 0.9 + 0.2 * hashlib.sha256(seed.encode()).digest()[0] / 255
    exact = min(longest, first * (1 << min(max(failures - 1, 0), 20))) * spread
    return timedelta(seconds=math.ceil(exact.total_seconds()))  # as whole as the times in a status


def next_retry(before: Retry, job: ObservedJob, ending: Ending, ended: datetime, policy: Policy) -> Retry:
    """What is remembered after an execution ended: the row of failures goes on only for the same orders and unstable runs."""
    same = before.spec_hash == job.spec_hash and before.dataset_hash == job.dataset_hash
    duration = ended - (job.started or ended)
    failures = before.failures if same and duration < policy.stable_after else 0
    outcome = ending.outcome
    if outcome == DISRUPTED and duration < SHORTEST_CALM and before.outcome in {DISRUPTED, CRASHED}:
        outcome = CRASHED
    wait = timedelta(0)
    if outcome in {CRASHED, REFUSED, FENCED}:
        failures += 1
        if outcome == REFUSED:
            wait = delay_after(failures, REFUSED_DELAY, job.uid)
            wait = max(wait, STILL) if ending.held.mark else wait
        elif duration < policy.stable_after:
            wait = delay_after(failures, CRASH_DELAY, job.uid)
    since = before.since if failures > 1 and before.since else format_time(ended) if failures else ""
    return Retry(outcome, failures, since, format_time(ended + wait), job.spec_hash, job.dataset_hash)


def is_due(at: str, now: datetime) -> bool:
    """Whether a remembered time has come; an unreadable one has."""
    moment = parse_time(at)
    return moment is None or moment <= now
