"""Where objects are: a store, a bucket and a path, and how they are reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pyarrow import fs

from connector_runner.datasets.columnar.s3.signature import Keys
from connector_runner.schemas.datasets.s3_options import KEY_ID, REGION, SECRET_KEY

RETRIES = 3
"""How often the client tries a request again; the pipeline does the rest, and reports it."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A path in a bucket.

    Attributes:
        base: Bucket and path.
        endpoint: The store's URL, without a slash at its end.
        keys: Who signs requests.
        is_hosted: Whether the bucket is in the name of the host, else in the path.
        connect_seconds, request_seconds: How long connecting, and a request, may take.
    """

    base: str
    endpoint: str
    keys: Keys = field(repr=False)
    is_hosted: bool
    connect_seconds: float
    request_seconds: float

    @property
    def where(self) -> str:
        """For messages."""
        return f"s3://{self.base}"

    def open_files(self) -> fs.FileSystem:
        """Arrow's client for its objects; paths begin with the bucket."""
        scheme, _, host = self.endpoint.partition("://")
        return fs.S3FileSystem(
            access_key=self.keys.id,
            secret_key=self.keys.secret,
            session_token=self.keys.token or None,
            region=self.keys.region,
            scheme=scheme,
            endpoint_override=host,
            force_virtual_addressing=self.is_hosted,
            connect_timeout=self.connect_seconds,
            request_timeout=self.request_seconds,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=RETRIES),
            allow_delayed_open=True,
        )


def build_bucket(base: str, options: Mapping[str, str]) -> Bucket | None:
    """The bucket that valid options reach; None if they have no keys."""
    if KEY_ID not in options or SECRET_KEY not in options:
        return None
    region = options.get("s3.region", REGION)
    return Bucket(
        base,
        options.get("s3.endpoint", f"https://s3.{region}.amazonaws.com").rstrip("/"),
        Keys(options[KEY_ID], options[SECRET_KEY], options.get("s3.session-token", ""), region),
        options.get("s3.path-style-access") == "false",
        int(options.get("s3.connect-timeout-ms", "5000")) / 1000,
        int(options.get("s3.request-timeout-ms", "30000")) / 1000,
    )
