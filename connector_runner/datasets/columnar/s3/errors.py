"""What an answer of an S3 store means, by a table of its error codes. Pure."""

from __future__ import annotations

import html
import re
from typing import NamedTuple

from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError


class Meaning(NamedTuple):
    """What a code means: the reason for a run's end or wait, and the sentence."""

    reason: str
    sentence: str


_KEYS = Meaning(
    reason="WrongCredentials",
    sentence="the access key or its secret is wrong; correct s3.access-key-id and s3.secret-access-key in the Secret",
)
_EXPIRED = Meaning(
    reason="WrongCredentials",
    sentence="the session token has expired or is not valid; put new keys into the Secret",
)
_BUCKET = Meaning(
    reason="MissingBucket",
    sentence="the bucket does not exist; create it, or correct the URL or s3.endpoint",
)
_REGION = Meaning(
    reason="WrongRegion",
    sentence="the bucket is in another region; correct s3.region",
)
_RIGHTS = Meaning(
    reason="NotAllowed",
    sentence="the access key may not do this; allow it to list the bucket, and to read, write and delete objects under the path",
)
_CONDITIONAL = Meaning(
    reason="InvalidDataset",
    sentence="the store has no conditional writes (If-None-Match), without which two runners could commit the same version; use another",
)
_CLOCK = Meaning(
    reason="InvalidDataset",
    sentence="the clocks of runner and store differ too much; set the clock",
)
_FULL = Meaning(
    reason="DatasetUnavailable",
    sentence="the store is full, or a quota is reached",
)
CODES: dict[str, Meaning] = {
    "NoSuchBucket": _BUCKET,
    "InvalidBucketName": _BUCKET,
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "InvalidToken": _EXPIRED,
    "ExpiredToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "AuthorizationHeaderMalformed": _REGION,
    "IncorrectRegion": _REGION,
    "PermanentRedirect": _REGION,
    "TemporaryRedirect": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "AccessDenied": _RIGHTS,
    "AllAccessDisabled": _RIGHTS,
    "AccountProblem": _RIGHTS,
    "NotImplemented": _CONDITIONAL,
    "RequestTimeTooSkewed": _CLOCK,
    "QuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
    "InsufficientStorage": _FULL,
}
"""Code of the store → what it means."""
LASTING = {"MissingBucket", "WrongCredentials", "WrongRegion", "NotAllowed", "InvalidDataset", "TlsProblem"}
_STATUS = {301: "PermanentRedirect", 307: "TemporaryRedirect", 401: "SignatureDoesNotMatch", 403: "AccessDenied", 501: "NotImplemented",
           507: "InsufficientStorage"}  # fmt: skip
_CERTIFICATE = re.compile(r"invalid peer certificate|certificate verify failed|CERTIFICATE_VERIFY_FAILED|UnknownIssuer")
_NO_TLS = re.compile(r"InvalidContentType|WRONG_VERSION_NUMBER|HTTP_REQUEST")


def failure(where: str, code: str, status: int, said: str) -> ConnectorError | None:
    """The error for an answer of the store; None for an answer that is not in the table.

    Args:
        where: The bucket and path, for the message.
        code: The error's code; "" if the answer has none.
        status: The status of the answer; 0 if it is not known.
        said: The store's own message; "" for none.
    """
    found = CODES.get(code) or CODES.get(_STATUS.get(status, ""))
    if found is None:
        return None
    reason, sentence = found
    own = f" ({code or status}{f': {said}' if said else ''})"
    kind = ActionRequiredError if reason in LASTING else TransientError
    return kind(f"{where}: {sentence}{own}", reason=reason)


def connecting_failure(where: str, text: str) -> ConnectorError | None:
    """The error for a text that says why no answer came; None if it may pass."""
    if _CERTIFICATE.search(text):
        return ActionRequiredError(
            f"{where}: the store's certificate is not trusted; give the runner's machine its authority (SSL_CERT_FILE)",
            reason="TlsProblem",
        )
    if _NO_TLS.search(text):
        return ActionRequiredError(
            f"{where}: the store does not speak TLS; write s3.endpoint with http:// or correct its port",
            reason="TlsProblem",
        )
    return None


def read_answer(text: str) -> tuple[str, str]:
    """The code and the message in an answer's document, or in a text that quotes it; "" for what it lacks."""
    code, said = re.search(r"<Code>([A-Za-z0-9]+)</Code>", text), re.search(r"<Message>([^<]{1,300})</Message>", text)
    return code[1] if code else "", html.unescape(said[1]).strip() if said else ""


def explain_text(where: str, text: str) -> ConnectorError | None:
    """The error for what deltalake's client says of a failed request; None if the table has no row for it."""
    code, said = read_answer(text)
    status = re.search(r"\b([345]\d\d) [A-Z][A-Za-z ]+", text)
    return failure(where, code, int(status[1]) if status else 0, said) or connecting_failure(where, text)


def plain(text: str) -> str:
    """A message of deltalake's client on one line, without colours and the documents that it quotes."""
    text = re.sub(r"\x1b\[[0-9;]*m|↳", "", text)
    text = re.sub(r"<\?xml.*", "", text, flags=re.DOTALL)
    return " ".join(text.split())[:400]
