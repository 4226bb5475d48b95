"""A Job that lives on though its execution is over: how that ended."""

from __future__ import annotations

from connector_operator.decide import endings
from connector_operator.decide.absorb import outlived_code
from connector_operator.decide.observation import Observation
from connector_operator.resources.workload import ObservedJob


def judge_spent(seen: Observation, job: ObservedJob) -> endings.Ending:
    """Its runner has ended beside other containers, or somebody changed the Job so that it can't go on as one execution."""
    if outlived_code(seen, job) is not None:
        return endings.judge(job, seen.pods or ())
    if job.is_altered:
        message = (
            "Somebody changed the Job's completions or parallelism, so that it may make more than one pod; an admission "
            "policy or a controller that does so must leave the operator's Jobs alone."
        )
        return endings.Ending(endings.CRASHED, "JobAltered", message)
    message = (
        "Somebody suspended the Job, or scaled it to nothing, after it had run; it could only go on in a second pod."
    )
    return endings.Ending(endings.DISRUPTED, "JobSuspended", message)
