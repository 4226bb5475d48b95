"""What an observation says, computed once and passed on: Jobs by role and phase, pods, problems, hashes, deadlines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from connector_operator.decide.observation import Observation, Policy
from connector_operator.decide.provenance import with_provenance
from connector_operator.resources import names
from connector_operator.resources.connector import config_hash, form_hash, selection_hash, spec_hash, take_over_hash
from connector_operator.resources.runner_rules import restricted_problems
from connector_operator.resources.times import parse_time
from connector_operator.resources.workload import ObservedJob, ObservedPod
from connector_runner.schemas.kinds.conditions import Condition
from connector_runner.schemas.kinds.connector import ConnectorSpec
from connector_runner.schemas.outcome import ExitCode


class Hashes(msgspec.Struct, frozen=True, kw_only=True):
    """Hashes of what is requested now; all "" where the spec can't be read.

    Attributes:
        config: Of what the streams depend on.
        spec: Of what an execution is made from, except for the Dataset.
        selection: Of `spec.streams`; "" without.
        form: Of how a pod is configured.
        listing: Of what failed attempts to list the streams are counted for: what is listed, and by what pod.
        take_over: Of whom the table may be taken over from; "" for nobody.
    """

    config: str = ""
    spec: str = ""
    selection: str = ""
    form: str = ""
    listing: str = ""
    take_over: str = ""


class JobFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One of this connector's own Jobs.

    Attributes:
        is_live: It has not ended and is not being deleted.
        is_over: It has ended, or counts as lost with its node because its deadline passed long ago.
        overdue_at: When it counts as lost with its node; None: never.
        outlived_code: The exit code of its container, which has ended while other containers of the pod still run.
        has_other_image: It was not made from the runner's present image.
        has_other_defaults: It is known that the installation's defaults were others when it was made.
        has_outdated_form: Its pod is configured differently from one that is made now, and has never started.
        is_asked_for: Of a discovery: it lists what the spec asks for now.
        has_listed: Of a discovery: it has succeeded, so its log holds the list.
    """

    job: ObservedJob
    is_live: bool
    is_over: bool
    overdue_at: datetime | None
    outlived_code: int | None
    has_other_image: bool
    has_other_defaults: bool
    has_outdated_form: bool
    is_asked_for: bool
    has_listed: bool


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """One observation, and what follows from it alone.

    Attributes:
        seen: The observation; what its Jobs were made from is taken from the status.
        problems: Everything wrong with the spec, this installation's own rules included.
        conditions: As stored, by type.
        unready_since: Since when the stored condition Ready is False; None when it is not False.
        executions, discoveries: The Jobs of this very connector, by run.
        live: The executions that have not ended and are not being deleted.
        unrecorded: The newest finished execution that the stored status does not report yet.
        unread: The newest discovery that has ended and is not recorded yet.
        alive_pods: Runner pods with this connector's name whose process may still run, an earlier namesake's included.
        lost_pods: Names of those that should have been gone long ago: the grace period and `node_lost_after` are over.
    """

    seen: Observation
    problems: tuple[str, ...]
    hashes: Hashes
    conditions: Mapping[str, Condition]
    unready_since: datetime | None
    executions: tuple[JobFacts, ...]
    discoveries: tuple[JobFacts, ...]
    live: tuple[JobFacts, ...]
    unrecorded: ObservedJob | None
    unread: JobFacts | None
    alive_pods: tuple[ObservedPod, ...]
    lost_pods: frozenset[str]


def gather_facts(seen: Observation) -> Facts:
    """Computes the facts; no question is answered twice from the same observation."""
    seen = msgspec.structs.replace(seen, jobs=with_provenance(seen.jobs, seen.uid, seen.status))
    hashes = _hash(seen)
    executions = _job_facts(seen, hashes, names.ROLE_RUNNER)
    discoveries = _job_facts(seen, hashes, names.ROLE_DISCOVERY)
    alive = tuple(p for p in seen.pods or () if p.role == names.ROLE_RUNNER and p.is_alive)
    conditions = {condition.type: condition for condition in reversed(seen.status.conditions)}
    ready = conditions.get("Ready")
    return Facts(
        seen=seen,
        problems=_problems(seen),
        hashes=hashes,
        conditions=conditions,
        unready_since=parse_time(ready.last_transition_time) if ready is not None and ready.status == "False" else None,
        executions=executions,
        discoveries=discoveries,
        live=tuple(e for e in executions if e.is_live),
        unrecorded=_unrecorded(seen, executions),
        unread=_unread(seen, discoveries),
        alive_pods=alive,
        lost_pods=frozenset(p.name for p in alive if _is_lost(p, seen)),
    )


def _hash(seen: Observation) -> Hashes:
    take_over = take_over_hash(seen.take_over)
    if seen.spec is None:
        return Hashes(take_over=take_over)
    config, form = config_hash(seen.spec), form_hash(seen.spec, seen.policy.installation)
    listing = names.hash_value([config, seen.spec.rediscover_at, form])
    selection = selection_hash(seen.spec)
    return Hashes(
        config=config, spec=spec_hash(seen.spec), selection=selection, form=form, listing=listing, take_over=take_over
    )


def own_jobs(jobs: Iterable[ObservedJob], uid: str, role: str) -> list[ObservedJob]:
    """The Jobs of a role that one Connector controls, by run."""
    return sorted((j for j in jobs if j.owner == uid and j.role == role), key=lambda j: j.run)


