"""Options of datasets on S3: which there are, under the names that Iceberg's engines use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from connector_runner.schemas.datasets.descriptor import Option

KEY_ID, SECRET_KEY = "s3.access-key-id", "s3.secret-access-key"
REGION = "us-east-1"
"""The region without the option; most stores that are not Amazon's take it."""
S3_OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        KEY_ID: Option("the access key; required"),
        SECRET_KEY: Option("its secret; required", is_secret=True),
        "s3.session-token": Option("the session token of temporary keys", is_secret=True),
        "s3.region": Option("the region of the bucket", pattern=r"[a-z0-9-]{1,40}", expected="a region, as in eu-central-1", default=REGION),
        "s3.endpoint": Option(
            "the store, if it is not Amazon's; `http://` is not encrypted",
            pattern=r"https?://[^\s/@?#]+/?",
            expected="a URL of a scheme, a host and a port, as in https://minio:9000",
            default="Amazon's of the region",
        ),
        "s3.path-style-access": Option(
            "whether the bucket is in the path (`true`) or in the name of the host", values=("true", "false"), default="true"
        ),
        "s3.connect-timeout-ms": Option("how long connecting may take", between=(100, 60_000), default="5000"),
        "s3.request-timeout-ms": Option("how long a request may take", between=(1000, 300_000), default="30000"),
    }
)  # fmt: skip
_URL = "the URL names the bucket"
REFUSED_S3_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "s3.bucket": _URL,
        "s3.sse.type": "the bucket's default encryption does it",
        "s3.sse.key": "the bucket's default encryption does it",
        "aws_access_key_id": f"its name here is {KEY_ID}",
        "aws_secret_access_key": f"its name here is {SECRET_KEY}",
        "aws_session_token": "its name here is s3.session-token",
        "aws_region": "its name here is s3.region",
        "aws_endpoint": "its name here is s3.endpoint",
        "aws_endpoint_url": "its name here is s3.endpoint",
        "aws_conditional_put": "the promise rests on it, and the runner sets it",
        "aws_s3_allow_unsafe_rename": "the promise rests on conditional writes",
        "aws_s3_locking_provider": "the promise rests on conditional writes; no lock table is used",
        "allow_invalid_certificates": "whoever answers would be believed",
        "allow_http": "an s3.endpoint that begins with http:// says so",
        "aws_allow_http": "an s3.endpoint that begins with http:// says so",
    }
)


def check_s3_options(options: Mapping[str, str]) -> Iterator[str]:
    """See `Descriptor.check_options`."""
    if (KEY_ID in options) != (SECRET_KEY in options):
        yield f"{KEY_ID} and {SECRET_KEY} belong together; give both"
