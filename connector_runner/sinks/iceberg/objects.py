"""Files of tables in a bucket: how they are reached, and the proof that they are."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pyarrow import fs

from connector_runner.datasets.columnar.s3.bucket import Bucket, build_bucket
from connector_runner.datasets.columnar.s3.client import refusal, request
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.schemas.datasets.s3_options import KEY_ID, S3_OPTIONS, SECRET_KEY

SCHEMES = ("s3", "s3a", "s3n")
PROBE = "_connector_probe"
"""An object that is written and removed."""
_SAME = {"s3.region": "client.region", KEY_ID: "client.access-key-id", SECRET_KEY: "client.secret-access-key",
         "s3.session-token": "client.session-token"}  # fmt: skip
"""Other names under which catalogues give these properties."""


def bucket_path(location: str) -> str | None:
    """Bucket and path of a location; None if it is not on S3."""
    parts = urlsplit(location, allow_fragments=False)
    return f"{parts.netloc}{parts.path}".rstrip("/") if parts.scheme in SCHEMES else None


def find_bucket(properties: Mapping[str, Any], base: str) -> Bucket:
    """The bucket that properties of files reach.

    Args:
        properties: From the dataset's options, and from the catalogue.
        base: The bucket, or bucket and path.

    Raises:
        ActionRequiredError: There are no keys.
    """
    given = {name: properties.get(name) or properties.get(_SAME.get(name, name)) for name in S3_OPTIONS}
    bucket = build_bucket(base, {name: str(value) for name, value in given.items() if value})
    if bucket is None:
        raise ActionRequiredError(
            f"the files are in s3://{base}, but the catalogue gives no keys for them; put {KEY_ID} and {SECRET_KEY} into a Secret "
            "and name that in optionsFrom",
            reason="InvalidDataset",
        )
    return bucket


@functools.lru_cache(maxsize=16)
def open_files(bucket: Bucket) -> fs.FileSystem:
    """Its objects; tables are read again and again, and share the connections."""
    return bucket.open_files()


def prove_objects(bucket: Bucket) -> None:
    """Proves that objects can be written and removed.

    Raises:
        ActionRequiredError: The bucket, the keys, their rights or the region are wrong.
        TransientError: The store can't be reached.
    """
    for method, done in (("PUT", {200, 204}), ("DELETE", {200, 204, 404})):
        answer = request(bucket, method, PROBE, dt.datetime.now(dt.UTC), body=b"-" if method == "PUT" else b"")
        if answer.status not in done:
            raise refusal(bucket, answer)
