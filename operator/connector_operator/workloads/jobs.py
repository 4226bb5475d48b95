"""Builds the Jobs: one execution, or one discovery; each is one pod that is never restarted in place.

Pod Security `restricted`, no token, a read-only root with an emptyDir at /tmp; Secrets are mounted as files,
the orders are one JSON document in the environment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from connector_operator.resources import names
from connector_operator.resources.connector import config_hash, selection_hash, spec_hash
from connector_operator.resources.dataset import DatasetView
from connector_operator.workloads.hints import build_scrape_hints
from connector_operator.workloads.layers import Layer, built_in, effective_runner
from connector_operator.workloads.volumes import build_volumes
from connector_runner.schemas import manifest as orders
from connector_runner.schemas.kinds import naming
from connector_runner.schemas.kinds.connector import ConnectorSpec
from connector_runner.schemas.kinds.runner import RunnerSpec
from connector_runner.schemas.kinds.streams import StreamsSpec
from connector_runner.schemas.outcome import ExitCode

TERMINATION_LOG = "/dev/termination-log"
ORDERS_VOLUME = "orders"
POD_FIELDS = (
    "serviceAccountName", "nodeSelector", "tolerations", "affinity", "priorityClassName", "imagePullSecrets", "securityContext",
    "topologySpreadConstraints", "runtimeClassName", "schedulerName", "hostAliases", "dnsPolicy", "dnsConfig", "hostNetwork", "hostPID",
    "hostIPC",
)  # fmt: skip
"""Fields of `spec.runner` that a pod has under the same name."""


class RunnerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The installation's part of a pod (times in seconds).

    Attributes:
        layers: Returns the layers below a Connector's runner, as they are now, from the lowest up.
    """

    image: str
    pull_policy: str = "IfNotPresent"
    grace_seconds: int = 60
    discovery_deadline_seconds: int = 120
    layers: Callable[[], Iterable[Layer]] = lambda: (built_in(),)

    def form(self) -> str:
        """Hash of everything that pods depend on besides a Connector, as it is now."""
        # "json" represents a setting that no longer exists: it keeps the hashes of running executions unchanged.
        own = [self.image, self.pull_policy, self.grace_seconds, self.discovery_deadline_seconds, "json"]
        return names.hash_value([own, self._pod_layers()])

    def defaults(self) -> str:
        """The same without the image: a hash of the installation's settings and defaults for pods."""
        return names.hash_value([self.pull_policy, self.grace_seconds, self._pod_layers()])

    def _pod_layers(self) -> list[dict[str, Any]]:
        """The layers without what no pod depends on."""
        return [{name: value for name, value in layer.items() if name != "updatePolicy"} for layer in self.layers()]

    def runner_of(self, spec: ConnectorSpec) -> RunnerSpec:
        """The spec from which a pod is made now."""
        return effective_runner(spec.runner, self.layers())


class Claim(msgspec.Struct, frozen=True):
    """What a runner gets to know about other holders of its dataset; see `RunnerManifest`."""

    unmoved: str = ""
    take_over: orders.TakeOver | None = None


class Subject(msgspec.Struct, frozen=True):
    """The connector that a Job is made for."""

    namespace: str
    name: str
    uid: str
    spec: ConnectorSpec


