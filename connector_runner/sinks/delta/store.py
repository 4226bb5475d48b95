"""Where the tables are: a folder of a file system, or a path in a bucket on S3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pyarrow import fs

from connector_runner.datasets.columnar.s3.bucket import RETRIES, Bucket, build_bucket
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.schemas.datasets.delta import Address
from connector_runner.schemas.datasets.s3_options import KEY_ID, SECRET_KEY

RETRY_SECONDS = 20
"""How long deltalake's client tries a request again."""


@dataclass(frozen=True, slots=True)
class Store:
    """Where the tables are.

    Attributes:
        where: For messages: a folder, or bucket and path.
        uri: The address of the folder that holds the tables, as deltalake takes it.
        base: The path of that folder in `filesystem`.
        filesystem: Reads and writes files.
        options: deltalake's options; they hold secrets.
        bucket: Where that is on S3; None for a file system.
    """

    where: str
    uri: str
    base: str
    filesystem: fs.FileSystem = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    bucket: Bucket | None = None

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of a file system."""
        return self.bucket is None

    def path(self, *parts: str) -> str:
        """The path of something in the folder, for `filesystem`."""
        return "/".join([self.base, *parts])


def build_store(address: Address, options: Mapping[str, str], directory: Path) -> Store:
    """The store that a URL and options name; does no I/O.

    Raises:
        ActionRequiredError: The options do not fit the URL.
    """
    if not address.bucket:
        if options:
            raise ActionRequiredError(
                f"options.{min(options)} has no effect on a folder; write the URL as delta+s3://bucket/path, or remove it",
                reason="InvalidDataset",
            )
        root = str((directory / address.path).absolute())
        return Store(root, root, root, fs.LocalFileSystem())
    uri = f"s3://{address.bucket}/{address.path}".rstrip("/")
    bucket = build_bucket(uri.removeprefix("s3://"), options)
    if bucket is None:
        raise ActionRequiredError(
            f"the options {KEY_ID} and {SECRET_KEY} are missing; put them into a Secret and name that in optionsFrom",
            reason="InvalidDataset",
        )
    # Arrow's own client for files: deltalake's lets no other Python run while it waits for the store.
    return Store(uri, uri, bucket.base, bucket.open_files(), client_settings(bucket), bucket)


def client_settings(bucket: Bucket) -> dict[str, str]:
    """The settings of deltalake's client. Pure."""
    keys = bucket.keys
    found = {
        "aws_access_key_id": keys.id,
        "aws_secret_access_key": keys.secret,
        "aws_region": keys.region,
        "aws_endpoint": bucket.endpoint,
        "aws_virtual_hosted_style_request": str(bucket.is_hosted).lower(),
        "aws_allow_http": str(bucket.endpoint.startswith("http://")).lower(),
        "aws_conditional_put": "etag",
        "connect_timeout": f"{bucket.connect_seconds * 1000:.0f}ms",
        "timeout": f"{bucket.request_seconds * 1000:.0f}ms",
        "max_retries": str(RETRIES),
        "retry_timeout": f"{RETRY_SECONDS}s",
    }
    if keys.token:
        found["aws_session_token"] = keys.token
    return found
