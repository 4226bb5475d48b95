"""Where the tables are: a folder of a file system, or a path in a bucket on S3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pyarrow import fs

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.schemas.datasets.delta import Address
from connector_runner.schemas.datasets.s3_options import KEY_ID, REGION, SECRET_KEY
from connector_runner.sinks.delta.s3_signature import Keys

RETRIES, RETRY_SECONDS = 3, 20
"""How often deltalake's client tries a request again; the pipeline does the rest, and reports it."""


@dataclass(frozen=True, slots=True)
class Store:
    """Where the tables are.

    Attributes:
        where: For messages: a folder, or bucket and path.
        uri: The address of the folder that holds the tables, as deltalake takes it.
        base: The path of that folder in `filesystem`.
        filesystem: Reads and writes files.
        options: deltalake's options; they hold secrets.
        keys: Who signs requests to S3; None for a file system.
    """

    where: str
    uri: str
    base: str
    filesystem: fs.FileSystem = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    keys: Keys | None = None

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of a file system."""
        return self.keys is None

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
    if KEY_ID not in options or SECRET_KEY not in options:
        raise ActionRequiredError(
            f"the options {KEY_ID} and {SECRET_KEY} are missing; put them into a Secret and name that in optionsFrom",
            reason="InvalidDataset",
        )
    keys = Keys(
        options[KEY_ID], options[SECRET_KEY], options.get("s3.session-token", ""), options.get("s3.region", REGION)
    )
    uri = f"s3://{address.bucket}/{address.path}".rstrip("/")
    return Store(uri, uri, uri.removeprefix("s3://"), _open_files(options, keys), client_settings(options, keys), keys)


def _open_files(options: Mapping[str, str], keys: Keys) -> fs.FileSystem:
    """Arrow's own client for files: deltalake's lets no other Python run while it waits for the store."""
    scheme, _, host = options.get("s3.endpoint", f"https://s3.{keys.region}.amazonaws.com").rstrip("/").partition("://")
    return fs.S3FileSystem(
        access_key=keys.id,
        secret_key=keys.secret,
        session_token=keys.token or None,
        region=keys.region,
        scheme=scheme,
        endpoint_override=host,
        force_virtual_addressing=options.get("s3.path-style-access") == "false",
        connect_timeout=int(options.get("s3.connect-timeout-ms", "5000")) / 1000,
        request_timeout=int(options.get("s3.request-timeout-ms", "30000")) / 1000,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=RETRIES),
        allow_delayed_open=True,
    )


def client_settings(options: Mapping[str, str], keys: Keys) -> dict[str, str]:
    """The settings of deltalake's client for valid options. Pure."""
    endpoint = options.get("s3.endpoint", f"https://s3.{keys.region}.amazonaws.com").rstrip("/")
    hosted = options.get("s3.path-style-access") == "false"
    found = {
        "aws_access_key_id": keys.id,
        "aws_secret_access_key": keys.secret,
        "aws_region": keys.region,
        "aws_endpoint": endpoint,
        "aws_virtual_hosted_style_request": str(hosted).lower(),
        "aws_allow_http": str(endpoint.startswith("http://")).lower(),
        "aws_conditional_put": "etag",
        "connect_timeout": f"{options.get('s3.connect-timeout-ms', '5000')}ms",
        "timeout": f"{options.get('s3.request-timeout-ms', '30000')}ms",
        "max_retries": str(RETRIES),
        "retry_timeout": f"{RETRY_SECONDS}s",
    }
    if keys.token:
        found["aws_session_token"] = keys.token
    return found
