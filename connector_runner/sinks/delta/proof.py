"""Proves at the claim what the promise rests on: an S3 store does not replace an object when it is asked not to."""

from __future__ import annotations

import datetime as dt

from connector_runner.datasets.columnar.s3.bucket import Bucket
from connector_runner.datasets.columnar.s3.client import refusal, request
from connector_runner.protocols.errors import ActionRequiredError

PROBE = "_connector_probe"
"""An object that says nothing: no conditional write may replace it."""


def prove_conditional_writes(bucket: Bucket, now: dt.datetime) -> None:
    """Proves that the store refuses to replace an object when it is asked not to.

    Raises:
        ActionRequiredError: It replaces it; or the bucket, the keys or the region are wrong.
        TransientError: It can't be reached.
    """
    _put_new(bucket, PROBE, now)
    require_refused(bucket, now)


def require_refused(bucket: Bucket, now: dt.datetime) -> None:
    """Checks that the store does not replace the probe, which exists.

    Raises:
        ActionRequiredError, TransientError: As `prove_conditional_writes`.
    """
    if _put_new(bucket, PROBE, now):
        raise ActionRequiredError(
            f"{bucket.where}: the store replaced an object ({PROBE}) although it was asked not to (If-None-Match: *), so two runners "
            f"could commit the same version; use a store with conditional writes",
            reason="InvalidDataset",
        )


def _put_new(bucket: Bucket, name: str, now: dt.datetime) -> bool:
    """Writes an object if it does not exist; returns whether it was written."""
    answer = request(bucket, "PUT", name, now, {"if-none-match": "*"}, b"-")
    if answer.status in {200, 204}:
        return True
    if answer.status in {409, 412}:
        return False
    raise refusal(bucket, answer)
