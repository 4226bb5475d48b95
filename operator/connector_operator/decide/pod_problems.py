"""Why a pod is not ready, from the pod and its events: the reasons that a person would look up."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum, auto

import msgspec

from connector_operator.decide.observation import Observation
from connector_operator.resources import names
from connector_operator.resources.reasons import Reason, RunnerReason
from connector_operator.resources.workload import ObservedJob, ObservedPod

LONG = timedelta(minutes=2)
"""A runner that is up but not ready for longer than this is reported; it is never replaced because of that."""
NODE_MADE_WITHIN = timedelta(minutes=15)
"""How long to wait for a node that was promised: as long as cluster-autoscaler and Karpenter wait themselves."""
_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})


class WaitsFor(Enum):
    """What has to happen before something is ready."""

    TIME = auto()
    """It may become ready by itself."""
    ADMISSION = auto()
    """Whatever holds the Job or its pod back must let it start."""
    CAPACITY = auto()
    """It starts when the cluster has created a node for it, or has made room on one."""
    PERSON = auto()
    """Somebody must fix something first; a source that is unreachable is not in this class."""


class Explanation(msgspec.Struct, frozen=True):
    """Why something is not ready yet.

    Attributes:
        when: A sentence about the next attempt, with a space before it; separate, because it changes with time.
    """

    reason: Reason | RunnerReason
    message: str
    waits_for: WaitsFor = WaitsFor.TIME
    when: str = ""


def explain_unready(job: ObservedJob, seen: Observation) -> Explanation:
    """The most informative reason; if pods and events were not read, nothing is known yet."""
    starting = Explanation(Reason.STARTING, f"Execution {job.name} is starting.")
    if job.is_suspended:
        return explain_suspended(job)
    if seen.pods is None:
        return starting
    mine = [p for p in seen.pods if p.job == job.name]
    about = {job.name, *(p.name for p in mine)}
    said = next((message for subject, message in reversed(seen.warnings) if subject in about), "")
    if mine:
        return (
            _explain_unscheduled(mine[-1], seen)
            or _explain_start(mine[-1], said)
            or _explain_sidecars(mine[-1])
            or _explain_time(job, mine[-1], seen.now)
            or starting
        )
    if job.active and not said:
        message = (
            f"{starting.message} Its pod is not found: if that stays, something takes the label {names.LABEL_CONNECTOR} away "
            "from pods (a mutating policy or webhook)."
        )
        return Explanation(Reason.STARTING, message)
    refused = Explanation(Reason.POD_REFUSED, f"No pod could be created for {job.name}: {said}", WaitsFor.PERSON)
    return refused if said else starting


def _explain_unscheduled(pod: ObservedPod, seen: Observation) -> Explanation | None:
    """Why the pod has no node; if a node is being created for it, it waits for that."""
    if pod.gates:
        return _explain_gates(pod, seen.namespace)
    if not pod.unschedulable:
        return _explain_unnoticed(pod, seen.now)
    message = f"No node accepts the pod: {pod.unschedulable}"
    if pod.nominated:
        message += f" Room is being made for it on node {pod.nominated}."
        return Explanation(Reason.UNSCHEDULABLE, message, WaitsFor.CAPACITY)
    signs = [sign for sign in seen.node_signs if sign.pod == pod.name]
    refused = [sign.last for sign in signs if not sign.is_coming]
    promised = [sign for sign in signs if sign.is_coming and (not refused or sign.last > max(refused))]
    since = max([min(sign.first for sign in promised), *refused]) if promised else None
    if signs:
        message += f" Of a node for it is said: {signs[-1].message}"
    if since is not None and seen.now - since > NODE_MADE_WITHIN:
        message += f" It has not come within {NODE_MADE_WITHIN // timedelta(minutes=1)} minutes."
        return Explanation(Reason.UNSCHEDULABLE, message, WaitsFor.PERSON)
    is_fresh = seen.now - (pod.created or seen.now) < seen.policy.unschedulable_after
    waits_for = WaitsFor.CAPACITY if since is not None or is_fresh else WaitsFor.PERSON
    return Explanation(Reason.UNSCHEDULABLE, message, waits_for)


def _explain_unnoticed(pod: ObservedPod, now: datetime) -> Explanation | None:
    """A pod that nobody has begun with: no scheduler has said anything about it, or the node that it was given has not."""
    if pod.phase != "Pending" or pod.accepted is not None or now - (pod.created or now) <= LONG:
        return None
    if pod.node:
        message = f"Node {pod.node} has not begun with pod {pod.name}: see kubectl describe node {pod.node}."
        return Explanation(Reason.POD_NOT_STARTED, message)
    message = (
        f"No scheduler has said anything about pod {pod.name}: is one named {pod.scheduler or 'default-scheduler'!r} running? "
        "The name comes from spec.runner.schedulerName, the installation's defaults, or a policy."
    )
    return Explanation(Reason.UNSCHEDULABLE, message, WaitsFor.PERSON)


def _explain_gates(pod: ObservedPod, namespace: str) -> Explanation:
    """A pod that is held back from the scheduler, as some queues do; we don't know by what."""
    patch = """[{"op":"remove","path":"/spec/schedulingGates"}]"""
    message = (
        f"Pod {pod.name} is held back from the scheduler by {', '.join(pod.gates)}: whatever put that there (a queue, a "
        "policy) has not let it start. It starts when that happens; to let it start by hand: "
        f"kubectl patch pod {pod.name} -n {namespace} --type=json -p '{patch}'."
    )
    return Explanation(Reason.AWAITING_ADMISSION, message, WaitsFor.ADMISSION)


