"""Apache Iceberg's own REST catalogue (its reference server) from Maven, over a file of SQLite and a folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from tests.servers.fetch import once, run_client
from tests.servers.process import ServerProcess

VERSION = "1.10.0"
POM = Path(__file__).with_name("iceberg_rest.pom.xml")
JAVA = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]  # fmt: skip


def iceberg_rest() -> Path:
    """The folder with the libraries; the first call fetches it."""
    return once(f"iceberg_rest-{VERSION}", _fetch)


def _fetch(home: Path) -> None:
    copy = ["mvn", "-q", "-B", "-C", "-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    run_client([*copy, f"-Dversion.iceberg={VERSION}", f"-DoutputDirectory={home / 'libraries'}"])


class IcebergRestServer(ServerProcess):
    """A catalogue; its tables are on the file system. It takes any token, and looks at none.

    Attributes:
        warehouse: The folder of its tables.
        url: What clients ask.
    """

    def __init__(self) -> None:
        super().__init__("iceberg-rest")
        self._classes = f"{iceberg_rest() / 'libraries'}/*"
        self.warehouse = self.directory / "warehouse"
        self.warehouse.mkdir()
        self.url = f"http://{self.host}:{self.port}"

    def command(self) -> Sequence[str | Path]:
        return [*JAVA, "-cp", self._classes, "org.apache.iceberg.rest.RESTCatalogServer"]

    def spawn_options(self) -> dict[str, Any]:
        settings = {
            "CATALOG_CATALOG__IMPL": "org.apache.iceberg.jdbc.JdbcCatalog",
            "CATALOG_URI": f"jdbc:sqlite:{self.directory / 'catalog.db'}?journal_mode=WAL&busy_timeout=30000",
            "CATALOG_CLIENTS": "1",  # two connections lock one another out of SQLite's file, for ever
            "CATALOG_REST_PORT": str(self.port),
            **self.files(),
        }
        return {"stdin": subprocess.DEVNULL, "env": {**os.environ, **settings}}

    def files(self) -> dict[str, str]:
        """Where the tables are, as settings."""
        return {"CATALOG_WAREHOUSE": f"file://{self.warehouse}"}

    def is_ready(self) -> bool:
        return requests.get(f"{self.url}/v1/config", timeout=5).ok
