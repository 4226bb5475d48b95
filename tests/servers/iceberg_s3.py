"""Apache Iceberg's REST catalogue with its tables in a bucket: the same server with what it needs for S3 from Maven."""

from __future__ import annotations

from pathlib import Path

from tests.servers.fetch import maven_artifact, once
from tests.servers.iceberg_rest import VERSION, IcebergRestServer
from tests.servers.s3 import BUCKET, KEY_ID, SECRET_KEY, S3Server

FAILSAFE = "dev.failsafe:failsafe:3.3.2"


def iceberg_s3() -> Path:
    """The folder with what the server needs besides for tables on S3; the first call fetches it."""
    return once(f"iceberg_s3-{VERSION}", _fetch_s3)


def _fetch_s3(home: Path) -> None:
    iceberg = [f"org.apache.iceberg:{name}:{VERSION}" for name in ("iceberg-aws", "iceberg-aws-bundle")]
    for coordinates in (*iceberg, FAILSAFE):
        maven_artifact(coordinates, home)


class IcebergS3Server(IcebergRestServer):
    """A catalogue whose tables are in a bucket. It gives its clients no keys.

    Args:
        store: Where the bucket is.
        bucket: Its name.
    """

    def __init__(self, store: S3Server, bucket: str = BUCKET) -> None:
        super().__init__()
        self._classes += f":{iceberg_s3()}/*"
        self.store = store
        self._bucket = bucket

    def files(self) -> dict[str, str]:
        return {
            "CATALOG_WAREHOUSE": f"s3://{self._bucket}/warehouse",
            "CATALOG_IO__IMPL": "org.apache.iceberg.aws.s3.S3FileIO",
            "CATALOG_S3_ENDPOINT": self.store.endpoint,
            "CATALOG_S3_ACCESS__KEY__ID": KEY_ID,
            "CATALOG_S3_SECRET__ACCESS__KEY": SECRET_KEY,
            "CATALOG_S3_PATH__STYLE__ACCESS": "true",
            "CATALOG_CLIENT_REGION": self.store.region,
        }
