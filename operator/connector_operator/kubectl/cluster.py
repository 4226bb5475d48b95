"""Requests to the API server as whoever types the command, by kubeconfig; objects are plain JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import client, config

from connector_operator.kubectl.refusals import Call, RefusedError, build_refusal, build_unreachable
from connector_operator.resources.names import CONTAINER, LABEL_CONNECTOR, LABEL_ROLE, ROLE_RUNNER
from connector_runner.schemas.kinds.naming import CONNECTORS, DATASETS, GROUP, VERSION

RESOURCE = f"{CONNECTORS}.{GROUP}"
MERGE = "application/merge-patch+json"
FIELD_MANAGER = "kubectl-connectors"
CONNECT_SECONDS, READ_SECONDS = 10, 60
WATCH_SECONDS = 300
"""The API server ends a watch after this time; then it is started again."""
GONE = 410

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Login:
    """Which cluster, and as whom: what kubectl's own flags say.

    Attributes:
        kubeconfig, context: "" for the default.
        acting_as: A user to impersonate; "" for oneself.
    """

    kubeconfig: str = ""
    context: str = ""
    acting_as: str = ""


class Cluster:
    """The API server of a kubeconfig's context."""

    def __init__(self, login: Login) -> None:
        """Reads the kubeconfig; nothing is sent yet.

        Raises:
            RefusedError: There is none, or it lacks the context.
        """
        settings = client.Configuration()
        file, context = login.kubeconfig or None, login.context or None
        try:
            config.load_kube_config(config_file=file, context=context, client_configuration=settings)  # type: ignore[no-untyped-call]
            contexts, active = config.list_kube_config_contexts(file)  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError) as error:
            raise RefusedError(f"{error}\nSay where your kubeconfig is by KUBECONFIG or --kubeconfig.") from None
        used = next((each for each in contexts if each["name"] == context), active)
        self.context: str = used["name"]
        self.namespace: str = used["context"].get("namespace") or "default"
        settings.retries = False
        self._host: str = settings.host
        self._client = client.ApiClient(settings)
        self._headers = {"Impersonate-User": login.acting_as} if login.acting_as else {}

    def get(self, namespace: str, name: str) -> Json:
        """One Connector.

        Raises:
            RefusedError: As the text says.
        """
        return self._json(Call("get", RESOURCE, namespace, name), f"{_path(namespace)}/{name}")

    def list(self, namespace: str) -> Json:
        """A ConnectorList; of all namespaces if the namespace is "".

        Raises:
            RefusedError: As the text says.
        """
        return self._json(Call("list", RESOURCE, namespace), _path(namespace))

    def watch(self, namespace: str, version: str) -> Iterator[Json]:
        """Events (`type`, `object`) since a resource version, until the API server ends the watch.

        Raises:
            RefusedError: As the text says; with status 410 the version is too old, and a list must come first.
        """
        call = Call("watch", RESOURCE, namespace)
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(WATCH_SECONDS)}
        for line in self._lines(call, _path(namespace), query):
            event = json.loads(line)
            if event["type"] == "ERROR":
                status = int(event["object"].get("code", GONE))
                raise build_refusal(call, status, json.dumps(event["object"]))
            yield event

    def patch(self, namespace: str, name: str, spec: Mapping[str, Any]) -> Json:
        """Merges fields into a Connector's spec; returns the Connector.

        Raises:
            RefusedError: As the text says.
        """
        call = Call("patch", RESOURCE, namespace, name)
        query = {"fieldManager": FIELD_MANAGER}
        return self._json(call, f"{_path(namespace)}/{name}", query, {"spec": dict(spec)})

    def list_datasets(self, namespace: str) -> Json:
        """A DatasetList.

        Raises:
            RefusedError: As the text says.
        """
        call = Call("list", f"{DATASETS}.{GROUP}", namespace)
        return self._json(call, f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{DATASETS}")

    def create_job(self, namespace: str, body: Mapping[str, Any]) -> Json:
        """Makes a Job; returns it.

        Raises:
            RefusedError: As the text says.
        """
        call = Call("create", "jobs.batch", namespace)
        return self._json(call, _jobs(namespace), {"fieldManager": FIELD_MANAGER}, body, method="POST")

    def delete_job(self, namespace: str, name: str) -> None:
        """Deletes a Job and its pods.

        Raises:
            RefusedError: As the text says.
        """
        call, query = Call("delete", "jobs.batch", namespace, name), {"propagationPolicy": "Background"}
        self._json(call, f"{_jobs(namespace)}/{name}", query, method="DELETE")

    def list_job_pods(self, namespace: str, job: str) -> Json:
        """A PodList of a Job.

        Raises:
            RefusedError: As the text says.
        """
        query = {"labelSelector": f"batch.kubernetes.io/job-name={job}"}
        return self._json(Call("list", "pods", namespace), f"/api/v1/namespaces/{namespace}/pods", query)

    def list_pods(self, namespace: str, connector: str) -> Json:
        """A PodList of the connector's executions.

        Raises:
            RefusedError: As the text says.
        """
        query = {"labelSelector": f"{LABEL_CONNECTOR}={connector},{LABEL_ROLE}={ROLE_RUNNER}"}
        return self._json(Call("list", "pods", namespace), f"/api/v1/namespaces/{namespace}/pods", query)

    def read_log(self, namespace: str, pod: str, *, follow: bool) -> Iterator[str]:
        """The lines of a runner's log, without their ends; with `follow` until its container ends.

        Raises:
            RefusedError: As the text says.
        """
        query = {"container": CONTAINER, "follow": "true" if follow else "false"}
        yield from self._lines(
            Call("get", "pods/log", namespace, pod), f"/api/v1/namespaces/{namespace}/pods/{pod}/log", query
        )

    def _json(
        self, call: Call, path: str, query: Mapping[str, str] | None = None, body: Any = None, *, method: str = ""
    ) -> Json:
        response = self._request(call, path, query or {}, body, READ_SECONDS, method)
        try:
            found: Json = json.loads(response.data)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise build_unreachable(self._host, self.context, str(error)) from None
        return found

    def _lines(self, call: Call, path: str, query: Mapping[str, str]) -> Iterator[str]:
        """Without a limit of time between lines: a quiet log, or a watch without a change, is normal."""
        response, rest = self._request(call, path, query, None, None), b""
        try:
            for part in response.stream(65_536):
                *lines, rest = (rest + part).split(b"\n")
                yield from (line.decode(errors="replace") for line in lines)
        except urllib3.exceptions.HTTPError as error:
            raise build_unreachable(self._host, self.context, str(error)) from None
        finally:
            response.close()
        if rest:
            yield rest.decode(errors="replace")

    def _request(
        self, call: Call, path: str, query: Mapping[str, str], body: Any, seconds: float | None, method: str = ""
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json", **self._headers}
        method = method or ("GET" if body is None else "PATCH")
        if body is not None:
            headers["Content-Type"] = MERGE if method == "PATCH" else "application/json"
        try:
            request = self._client.param_serialize(
                method,
                path,
                query_params=list(query.items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            response: urllib3.BaseHTTPResponse = self._client.call_api(
                *request, _request_timeout=(CONNECT_SECONDS, seconds)
            ).response
            if response.status >= 400:
                raise build_refusal(call, response.status, response.data.decode(errors="replace"))
        except (urllib3.exceptions.HTTPError, client.ApiException) as error:
            raise build_unreachable(self._host, self.context, str(error)) from None
        return response


def _jobs(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def _path(namespace: str) -> str:
    within = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/{GROUP}/{VERSION}{within}/{CONNECTORS}"
