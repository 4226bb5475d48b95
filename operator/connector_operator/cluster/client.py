"""Every request to the Kubernetes API goes through here: `kubernetes.aio`'s transport and credentials, raw objects in and out.

Raw, because typed models cost ten times the CPU of the request itself and drop fields that they don't know.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio import client, config

from connector_operator.cluster.clock import ServerClock, local_now
from connector_operator.metrics import API_REQUESTS
from connector_runner.resilience.rate_limit import RateLimit
from connector_runner.resilience.retry_after import parse_retry_after

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""A list without specs and statuses (https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches)."""
REQUEST_TIMEOUT = 30
BURST_SECONDS = 2.0
"""After a pause, as many requests as the limit allows in this many seconds may be sent at once."""
_BEARER = "BearerToken"
_OF_STORE = re.compile(r"etcdserver:|code = Unavailable")
"""In a 500: etcd elects a leader, or was not reached. The request was refused by nobody."""


class ApiError(Exception):
    """The API server refused a request, or could not be reached.

    Attributes:
        status: The HTTP status; 0 when there was no answer.
        reason: Kubernetes' reason (NotFound, Conflict, Forbidden ...).
        message: Kubernetes' message.
        retry_after: How many seconds to wait, as the API server asks; 0 when it doesn't say.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float = 0) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else f"{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later (after a 500 for a malformed object it would not)."""
        return self.status in {0, 429, 502, 503, 504} or (
            self.status == 500 and _OF_STORE.search(self.message) is not None
        )


async def load_configuration() -> client.Configuration:
    """Credentials: the pod's service account, else KUBECONFIG.

    Raises:
        ApiError: Neither exists.
    """
    configuration = client.Configuration()
    try:
        if (SERVICE_ACCOUNT / "token").exists() and os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError) as error:
        raise ApiError(
            0, "NoCredentials", f"neither a pod's service account nor a usable KUBECONFIG was found ({error})"
        ) from None
    return configuration


def own_namespace() -> str:
    """The namespace that the operator runs in; `default` outside of a cluster."""
    path = SERVICE_ACCOUNT / "namespace"
    return path.read_text().strip() if path.exists() else os.environ.get("POD_NAMESPACE", "default")


class KubeClient:
    """A rate-limited client of one API server."""

    def __init__(self, configuration: client.Configuration, requests_per_second: int) -> None:
        self.configuration = configuration
        self._api = client.ApiClient(configuration)
        self._limit = RateLimit(requests_per_second, BURST_SECONDS)
        self.clock = ServerClock()

    async def close(self) -> None:
        """Closes connections."""
        await self._api.close()  # type: ignore[no-untyped-call]

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
        is_urgent: bool = False,
        is_text: bool = False,
    ) -> Any:
        """One request; returns the answer as parsed JSON, or as text if it is not JSON.

        Args:
            method: In upper case.
            path: Begins with `/api` or `/apis`; its parts are already escaped.
            query: Query parameters.
            body: Any JSON value.
            content_type: Of the body.
            accept: The requested form of the answer.
            is_text: Return the answer unparsed (a log that may look like JSON).
            is_urgent: Not subject to the rate limit (the Lease must not wait behind others).

        Raises:
            ApiError: The request was refused, or the server not reached.
        """
        if not is_urgent:
            await self._take_turn()
        headers = {"Accept": accept, "Content-Type": content_type}
        if self.configuration.refresh_api_key_hook is not None:
            refreshed = self.configuration.refresh_api_key_hook(self.configuration)
            if inspect.isawaitable(refreshed):
                await refreshed
        token = self.configuration.api_key.get(_BEARER) or self.configuration.api_key.get("authorization")
        if token:
            headers["Authorization"] = token if token.lower().startswith("bearer ") else f"Bearer {token}"
        parameters = "&".join(f"{quote(k)}={quote(v, safe='')}" for k, v in (query or {}).items())
        url = f"{self.configuration.host}{path}{'?' + parameters if parameters else ''}"
        status, text, retry_after = await self._send(method, url, headers, body)
        API_REQUESTS.labels(verb=method.lower(), resource=_resource(path), code=str(status)).inc()
        if status >= 400 or status == 0:
            raise _error(status, text, retry_after)
        try:
            return text if is_text else json.loads(text)
        except ValueError:
            raise ApiError(0, "Unreadable", f"the API server's answer ({status}) is no JSON: {text[:200]!r}") from None

    async def _take_turn(self) -> None:
        if (seconds := self._limit.reserve(time.monotonic())) > 0:
            await asyncio.sleep(seconds)

    async def _send(self, method: str, url: str, headers: dict[str, str], body: Any) -> tuple[int, str, float]:
        sent = local_now()
        try:
            answer = await self._api.rest_client.request(  # type: ignore[no-untyped-call]
                method, url, headers=headers, body=body, _request_timeout=REQUEST_TIMEOUT
            )
            text = (await answer.read()).decode("utf-8", errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return 0, f"the API server could not be reached: {type(error).__name__} {error}", 0
        self.clock.note(answer.headers.get("Date", ""), sent, local_now())
        asked = parse_retry_after(answer.headers.get("Retry-After"), self.clock.now())
        return answer.status, text, asked or 0


def _resource(path: str) -> str:
    """The kind of object in a path, for metrics: `jobs`, `connectors/status`, `pods/log`."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if parts[:1] == ["namespaces"] and len(parts) > 2:
        parts = parts[2:]
    return "/".join([parts[0], *parts[2:]]) if parts else "discovery"


def _error(status: int, text: str, retry_after: float) -> ApiError:
    if status == 0:
        return ApiError(0, "Unreachable", text)
    try:
        answer = json.loads(text)
        return ApiError(status, answer.get("reason", ""), answer.get("message", text), retry_after)
    except (ValueError, AttributeError):
        return ApiError(status, "", text[:500], retry_after)
