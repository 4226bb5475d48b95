"""What an observation says, before anything is decided: the Jobs by role and phase, the problems of the spec."""

from __future__ import annotations

from datetime import datetime

from connector_operator.decide.observation import Observation, Policy
from connector_operator.resources import names
from connector_operator.resources.connector import config_hash, form_hash
from connector_operator.resources.runner_rules import restricted_problems
from connector_operator.resources.workload import ObservedJob
from connector_runner.schemas.outcome import ExitCode


def own_jobs(seen: Observation, role: str) -> list[ObservedJob]:
    """This very connector's Jobs of a role, by run."""
    return sorted((j for j in seen.jobs if j.owner == seen.uid and j.role == role), key=lambda j: j.run)


def unrecorded(seen: Observation) -> ObservedJob | None:
    """The newest finished execution that the status doesn't tell of yet."""
    last = seen.status.last_execution
    ended = [j for j in own_jobs(seen, names.ROLE_RUNNER) if j.finished is not None and j.deleting is None]
    # The stop of a run may have been noted, and then not been carried out because the request changed.
    untold = [j for j in ended if j.run > last.run or (j.run == last.run and not last.finished_at)]
    return untold[-1] if untold else None


def has_outstayed(job: ObservedJob, now: datetime) -> bool:
    """Whether a deleted Job's pod was there until its grace was over, when the kubelet kills."""
    return job.deleting is not None and job.grace is not None and now >= job.deleting + job.grace


def overdue_at(job: ObservedJob, policy: Policy) -> datetime | None:
    """When a discovery that still goes on counts as lost with its node: Kubernetes can't say then how it ended."""
    if job.is_suspended and job.deleting is None:
        return None
    begun = job.started or job.created
    due = begun + job.deadline if begun is not None and job.deadline is not None else None
    due = job.deleting or due
    return None if due is None else due + policy.grace + policy.node_lost_after


def is_underway(job: ObservedJob, now: datetime, policy: Policy) -> bool:
    """Whether a discovery goes on, or is on its way out."""
    limit = overdue_at(job, policy)
    return job.finished is None and (limit is None or now <= limit)


def is_over(job: ObservedJob, now: datetime, policy: Policy) -> bool:
    """Whether a discovery has ended, be it with its node."""
    return not is_underway(job, now, policy)


def outlived_code(seen: Observation, job: ObservedJob) -> int | None:
    """The exit code of a Job's container that has ended beside containers that go on; None when it has not."""
    return next((p.exit_code for p in seen.pods or () if p.job == job.name and p.is_outlived), None)


def undone_discovery(seen: Observation) -> ObservedJob | None:
    """The discovery Job that has ended (or whose container has, beside others) and is not recorded yet."""
    jobs = own_jobs(seen, names.ROLE_DISCOVERY)
    new = [j for j in jobs if j.deleting is None and j.run > seen.status.discovery.attempts]
    ended = [j for j in new if is_over(j, seen.now, seen.policy) or outlived_code(seen, j) is not None]
    return ended[-1] if ended else None


def has_outdated_form(seen: Observation, job: ObservedJob) -> bool:
    """Whether a Job's pod was to be otherwise than one that is made now, and has never started.

    What has started goes on: a setting of the installation is no reason to restart what runs.
    """
    if seen.spec is None or seen.pods is None or job.ready or job.is_suspended:
        return False
    pods = [p for p in seen.pods if p.job == job.name]
    has_started = any(p.started is not None or p.exit_code is not None for p in pods)
    return not has_started and job.form != form_hash(seen.spec, seen.policy.installation)


def has_listed(seen: Observation, job: ObservedJob) -> bool:
    """Whether a discovery has ended well, so that its log holds the list."""
    return bool(job.finished) or outlived_code(seen, job) == ExitCode.END_OF_STREAM


def is_asked_for(seen: Observation, job: ObservedJob) -> bool:
    """Whether a discovery Job lists what the spec now asks for."""
    spec = seen.spec
    return spec is not None and job.config_hash == config_hash(spec) and job.rediscover_at == spec.rediscover_at


def discovery_subject(seen: Observation) -> str:
    """What a row of failed attempts belongs to: what is listed, and how the pod that lists it is to be."""
    if seen.spec is None:
        return ""
    return names.hash_value(
        [config_hash(seen.spec), seen.spec.rediscover_at, form_hash(seen.spec, seen.policy.installation)]
    )


def problems_of(seen: Observation) -> tuple[str, ...]:
    """Everything wrong with the spec, this installation's own rules included."""
    if seen.spec is None:
        return seen.problems
    problems = [*seen.problems]
    account, allowed = seen.spec.runner.service_account_name, seen.policy.service_accounts
    if account and account not in allowed and "*" not in allowed:
        choice = f"allowed are {', '.join(allowed)}" if allowed else "this installation allows none to be named"
        problems.append(f"spec.runner.serviceAccountName: {account!r} may not be used; {choice}")
    runner = seen.spec.runner.raw()
    return (*problems, *restricted_problems(runner, seen.policy.allowances, "spec.runner"))