def _explain_start(pod: ObservedPod, said: str) -> Explanation | None:
    """Why the pod's container does not start; `said`: the latest warning about it."""
    if pod.container_reason in _IMAGE_REASONS:
        message = f"The runner's image could not be pulled: {pod.waiting}"
        return Explanation(Reason.IMAGE_NOT_PULLED, message, WaitsFor.PERSON)
    if said and pod.phase == "Pending":
        is_secret = "secret" in said and "not found" in said
        reason = Reason.SECRET_NOT_FOUND if is_secret else Reason.POD_NOT_STARTED
        return Explanation(reason, f"The pod can't start: {said}", WaitsFor.PERSON)
    if pod.container_reason == "CreateContainerConfigError":
        return Explanation(Reason.POD_NOT_STARTED, f"The container can't start: {pod.waiting}", WaitsFor.PERSON)
    return None


def _explain_sidecars(pod: ObservedPod) -> Explanation | None:
    if not pod.is_up:
        return None
    if pod.ended_others:
        ended = ", ".join(pod.ended_others)
        message = f"The runner works, but its pod does not count as ready: these other containers have ended: {ended}."
        return Explanation(Reason.SIDECAR_ENDED, message, WaitsFor.PERSON)
    if pod.others:
        message = f"The runner works, but the pod's other containers are not all ready: {', '.join(pod.others)}."
        return Explanation(Reason.SIDECAR_NOT_READY, message)
    return None


def _explain_time(job: ObservedJob, pod: ObservedPod, now: datetime) -> Explanation | None:
    if pod.phase != "Running" or pod.started is None:
        return None
    if now - max(pod.started, pod.unready_since or pod.started) <= LONG:
        return None
    message = f"The runner is up but not ready: it has no connection yet; see kubectl logs job/{job.name}."
    return Explanation(Reason.RUNNER_NOT_READY, message)


def explain_suspended(job: ObservedJob) -> Explanation:
    """A Job that something holds back: it may start by itself, and we don't know what holds it."""
    message = (
        f"Job {job.name} is suspended, or scaled to nothing: whatever admits Jobs here (a queue, a policy, a person) has not "
        "let it start. It starts when that happens; to let it start by hand: "
        f"""kubectl patch job {job.name} --type=merge -p '{{"spec":{{"suspend":false,"parallelism":1}}}}'."""
    )
    return Explanation(Reason.AWAITING_ADMISSION, message, WaitsFor.ADMISSION)
