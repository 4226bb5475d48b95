"""Signs requests to S3 (Signature Version 4, header form, payload not signed). Pure."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import quote

_UNSIGNED = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, slots=True)
class Keys:
    """Who signs.

    Attributes:
        id: The access key.
        secret: Its secret.
        token: The session token of temporary keys; "" for none.
        region: The region that the signature is for.
    """

    id: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)
    region: str = "us-east-1"


def encoded_query(query: Mapping[str, str]) -> str:
    """A query as it is signed and sent; "" for none."""
    return "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query))


def sign(
    method: str, host: str, path: str, headers: Mapping[str, str], keys: Keys, now: dt.datetime,
    query: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:  # fmt: skip
    """All headers of a request, with its signature.

    Args:
        method: As in `PUT`.
        host: Host and port, as the Host header has them.
        path: The path, not encoded.
        headers: Further headers, all of which are signed.
        keys: Who signs.
        now: The time, with a zone.
        query: The parameters, not encoded.
    """
    stamp = now.astimezone(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    sent = {**headers, "host": host, "x-amz-content-sha256": _UNSIGNED, "x-amz-date": stamp}
    if keys.token:
        sent["x-amz-security-token"] = keys.token
    lower = {name.lower(): value.strip() for name, value in sent.items()}
    names = ";".join(sorted(lower))
    listed = "".join(f"{name}:{lower[name]}\n" for name in sorted(lower))
    request = "\n".join([method, quote(path, safe="/-_.~"), encoded_query(query), listed, names, _UNSIGNED])
    scope = f"{stamp[:8]}/{keys.region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{keys.secret}".encode()
    for part in (stamp[:8], keys.region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"AWS4-HMAC-SHA256 Credential={keys.id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**sent, "authorization": credential}
