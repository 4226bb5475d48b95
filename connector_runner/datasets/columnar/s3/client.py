"""Requests to an S3 store that the libraries' own clients do not make."""

from __future__ import annotations

import datetime as dt
import http.client
import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from connector_runner.datasets.columnar.s3.bucket import Bucket
from connector_runner.datasets.columnar.s3.errors import connecting_failure, failure, read_answer
from connector_runner.datasets.columnar.s3.signature import encoded_query, sign
from connector_runner.protocols.errors import ConnectorError, TransientError


def refusal(bucket: Bucket, answer: Answer) -> ConnectorError:
    """The error for an answer that says no."""
    code, said = read_answer(answer.text)
    return failure(bucket.where, code, answer.status, said) or TransientError(
        f"{bucket.where}: the store answered {answer.status} {code} {said}".rstrip(), reason="DatasetUnavailable"
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
    bucket: Bucket, method: str, name: str, now: dt.datetime, headers: Mapping[str, str] = MappingProxyType({}),
    body: bytes = b"", query: Mapping[str, str] = MappingProxyType({}),
) -> Answer:  # fmt: skip
    """One request for an object, named by its path under the bucket's.

    Raises:
        ActionRequiredError, TransientError: No answer came.
    """
    endpoint, seconds = urlsplit(bucket.endpoint), bucket.request_seconds
    host, path = endpoint.netloc, f"/{bucket.base}/{name}"
    if bucket.is_hosted:
        front, _, rest = bucket.base.partition("/")
        host, path = f"{front}.{host}", f"/{rest}/{name}" if rest else f"/{name}"
    try:
        connection = (
            http.client.HTTPConnection(host, timeout=seconds)
            if endpoint.scheme == "http"
            else http.client.HTTPSConnection(host, timeout=seconds, context=ssl.create_default_context())
        )
        try:
            sent = sign(method, host, path, headers, bucket.keys, now, query)
            target = quote(path, safe="/-_.~") + (f"?{encoded_query(query)}" if query else "")
            connection.request(method, target, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode(errors="replace"), answer.getheader("etag") or "")
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise connecting_failure(bucket.where, str(error)) or TransientError(
            f"{bucket.where}: the store at {endpoint.scheme}://{endpoint.netloc} can't be reached: {error}",
            reason="DatasetUnavailable",
        ) from error
