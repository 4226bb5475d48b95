"""How an execution or a discovery ended, from its Job and its pod."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from connector_operator.resources.names import LARGEST_COUNT
from connector_operator.resources.reasons import Reason, RunnerReason
from connector_operator.resources.workload import ObservedJob, ObservedPod
from connector_runner.schemas.kinds.connector_status import Held
from connector_runner.schemas.outcome import ExitCode, Termination, parse_termination

COMPLETED, REFUSED, CRASHED, DISRUPTED, FENCED = "completed", "refused", "crashed", "disrupted", "fenced"

_LONGEST_MESSAGE = 1024
_DEADLINE_EXCEEDED = "DeadlineExceeded"
_EXIT_CODE = re.compile(r"exit code (\d+)")


class Ending(msgspec.Struct, frozen=True):
    """How one execution or discovery ended.

    Attributes:
        outcome: completed, refused, crashed, disrupted or fenced.
        exit_code: None when it is not known.
        is_of_stream: It failed because of the selected stream alone: with another stream it might succeed.
        held: Which run held the dataset when it was refused there; otherwise empty.
    """

    outcome: str
    reason: Reason | RunnerReason
    message: str
    exit_code: int | None = None
    held: Held = Held()
    is_of_stream: bool = False


_END_OF_STREAM = Ending(COMPLETED, Reason.COMPLETED, "The stream has come to its end.", 0)


def read_ending(job: ObservedJob, pods: Sequence[ObservedPod]) -> Ending:
    """How a Job ended: from its pod if there is one, otherwise from its own condition (podFailurePolicy says why)."""
    if job.finished:
        return _END_OF_STREAM
    pod = next((p for p in pods if p.job == job.name and p.exit_code is not None), None)
    if _DEADLINE_EXCEEDED in {job.reason, *(p.reason for p in pods if p.job == job.name)}:
        return Ending(CRASHED, Reason.DEADLINE_EXCEEDED, "It did not end in time.")
    return _read_without_pod(job) if pod is None else _read_pod(pod)


def _read_pod(pod: ObservedPod) -> Ending:
    if pod.exit_code == ExitCode.END_OF_STREAM:  # while other containers still run
        return _END_OF_STREAM
    said = parse_termination(pod.message)
    message = said.message[:_LONGEST_MESSAGE] or f"The runner ended with exit code {pod.exit_code}."
    if pod.exit_code == ExitCode.ACTION_REQUIRED:
        return _read_refusal(said, message)
    if pod.disruption or pod.exit_code == ExitCode.TERMINATED:
        why = pod.disruption or "its pod was deleted"
        return Ending(DISRUPTED, Reason.DISRUPTED, f"The runner was stopped: {why}.", pod.exit_code)
    if pod.container_reason == "OOMKilled":
        message = "The runner needed more memory than spec.runner.resources allows."
        return Ending(CRASHED, Reason.OOM_KILLED, message, pod.exit_code)
    return Ending(CRASHED, RunnerReason(said.reason), message, pod.exit_code, is_of_stream=said.is_of_stream)


def _read_refusal(said: Termination, message: str) -> Ending:
    if said.is_taken_over:
        return Ending(FENCED, RunnerReason(said.reason), message, ExitCode.ACTION_REQUIRED)
    is_sane = 0 < said.held_by_run <= LARGEST_COUNT
    held = Held(said.held_by_run, said.held_mark) if is_sane else Held()
    return Ending(
        REFUSED, RunnerReason(said.reason), message, ExitCode.ACTION_REQUIRED, held, is_of_stream=said.is_of_stream
    )


def exit_code_of(job: ObservedJob) -> int | None:
    """The exit code in a failed Job's condition: the failure policy has a rule for every code."""
    found = _EXIT_CODE.search(job.message) if job.reason == "PodFailurePolicy" else None
    return int(found.group(1)) if found else None


def _read_without_pod(job: ObservedJob) -> Ending:
    code = exit_code_of(job)
    if code == ExitCode.ACTION_REQUIRED:
        return Ending(REFUSED, Reason.ACTION_REQUIRED, job.message, code)
    if code is not None and code != ExitCode.TERMINATED:
        return Ending(CRASHED, Reason.CRASHED, job.message, code)
    if job.reason == "PodFailurePolicy":
        return Ending(DISRUPTED, Reason.DISRUPTED, job.message, code)
    return Ending(DISRUPTED, Reason.POD_LOST, "The execution's pod was removed before anybody could see how it ended.")


def read_live_ending(job: ObservedJob, pods: Sequence[ObservedPod], outlived_code: int | None) -> Ending:
    """How an execution ended whose Job is still live.

    Its runner has ended while other containers still run, or somebody changed the Job so that it can't continue as one
    execution.
    """
    if outlived_code is not None:
        return read_ending(job, pods)
    if job.is_altered:
        message = (
            "Somebody changed the Job's completions or parallelism, so that it may create more than one pod; an admission "
            "policy or controller that does this must not change the operator's Jobs."
        )
        return Ending(CRASHED, Reason.JOB_ALTERED, message)
    message = (
        "Somebody suspended the Job, or scaled it to nothing, after it had run; it could only continue in a second pod."
    )
    return Ending(DISRUPTED, Reason.JOB_SUSPENDED, message)
