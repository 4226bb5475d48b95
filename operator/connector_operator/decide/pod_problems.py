"""Why a pod is not ready, told from the pod and from what events say of it: the reasons that a person would look up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from connector_operator.decide.observation import Told
from connector_operator.resources.workload import ObservedJob, ObservedPod

LONG = timedelta(minutes=2)
"""A runner that is up but has not been ready for longer is told of; it is never replaced for that."""
_FIRST_LOOK, _LAST_LOOK = timedelta(seconds=5), timedelta(seconds=60)


class Explanation(msgspec.Struct, frozen=True):
    """Why something is not ready yet.

    Attributes:
        is_trouble: It won't get ready unless somebody acts.
        when: A sentence about when it is tried again, with a space before it; apart, as it changes with the clock.
    """

    reason: str
    message: str
    is_trouble: bool = False
    when: str = ""


def explain_unready(
    job: ObservedJob, pods: Sequence[ObservedPod] | None, told: Sequence[Told], now: datetime
) -> Explanation:
    """The most telling reason; `pods` None and no events: nothing is known yet."""
    starting = Explanation("Starting", f"Execution {job.name} is starting.")
    if job.is_suspended:
        return explain_suspended(job)
    if pods is None:
        return starting
    mine = [p for p in pods if p.job == job.name]
    about = {job.name, *(p.name for p in mine)}
    said = next((message for subject, message in reversed(told) if subject in about), "")
    if not mine:
        return (
            Explanation("PodRefused", f"No pod could be made for {job.name}: {said}", is_trouble=True)
            if said
            else starting
        )
    pod = mine[-1]
    if pod.unschedulable:
        return Explanation("Unschedulable", f"No node takes the pod: {pod.unschedulable}", is_trouble=True)
    if pod.container_reason in {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}:
        return Explanation("ImageNotPulled", f"The runner's image could not be pulled: {pod.waiting}", is_trouble=True)
    if said and pod.phase == "Pending":
        reason = "SecretNotFound" if "secret" in said and "not found" in said else "PodNotStarted"
        return Explanation(reason, f"The pod can't start: {said}", is_trouble=True)
    if pod.container_reason == "CreateContainerConfigError":
        return Explanation("PodNotStarted", f"The container can't start: {pod.waiting}", is_trouble=True)
    if pod.is_up and pod.ended_others:
        ended = ", ".join(pod.ended_others)
        message = (
            f"The runner works, but its pod does not count as ready: of the containers beside it has ended {ended}."
        )
        return Explanation("SidecarEnded", message, is_trouble=True)
    if pod.is_up and pod.others:
        message = f"The runner works, but the pod's other containers are not all ready: {', '.join(pod.others)}."
        return Explanation("SidecarNotReady", message)
    if (
        pod.phase == "Running"
        and pod.started is not None
        and now - max(pod.started, pod.unready_since or pod.started) > LONG
    ):
        message = f"The runner is up but not ready: it has no connection yet; see kubectl logs job/{job.name}."
        return Explanation("RunnerNotReady", message, is_trouble=True)
    return starting


def explain_suspended(job: ObservedJob) -> Explanation:
    """A Job that somebody holds back: it may come by itself, and who holds it is not known to us."""
    message = (
        f"Job {job.name} is suspended, or scaled to nothing: whatever admits Jobs here (a queue, a policy, a person) has not "
        "let it start. It starts when that happens; to let it start by hand: "
        f"""kubectl patch job {job.name} --type=merge -p '{{"spec":{{"suspend":false,"parallelism":1}}}}'."""
    )
    return Explanation("AwaitingAdmission", message)


def next_look(created: datetime | None, now: datetime) -> datetime:
    """When to look at a pod that is not ready: after five seconds, then ever less often."""
    age = max(now - (created or now), timedelta(0))
    return now + min(max(age / 2, _FIRST_LOOK), _LAST_LOOK)


def is_look_due(job: ObservedJob, now: datetime, after: timedelta) -> bool:
    """Whether a Job has been without a ready pod for long enough to look at its pods."""
    return job.created is not None and now - job.created >= after
