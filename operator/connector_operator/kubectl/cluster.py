"""What the plugin asks of the API server, as whoever types the command; objects are plain JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from connector_operator.kubectl.named import quoted
from connector_operator.kubectl.refusals import Call, build_refusal
from connector_operator.kubectl.transport import APPLY, MERGE, READ_SECONDS, Json, Login, Request, Transport
from connector_operator.resources.names import CONTAINER, LABEL_CONNECTOR, LABEL_ROLE, ROLE_RUNNER
from connector_runner.schemas.kinds.naming import CONNECTORS, DATASETS, GROUP, VERSION

__all__ = ["GONE", "Cluster", "Json", "Login"]

RESOURCE = f"{CONNECTORS}.{GROUP}"
FIELD_MANAGER = "kubectl-connectors"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
WATCH_SECONDS = 300
"""The API server ends a watch after this time; then it is started again."""
SILENT_SECONDS = WATCH_SECONDS + 30
"""A watch that is silent for longer has lost its connection: by then the API server would have ended it."""
SILENT_LOG_SECONDS = 90
"""A runner says something each minute. A log that is silent for longer is read again from where it was, in case its connection is lost."""
GONE = 410
METRICS_SECONDS, METRICS_BYTES = 10, 16 * 2**20
"""Of a pod, which is no server that has to be trusted."""
EXECUTIONS = f"{LABEL_ROLE}={ROLE_RUNNER}"


class Cluster(Transport):
    """The API server of a kubeconfig's context, by what is asked of it. Each call raises RefusedError as its text says."""

    def get(self, namespace: str, name: str) -> Json:
        """One Connector."""
        return self.read_json(Call("get", RESOURCE, namespace, name), Request(_one(_path, namespace, name)))

    def list(self, namespace: str) -> Json:
        """A ConnectorList; of all namespaces if the namespace is ""."""
        return self.read_json(Call("list", RESOURCE, namespace), Request(_path(namespace)))

    def list_names(self, namespace: str) -> Sequence[str]:
        """The names of the Connectors of a namespace, without all else."""
        request = Request(_path(namespace), accept=METADATA_ONLY)
        found = self.read_json(Call("list", RESOURCE, namespace), request)
        return [item["metadata"]["name"] for item in found["items"]]

    def watch(self, namespace: str, version: str) -> Iterator[Json]:
        """Events (`type`, `object`) since a resource version, until the API server ends the watch.

        Raises:
            RefusedError: As the text says; with status 410 the version is too old, and a list must come first.
        """
        call = Call("watch", RESOURCE, namespace)
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(WATCH_SECONDS)}
        for line in self.read_lines(call, Request(_path(namespace), query, seconds=SILENT_SECONDS)):
            event = json.loads(line)
            if event["type"] == "ERROR":
                status = int(event["object"].get("code", GONE))
                raise build_refusal(call, status, json.dumps(event["object"]))
            yield event

    def patch(self, namespace: str, name: str, spec: Mapping[str, Any]) -> Json:
        """Merges fields into a Connector's spec; returns the Connector."""
        query, body = {"fieldManager": FIELD_MANAGER}, {"spec": dict(spec)}
        request = Request(_one(_path, namespace, name), query, "PATCH", body, MERGE)
        return self.read_json(Call("patch", RESOURCE, namespace, name), request)

    def apply(self, connector: Mapping[str, Any], *, is_dry: bool = False) -> Json:
        """Applies a whole Connector (server-side apply, never by force); returns it. If it `is_dry`, the API server only checks it.

        Raises:
            RefusedError: As the text says; with status 409 something else manages a field that would be different.
        """
        namespace, name = connector["metadata"]["namespace"], connector["metadata"]["name"]
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        query |= {"dryRun": "All"} if is_dry else {}
        request = Request(_one(_path, namespace, name), query, "PATCH", connector, APPLY)
        return self.read_json(Call("patch", RESOURCE, namespace, name), request)

    def delete(self, namespace: str, name: str) -> None:
        """Deletes a Connector; the operator ends its execution."""
        self.read_json(
            Call("delete", RESOURCE, namespace, name), Request(_one(_path, namespace, name), method="DELETE")
        )

    def list_datasets(self, namespace: str) -> Json:
        """A DatasetList."""
        call = Call("list", f"{DATASETS}.{GROUP}", namespace)
        return self.read_json(call, Request(f"/apis/{GROUP}/{VERSION}/namespaces/{quoted(namespace)}/{DATASETS}"))

    def create_job(self, namespace: str, body: Mapping[str, Any]) -> Json:
        """Makes a Job; returns it."""
        request = Request(_jobs(namespace), {"fieldManager": FIELD_MANAGER}, "POST", body)
        return self.read_json(Call("create", "jobs.batch", namespace), request)

    def delete_job(self, namespace: str, name: str) -> None:
        """Deletes a Job and its pods."""
        call, query = Call("delete", "jobs.batch", namespace, name), {"propagationPolicy": "Background"}
        self.read_json(call, Request(_one(_jobs, namespace, name), query, "DELETE"))

    def list_jobs(self, namespace: str, connector: str) -> Json:
        """A JobList of a connector's executions."""
        query = {"labelSelector": f"{LABEL_CONNECTOR}={quoted(connector)},{EXECUTIONS}"}
        return self.read_json(Call("list", "jobs.batch", namespace), Request(_jobs(namespace), query))

    def list_job_pods(self, namespace: str, job: str) -> Json:
        """A PodList of a Job."""
        query = {"labelSelector": f"batch.kubernetes.io/job-name={quoted(job)}"}
        return self.read_json(Call("list", "pods", namespace), Request(_pods(quoted(namespace)), query))

    def list_pods(self, namespace: str, connector: str = "") -> Json:
        """A PodList of the executions of a connector, or of all; of all namespaces if the namespace is ""."""
        query = {"labelSelector": f"{LABEL_CONNECTOR}={quoted(connector)},{EXECUTIONS}" if connector else EXECUTIONS}
        return self.read_json(Call("list", "pods", namespace), Request(_pods(namespace), query))

    def list_usage(self, namespace: str) -> Json:
        """What the pods of executions use (`metrics.k8s.io`), in a namespace or, if it is "", in all."""
        within = f"/namespaces/{quoted(namespace)}" if namespace else ""
        request = Request(f"/apis/metrics.k8s.io/v1beta1{within}/pods", {"labelSelector": EXECUTIONS})
        return self.read_json(Call("list", "pods.metrics.k8s.io", namespace), request)

    def read_metrics(self, namespace: str, pod: str, port: int) -> str:
        """The metrics of a runner, through the API server's proxy to its pod."""
        request = Request(
            f"{_one(_pods, namespace, pod)}:{port}/proxy/metrics",
            accept="*/*",
            seconds=METRICS_SECONDS,
            most_bytes=METRICS_BYTES,
        )
        return self.read_bytes(Call("get", "pods/proxy", namespace, pod), request).decode(errors="replace")

    def read_log(self, namespace: str, pod: str) -> Iterator[str]:
        """The lines of a runner's log, without their ends."""
        request = Request(f"{_one(_pods, namespace, pod)}/log", {"container": CONTAINER}, accept="*/*")
        yield from self.read_lines(Call("get", "pods/log", namespace, pod), request)

    def read_log_since(self, namespace: str, pod: str, since: str, *, follow: bool) -> Iterator[str]:
        """The same, each line after its time, from a whole second on ("" for the beginning); with `follow` until its container ends.

        Raises:
            RefusedError: As its text says; with `is_silent` if nothing came for so long that the connection may be lost.
        """
        query = {"container": CONTAINER, "timestamps": "true"}
        query |= {"sinceTime": since} if since else {}
        query |= {"follow": "true"} if follow else {}
        seconds = SILENT_LOG_SECONDS if follow else READ_SECONDS
        request = Request(f"{_one(_pods, namespace, pod)}/log", query, accept="*/*", seconds=seconds)
        yield from self.read_lines(Call("get", "pods/log", namespace, pod), request, with_rest=not follow)


def _one(of_all: Callable[[str], str], namespace: str, name: str) -> str:
    return f"{of_all(quoted(namespace))}/{quoted(name)}"


def _jobs(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{quoted(namespace)}/jobs"


def _pods(namespace: str) -> str:
    return f"/api/v1{f'/namespaces/{quoted(namespace)}' if namespace else ''}/pods"


def _path(namespace: str) -> str:
    within = f"/namespaces/{quoted(namespace)}" if namespace else ""
    return f"/apis/{GROUP}/{VERSION}{within}/{CONNECTORS}"