def build_runner_job(
    subject: Subject, job: str, run: int, dataset: DatasetView, settings: RunnerSettings, claim: Claim | None = None
) -> dict[str, Any]:
    """The Job of one execution.

    `backoffLimit: 0`: the operator, not the Job controller (whose backoff never resets), starts the next one. The
    failure policy's rules then affect only the Job's condition, which gives the cause even if the pod is gone.
    """
    spec = subject.spec
    annotations = {
        names.ANNOTATION_SPEC: spec_hash(spec),
        names.ANNOTATION_DATASET: dataset.hash,
        names.ANNOTATION_IMAGE: settings.image,
        names.ANNOTATION_DEFAULTS: settings.defaults(),
    }
    if selection := selection_hash(spec):
        annotations[names.ANNOTATION_SELECTION] = selection
    runner = settings.runner_of(spec)
    pod = _build_pod(subject, settings, runner, _manifest(subject, run, dataset, claim), ["run"], dataset)
    if spec.streams is not None:
        _mount_orders(pod, job)
    container = pod["containers"][0]
    container["ports"] = [{"name": "probes", "containerPort": orders.PROBE_PORT}]
    # Generous: a hung loop is killed, a busy machine is not. Readiness never kills.
    container["startupProbe"] = _probe("/healthz", periodSeconds=1, failureThreshold=120, timeoutSeconds=5)
    container["livenessProbe"] = _probe("/healthz", periodSeconds=10, failureThreshold=6, timeoutSeconds=5)
    container["readinessProbe"] = _probe("/readyz", periodSeconds=2, failureThreshold=3, timeoutSeconds=5)
    body = _build_job(subject, runner, job, names.ROLE_RUNNER, run, annotations, pod)
    of_pod = body["spec"]["template"]["metadata"]
    of_pod["annotations"] = build_scrape_hints(spec) | of_pod["annotations"]
    body["spec"]["podFailurePolicy"] = {
        "rules": [
            _fail_on("In", ExitCode.ACTION_REQUIRED),
            {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            _fail_on("NotIn", ExitCode.END_OF_STREAM),
        ]
    }
    return body


def _mount_orders(pod: dict[str, Any], job: str) -> None:
    """The selection as it is changed while the runner lives; there is no such ConfigMap until it changes."""
    pod["volumes"].append({"name": ORDERS_VOLUME, "configMap": {"name": names.orders_name(job), "optional": True}})
    mount = {"name": ORDERS_VOLUME, "mountPath": orders.ORDERS_DIRECTORY, "readOnly": True}
    pod["containers"][0]["volumeMounts"].append(mount)


def _fail_on(operator: str, code: ExitCode) -> dict[str, Any]:
    codes = {"containerName": names.CONTAINER, "operator": operator, "values": [int(code)]}
    return {"action": "FailJob", "onExitCodes": codes}


def build_discovery_job(
    subject: Subject,
    job: str,
    attempt: int,
    settings: RunnerSettings,
    also: tuple[str, ...] = (),
    selections: tuple[StreamsSpec, ...] = (),
) -> dict[str, Any]:
    """The Job that lists the streams; it gets the selected ones, so that they are in the list however long that is.

    `also` and `selections` are what other connectors have selected that wait for the same list.

    The deadline is the pod's and not the Job's: a Job's would run on while a queue holds the pod back, and a queue would
    have to begin again with each new Job.
    """
    spec = subject.spec
    annotations = {
        names.ANNOTATION_CONFIG: config_hash(spec),
        names.ANNOTATION_REDISCOVER: spec.rediscover_at,
        names.ANNOTATION_STREAM: spec.asked,
    }
    runner = settings.runner_of(spec)
    own = () if spec.streams is None else (spec.streams,)
    manifest = _manifest(subject, 0, None)
    manifest = msgspec.structs.replace(manifest, streams=None, also=also, selections=(*own, *selections))
    pod = _build_pod(subject, settings, runner, manifest, ["discover"], None)
    body = _build_job(subject, runner, job, names.ROLE_DISCOVERY, attempt, annotations, pod)
    pod["activeDeadlineSeconds"] = settings.discovery_deadline_seconds
    pod["terminationGracePeriodSeconds"] = 5
    return body


def _manifest(
    subject: Subject, run: int, dataset: DatasetView | None, claim: Claim | None = None
) -> orders.RunnerManifest:
    spec = subject.spec
    return orders.RunnerManifest(
        namespace=subject.namespace,
        name=subject.name,
        uid=subject.uid,
        run=run,
        connector_type=spec.connector_type,
        config=spec.config,
        config_from=len(spec.config_from),
        secrets=tuple(source.source() for source in spec.config_from),
        wait=spec.wait,
        stream=spec.selected_stream,
        streams=spec.streams,
        on_stream_failure=spec.on_stream_failure,
        dataset=dataset.target() if dataset is not None else None,
        unmoved=claim.unmoved if claim else "",
        take_over=claim.take_over if claim else None,
    )


def _build_job(
    subject: Subject,
    runner: RunnerSpec,
    job: str,
    role: str,
    run: int,
    annotations: dict[str, str],
    pod: dict[str, Any],
) -> dict[str, Any]:
    labels = build_labels(subject.name, role, run)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job,
            "namespace": subject.namespace,
            "labels": {**runner.job_labels, **labels},
            "annotations": {**runner.job_annotations, names.ANNOTATION_UID: subject.uid, **annotations},
            "ownerReferences": [
                {
                    "apiVersion": naming.API_VERSION,
                    "kind": "Connector",
                    "name": subject.name,
                    "uid": subject.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "podReplacementPolicy": "Failed",
            "template": {
                "metadata": {
                    "labels": {**runner.pod_labels, **labels},
                    # Otherwise Argo CD shows pods that are not restarted in place as Progressing.
                    "annotations": {
                        "argocd.argoproj.io/ignore-restart-policy": "true",
                        **runner.pod_annotations,
                        names.ANNOTATION_UID: subject.uid,
                    },
                },
                "spec": pod,
            },
        },
    }


def build_labels(connector: str, role: str, run: int) -> dict[str, str]:
    """The labels of a Job and its pod."""
    return {
        naming.LABEL_MANAGED_BY: names.MANAGER,
        names.LABEL_CONNECTOR: connector,
        names.LABEL_ROLE: role,
        names.LABEL_RUN: str(run),
    }


def _probe(path: str, **times: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": orders.PROBE_PORT}, **times}


def _build_pod(
    subject: Subject,
    settings: RunnerSettings,
    runner: RunnerSpec,
    manifest: orders.RunnerManifest,
    arguments: list[str],
    dataset: DatasetView | None,
) -> dict[str, Any]:
    raw = runner.raw()
    volumes, mounts, environment = build_volumes(subject.spec, dataset)
    environment |= orders.encode_variables(manifest)
    environment[orders.TERMINATION_LOG_VARIABLE] = TERMINATION_LOG
    variables: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in sorted(environment.items())]
    variables += [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": orders.PROBE_ADDRESS_VARIABLE, "value": f"$(POD_IP):{orders.PROBE_PORT}"},
        *runner.env,
    ]
    container = {
        "name": names.CONTAINER,
        "image": settings.image,
        "imagePullPolicy": runner.image_pull_policy or settings.pull_policy,
        "args": arguments,
        "env": variables,
        "resources": runner.resources,
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": runner.container_security_context,
        "volumeMounts": [*mounts, *runner.volume_mounts],
    }
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_of(subject.spec, settings),
        "containers": [container],
        "volumes": [*volumes, *runner.volumes],
        **{name: raw[name] for name in POD_FIELDS if name in raw},
    }


def grace_of(spec: ConnectorSpec, settings: RunnerSettings) -> int:
    """How many seconds a runner has to commit and exit."""
    own = spec.runner.termination_grace_period_seconds
    return settings.grace_seconds if own is None else own
