"""Requests to an S3 store that deltalake's client does not make: they prove that its writes can be conditional, and upload files."""

from __future__ import annotations

import datetime as dt
import http.client
import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError
from connector_runner.sinks.delta.s3_errors import connecting_failure, failure, read_answer
from connector_runner.sinks.delta.s3_signature import encoded_query, sign
from connector_runner.sinks.delta.store import Store

PROBE = "_connector_probe"
"""An object that says nothing: no conditional write may replace it."""


def prove_conditional_writes(store: Store, now: dt.datetime) -> None:
    """Proves that the store refuses to replace an object when it is asked not to.

    Raises:
        ActionRequiredError: It replaces it; or the bucket, the keys or the region are wrong.
        TransientError: It can't be reached.
    """
    if store.keys is None:
        return
    _put_new(store, PROBE, now)
    require_refused(store, now)


def require_refused(store: Store, now: dt.datetime) -> None:
    """Checks that the store does not replace the probe, which exists.

    Raises:
        ActionRequiredError, TransientError: As `prove_conditional_writes`.
    """
    if _put_new(store, PROBE, now):
        raise ActionRequiredError(
            f"{store.where}: the store replaced an object ({PROBE}) although it was asked not to (If-None-Match: *), so two runners "
            f"could commit the same version; use a store with conditional writes",
            reason="InvalidDataset",
        )


def _put_new(store: Store, name: str, now: dt.datetime) -> bool:
    """Writes an object if it does not exist; returns whether it was written."""
    answer = request(store, "PUT", name, now, {"if-none-match": "*"}, b"-")
    if answer.status in {200, 204}:
        return True
    if answer.status in {409, 412}:
        return False
    raise refusal(store, answer)


def refusal(store: Store, answer: Answer) -> ConnectorError:
    """The error for an answer that says no."""
    code, said = read_answer(answer.text)
    return failure(store.where, code, answer.status, said) or TransientError(
        f"{store.where}: the store answered {answer.status} {code} {said}".rstrip(), reason="DatasetUnavailable"
    )


class Answer(NamedTuple):
    """What the store has answered.

    Attributes:
        status: The status.
        text: The document.
        tag: The entity tag of what was stored; "" for none.
    """

    status: int
    text: str
    tag: str


def request(
    store: Store, method: str, name: str, now: dt.datetime, headers: Mapping[str, str] = MappingProxyType({}),
    body: bytes = b"", query: Mapping[str, str] = MappingProxyType({}),
) -> Answer:  # fmt: skip
    """One request for an object under the store's path.

    Raises:
        ActionRequiredError, TransientError: No answer came.
    """
    assert store.keys is not None  # noqa: S101 - only for S3
    endpoint, bucket = urlsplit(store.options["aws_endpoint"]), urlsplit(store.uri)
    host, path = endpoint.netloc, f"/{bucket.netloc}{bucket.path}/{name}"
    if store.options["aws_virtual_hosted_style_request"] == "true":
        host, path = f"{bucket.netloc}.{host}", f"{bucket.path}/{name}"
    seconds = float(store.options["timeout"].removesuffix("ms")) / 1000
    try:
        connection = (
            http.client.HTTPConnection(host, timeout=seconds)
            if endpoint.scheme == "http"
            else http.client.HTTPSConnection(host, timeout=seconds, context=ssl.create_default_context())
        )
        try:
            sent = sign(method, host, path, headers, store.keys, now, query)
            target = quote(path, safe="/-_.~") + (f"?{encoded_query(query)}" if query else "")
            connection.request(method, target, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode(errors="replace"), answer.getheader("etag") or "")
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise connecting_failure(store.where, str(error)) or TransientError(
            f"{store.where}: the store at {endpoint.scheme}://{endpoint.netloc} can't be reached: {error}",
            reason="DatasetUnavailable",
        ) from error
