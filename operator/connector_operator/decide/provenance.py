"""What Jobs were made from, as recorded in the status: admission may change a Job, so the Job itself is not trusted."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from connector_operator.resources import names
from connector_operator.resources.workload import ObservedJob
from connector_runner.schemas.kinds.connector_status import ConnectorStatus

replace = msgspec.structs.replace


def with_provenance(jobs: Iterable[ObservedJob], uid: str, status: ConnectorStatus) -> tuple[ObservedJob, ...]:
    """Jobs with what they were made from; where the status does not say (an earlier operator's), as the Job says."""
    return tuple(_as_made(job, status) if job.owner == uid else job for job in jobs)


def _as_made(job: ObservedJob, status: ConnectorStatus) -> ObservedJob:
    if job.role == names.ROLE_RUNNER:
        made = status.ordered
        if made.run != job.run or not made.spec_hash:
            return job
        return replace(
            job,
            spec_hash=made.spec_hash,
            dataset_hash=made.dataset_hash,
            form=made.form,
            selection=made.sent or made.selection,
            image=made.image or job.image,
            defaults=made.defaults or job.defaults,
        )
    made = status.discovery.ordered
    if made.run != job.run or not made.config_hash:
        return job
    asked = {"config_hash": made.config_hash, "rediscover_at": made.rediscover_at, "stream": made.stream}
    return replace(job, form=made.form, **asked)
