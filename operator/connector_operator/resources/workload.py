"""Jobs and pods as values: what the control plane needs to know about them, read from the raw objects in one module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from connector_operator.resources import names
from connector_operator.resources.times import parse_time
from connector_runner.schemas.kinds import naming
from connector_runner.schemas.manifest import MANIFEST_VARIABLE, parse_manifest


class ObservedJob(msgspec.Struct, frozen=True, kw_only=True):
    """One of our Jobs.

    Attributes:
        owner: UID of the Connector that controls it (an earlier namesake's has another one); "" when none does.
        maker: UID of the Connector it was made for, if none controls it any more: left by `--cascade=orphan`.
        role: `runner` or `discovery`.
        run: The execution's number; 0 for a discovery.
        spec_hash, dataset_hash: What the execution was made from.
        selection: Hash of the selection that it was sent last; "" for one stream.
        config_hash, rediscover_at, stream: What the discovery was made from.
        form: Hash of how its pod was configured; "" when not known.
        image: The runner's image as it was asked for; of an earlier operator's Job: as its pod template has it.
        defaults: Hash of the installation's settings and defaults at that time; "" when not known.
        active, ready: How many pods it has, and how many of them are ready, as counted by Kubernetes.
        finished: None until it ends, then True for complete and False for failed.
        reason, message: Of the Job's condition when it has failed, or is about to.
        deadline: How long it may take; counted while its pod is held back, too.
        pod_deadline: How long its pod may take once a node has accepted it.
        grace: How long its pod may take to terminate.
        is_suspended: It creates no pod until somebody resumes it (suspended, or scaled to nothing).
        is_altered: Somebody changed it so that it may create more than one pod.
    """

    name: str
    uid: str = ""
    owner: str = ""
    maker: str = ""
    role: str = names.ROLE_RUNNER
    run: int = 0
    spec_hash: str = ""
    dataset_hash: str = ""
    selection: str = ""
    config_hash: str = ""
    rediscover_at: str = ""
    stream: str = ""
    form: str = ""
    image: str = ""
    defaults: str = ""
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    deleting: datetime | None = None
    active: int = 0
    ready: int = 0
    finished: bool | None = None
    reason: str = ""
    message: str = ""
    deadline: timedelta | None = None
    pod_deadline: timedelta | None = None
    grace: timedelta | None = None
    is_suspended: bool = False
    is_altered: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether the operator made it; a label is no proof, because anybody may set it."""
        return bool(self.owner or self.maker)


class ObservedPod(msgspec.Struct, frozen=True, kw_only=True):
    """One pod of a connector.

    Attributes:
        job: The name of the Job it belongs to.
        maker: UID of the Connector it was made for; "" when its Job's name does not prove it.
        accepted: When a node accepted it; None: it is held back, or no node has room, so nothing of it runs.
        unready_since: Since when it is not ready; None when it is ready.
        deleting: When its grace period ends (Kubernetes sets deletionTimestamp ahead by the grace period).
        is_orphan: No Job owns it, so nothing ends it.
        exit_code, message: Of our container, once terminated; the raw termination message.
        is_up: Our container runs and is ready itself, whatever the state of the others.
        others: Names of other containers of the pod that still run or wait.
        ended_others: Names of other containers of the pod that have ended.
        container_reason: Of our container's state (OOMKilled, ImagePullBackOff, CreateContainerConfigError ...).
        waiting: What the container waits for, as reported by the kubelet.
        unschedulable: The scheduler's message, when it finds no node.
        gates: Names of what holds it back from the scheduler.
        node: The node that it was given; "" for none yet.
        scheduler: The name of the scheduler that is to choose its node.
        nominated: The node on which the scheduler makes room for it; "" for none.
        disruption: Reason of the DisruptionTarget condition.
        reason: Why the pod as a whole has ended (DeadlineExceeded, Evicted ...), where that is not said of a container.
    """

    name: str
    job: str = ""
    maker: str = ""
    role: str = names.ROLE_RUNNER
    phase: str = ""
    created: datetime | None = None
    accepted: datetime | None = None
    started: datetime | None = None
    unready_since: datetime | None = None
    ended: datetime | None = None
    deleting: datetime | None = None
    is_orphan: bool = False
    exit_code: int | None = None
    message: str = ""
    is_up: bool = False
    others: tuple[str, ...] = ()
    ended_others: tuple[str, ...] = ()
    container_reason: str = ""
    waiting: str = ""
    unschedulable: str = ""
    gates: tuple[str, ...] = ()
    node: str = ""
    scheduler: str = ""
    nominated: str = ""
    disruption: str = ""
    reason: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether its process may still run."""
        return self.phase not in {"Succeeded", "Failed"}

    @property
    def is_outlived(self) -> bool:
        """Whether our container has ended but others still run, so that the pod and its Job never end by themselves."""
        return self.is_alive and self.exit_code is not None and bool(self.others)


def read_job(raw: Mapping[str, Any]) -> ObservedJob:
    """A raw Job as a value; missing parts count as absent."""
    meta, spec, status = raw.get("metadata", {}), raw.get("spec", {}), raw.get("status", {})
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    end = conditions.get("Complete") or conditions.get("Failed")
    # FailureTarget has the same reason and message, and is certainly set before the pod may be removed.
    failing = conditions.get("Failed") or conditions.get("FailureTarget") or {}
    run = labels.get(names.LABEL_RUN, "0")
    count = int(run) if run.isdecimal() and int(run) <= names.LARGEST_COUNT else 0
    pod = spec.get("template", {}).get("spec", {})
    grace = pod.get("terminationGracePeriodSeconds")
    connector, role = labels.get(names.LABEL_CONNECTOR, ""), labels.get(names.LABEL_ROLE, "")
    controller = next((o for o in meta.get("ownerReferences") or () if o.get("controller")), None)
    uid = (
        _controlling_connector(controller, connector)
        if controller
        else _made_for(annotations, spec.get("template", {}))
    )
    proven = uid if names.is_derived(meta.get("name", ""), connector, uid, role, count) else ""
    return ObservedJob(
        name=meta.get("name", ""),
        uid=meta.get("uid", ""),
        owner=proven if controller else "",
        maker="" if controller else proven,
        role=role,
        run=count,
        spec_hash=annotations.get(names.ANNOTATION_SPEC, ""),
        dataset_hash=annotations.get(names.ANNOTATION_DATASET, ""),
        selection=annotations.get(names.ANNOTATION_SELECTION, ""),
        config_hash=annotations.get(names.ANNOTATION_CONFIG, ""),
        rediscover_at=annotations.get(names.ANNOTATION_REDISCOVER, ""),
        stream=annotations.get(names.ANNOTATION_STREAM, ""),
        image=annotations.get(names.ANNOTATION_IMAGE) or _template_image(pod),
        defaults=annotations.get(names.ANNOTATION_DEFAULTS, ""),
        created=parse_time(meta.get("creationTimestamp")),
        started=parse_time(status.get("startTime")),
        ended=parse_time(end.get("lastTransitionTime")) if end else None,
        deleting=parse_time(meta.get("deletionTimestamp")),
        active=status.get("active") or 0,
        ready=status.get("ready") or 0,
        finished=None if end is None else "Complete" in conditions,
        reason=failing.get("reason", ""),
        message=failing.get("message", ""),
        deadline=_read_deadline(spec),
        pod_deadline=_read_deadline(pod),
        grace=None if grace is None else timedelta(seconds=grace),
        is_suspended=bool(spec.get("suspend")) or spec.get("parallelism", 1) == 0,
        is_altered=_makes_more(spec.get("parallelism", 1), spec.get("completions")),
    )


def _controlling_connector(controller: Mapping[str, Any], name: str) -> str:
    is_connector = controller.get("kind") == "Connector" and controller.get("apiVersion", "").startswith(
        f"{naming.GROUP}/"
    )
    return str(controller.get("uid", "")) if is_connector and controller.get("name") == name else ""


def _made_for(annotations: Mapping[str, Any], template: Mapping[str, Any]) -> str:
    """The Connector's UID from an annotation, or (of an earlier operator) from the orders in the pod's environment."""
    if names.ANNOTATION_UID in annotations:
        return str(annotations[names.ANNOTATION_UID])
    for container in template.get("spec", {}).get("containers") or ():
        orders = {v.get("name"): v.get("value") or "" for v in container.get("env") or ()}.get(MANIFEST_VARIABLE)
        if orders and container.get("name") == names.CONTAINER:
            try:
                return parse_manifest(orders).uid
            except msgspec.MsgspecError:
                return ""
    return ""


def _template_image(pod: Mapping[str, Any]) -> str:
    ours = (c.get("image") for c in pod.get("containers") or () if c.get("name") == names.CONTAINER)
    return str(next(ours, "") or "")


def _read_deadline(spec: Mapping[str, Any]) -> timedelta | None:
    seconds = spec.get("activeDeadlineSeconds")
    return timedelta(seconds=seconds) if seconds else None


def _makes_more(parallelism: int, completions: int | None) -> bool:
    return parallelism > 1 if completions is None else completions > 1


def read_pod(raw: Mapping[str, Any]) -> ObservedPod:
    """A raw pod as a value; missing parts count as absent."""
    meta, status = raw.get("metadata", {}), raw.get("status", {})
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    job, role, run = (
        labels.get("batch.kubernetes.io/job-name", ""),
        labels.get(names.LABEL_ROLE, ""),
        labels.get(names.LABEL_RUN, ""),
    )
    uid = _made_for(annotations, raw)
    is_proven = run.isdecimal() and names.is_derived(job, labels.get(names.LABEL_CONNECTOR, ""), uid, role, int(run))
    conditions = {c.get("type"): c for c in status.get("conditions") or ()}
    containers = {c.get("name"): c for c in status.get("containerStatuses") or ()}
    container: dict[str, Any] = containers.pop(names.CONTAINER, {})
    ended = {name for name, other in containers.items() if (other.get("state") or {}).get("terminated")}
    state = container.get("state") or {}
    terminated, waiting = state.get("terminated") or {}, state.get("waiting") or {}
    running = state.get("running") or {}
    ready = conditions.get("Ready", {})
    scheduled, disrupted = conditions.get("PodScheduled", {}), conditions.get("DisruptionTarget", {})
    gates = tuple(gate.get("name", "") for gate in raw.get("spec", {}).get("schedulingGates") or ())
    return ObservedPod(
        name=meta.get("name", ""),
        job=job,
        maker=uid if is_proven else "",
        role=role,
        phase=status.get("phase", ""),
        created=parse_time(meta.get("creationTimestamp")),
        accepted=parse_time(status.get("startTime")),
        started=parse_time(running.get("startedAt") or terminated.get("startedAt")),
        unready_since=parse_time(ready.get("lastTransitionTime")) if ready.get("status") == "False" else None,
        ended=parse_time(terminated.get("finishedAt")),
        deleting=parse_time(meta.get("deletionTimestamp")),
        is_orphan=all(o.get("kind") != "Job" for o in meta.get("ownerReferences") or ()),
        exit_code=terminated.get("exitCode"),
        message=terminated.get("message", ""),
        is_up=bool(running and container.get("ready")),
        others=tuple(sorted(name for name in containers if name not in ended)),
        ended_others=tuple(sorted(ended)),
        container_reason=terminated.get("reason") or waiting.get("reason") or status.get("reason", ""),
        waiting=waiting.get("message", "") or waiting.get("reason", ""),
        unschedulable=scheduled.get("message", "") if scheduled.get("status") == "False" and not gates else "",
        gates=gates,
        node=raw.get("spec", {}).get("nodeName", ""),
        scheduler=raw.get("spec", {}).get("schedulerName", ""),
        nominated=status.get("nominatedNodeName", ""),
        disruption=disrupted.get("reason", "") if disrupted.get("status") == "True" else "",
        reason=status.get("reason", ""),
    )


def read_pods(raws: Iterable[Mapping[str, Any]]) -> tuple[ObservedPod, ...]:
    """Raw pods as values."""
    return tuple(read_pod(raw) for raw in raws)
