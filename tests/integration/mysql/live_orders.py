"""A runner of a selection as in a pod, whose orders change while it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from connector_runner.manifests import orders_from_file
from connector_runner.schemas.manifest import encode_variables
from tests.integration.mysql.selecting import Selection
from tests.servers.mysqld import ADMIN_PASSWORD

if TYPE_CHECKING:  # conftest builds these
    from tests.integration.mysql.conftest import Database


class PodSelection(Selection):
    """A runner that gets its orders as in a pod: the manifest in the environment, the selection also in a folder that changes."""

    def __init__(
        self, folder: Path, database: Database, name: str, dataset: dict[str, Any] | None = None, **streams: Any
    ) -> None:
        super().__init__(folder, database, "sqlite:///many.db", name, **streams)
        self.set_dataset(**(dataset or {}))
        self.orders = folder / "orders"
        self.folder = folder
        manifest = orders_from_file(self.manifest).manifest
        assert manifest.dataset is not None
        login = {**manifest.config, "password": ADMIN_PASSWORD}
        target = msgspec.structs.replace(manifest.dataset, url=self.url)
        self.inner = msgspec.structs.replace(manifest, config=login, config_from=0, secrets=(), dataset=target)

    def order(self, **streams: Any) -> None:
        """Changes the orders as the kubelet does: whole, by a rename."""
        self.orders.mkdir(exist_ok=True)
        fresh = self.folder / "fresh.json"
        fresh.write_text(json.dumps({**streams, "number": 1}))
        fresh.rename(self.orders / "selection.json")

    def start(self) -> None:
        self.inner = msgspec.structs.replace(self.inner, run=self.inner.run + 1)
        environment = {**os.environ, "CONNECTOR_ORDERS_DIR": str(self.orders), **encode_variables(self.inner)}
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "connector_runner.cli", "run"],
                cwd=self.folder, env=environment, stdout=output, stderr=output,
            )  # fmt: skip