def is_live(job: ObservedJob) -> bool:
    """Whether a Job has not ended and is not being deleted."""
    return job.finished is None and job.deleting is None


def _job_facts(seen: Observation, hashes: Hashes, role: str) -> tuple[JobFacts, ...]:
    return tuple(_one_job(seen, hashes, job) for job in own_jobs(seen.jobs, seen.uid, role))


def _one_job(seen: Observation, hashes: Hashes, job: ObservedJob) -> JobFacts:
    outlived = next((p.exit_code for p in seen.pods or () if p.job == job.name and p.is_outlived), None)
    return JobFacts(
        job=job,
        is_live=is_live(job),
        is_over=not is_underway(job, seen.now, seen.policy, seen.pods),
        overdue_at=overdue_at(job, seen.policy, seen.pods),
        outlived_code=outlived,
        has_other_image=_has_other_image(seen, hashes, job),
        has_other_defaults=bool(job.defaults) and job.defaults != seen.policy.defaults,
        has_outdated_form=_has_outdated_form(seen, hashes, job),
        is_asked_for=_is_asked_for(seen.spec, hashes, job),
        has_listed=bool(job.finished) or outlived == ExitCode.END_OF_STREAM,
    )


Pods = tuple[ObservedPod, ...]


def overdue_at(job: ObservedJob, policy: Policy, pods: Pods | None = None) -> datetime | None:
    """When a discovery that has not ended counts as lost with its node: Kubernetes can't say then how it ended.

    None: not as far as is known. One whose pod is held back waits for as long as that takes, and one whose container has not
    started may be ended late: a kubelet that waits for a volume notices the deadline only two minutes later.
    """
    if job.is_suspended and job.deleting is None:
        return None
    due = job.deleting or min(_deadlines(job, pods or ()), default=None)
    return None if due is None else due + policy.grace + policy.node_lost_after


def _deadlines(job: ObservedJob, pods: Pods) -> list[datetime]:
    begun = job.started or job.created
    found = [begun + job.deadline] if begun is not None and job.deadline is not None else []
    for pod in (p for p in pods if p.job == job.name and p.is_alive and job.pod_deadline is not None):
        if pod.deleting is not None:  # whoever looks after nodes has given this one up
            found.append(pod.deleting)
        elif pod.started is not None and job.pod_deadline is not None:
            found.append(pod.started + job.pod_deadline)
    return found


def is_underway(job: ObservedJob, now: datetime, policy: Policy, pods: Pods | None = None) -> bool:
    """Whether a discovery still runs or is being deleted."""
    limit = overdue_at(job, policy, pods)
    return job.finished is None and (limit is None or now <= limit)


def is_held_back(job: ObservedJob, seen: Observation) -> bool:
    """Whether a discovery is known to ask no source yet: it is suspended, or no node has accepted a pod of it."""
    if job.deleting is not None:
        return False
    if job.is_suspended:
        return True
    if seen.pods is None or job.ready or job.created is None or seen.now - job.created < seen.policy.look_after:
        return False
    return all(p.accepted is None and p.exit_code is None for p in seen.pods if p.job == job.name)


def _has_outdated_form(seen: Observation, hashes: Hashes, job: ObservedJob) -> bool:
    """Whether a pod is outdated and has not started. One that has started stays: new settings restart nothing."""
    if seen.spec is None or seen.pods is None or job.ready or job.is_suspended:
        return False
    pods = [p for p in seen.pods if p.job == job.name]
    has_started = any(p.started is not None or p.exit_code is not None for p in pods)
    return not has_started and job.form != hashes.form


def _has_other_image(seen: Observation, hashes: Hashes, job: ObservedJob) -> bool:
    """An equal form has an equal image, whatever admission wrote into the Job's template."""
    image = seen.policy.image
    return bool(image and job.image) and job.image != image and job.form != hashes.form


def _is_asked_for(spec: ConnectorSpec | None, hashes: Hashes, job: ObservedJob) -> bool:
    return spec is not None and job.config_hash == hashes.config and job.rediscover_at == spec.rediscover_at


def _unrecorded(seen: Observation, executions: tuple[JobFacts, ...]) -> ObservedJob | None:
    last = seen.status.last_execution
    ended = [e.job for e in executions if e.job.finished is not None and e.job.deleting is None]
    # The stop of a run may have been recorded, and then not carried out because the request changed.
    new = [j for j in ended if j.run > last.run or (j.run == last.run and not last.finished_at)]
    return new[-1] if new else None


def _unread(seen: Observation, discoveries: tuple[JobFacts, ...]) -> JobFacts | None:
    new = [d for d in discoveries if d.job.deleting is None and d.job.run > seen.status.discovery.attempts]
    ended = [d for d in new if d.is_over or d.outlived_code is not None]
    return ended[-1] if ended else None


def _is_lost(pod: ObservedPod, seen: Observation) -> bool:
    return pod.deleting is not None and seen.now > pod.deleting + seen.policy.node_lost_after


def _problems(seen: Observation) -> tuple[str, ...]:
    if seen.spec is None:
        return seen.problems
    problems = [*seen.problems]
    account, allowed = seen.spec.runner.service_account_name, seen.policy.service_accounts
    if account and account not in allowed and "*" not in allowed:
        choice = f"allowed are {', '.join(allowed)}" if allowed else "this installation allows none to be named"
        problems.append(f"spec.runner.serviceAccountName: {account!r} may not be used; {choice}")
    runner = seen.spec.runner.raw()
    return (*problems, *restricted_problems(runner, seen.policy.allowances, "spec.runner"))
