"""From an earlier commit to this one, both built live: operator and runner of then with running connectors, then those of today.

The commits: 55ac9cc wrote the recorded objects of `tests/unit/operator/test_upgrade.py`; 9962854 is the last one before the roll-out of images.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.examples import rows_in
from tests.e2e.local_operator import operator, start_bare
from tests.kit.cluster import ROOT, Kit
from tests.localkube.cluster import Image, LocalKube, eventually
from tests.localkube.plugin import default_images
from tests.servers.mysql import mysql
from tests.servers.mysqld import DatabaseServer

COMMITS = ("55ac9cc", "9962854")
TABLES = ("a", "b", "c")
LOGIN = {"user": "connector", "password": "connector-password"}
PATIENCE = 180.0
OLD, NEW = "old-runner:1", "connector-runner:dev"
CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "shop"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
pytestmark = [pytest.mark.fault, pytest.mark.timeout(1800)]


class Version:
    """An earlier commit's operator and runner, from its own tree, with today's Python and libraries."""

    def __init__(self, commit: str, folder: Path) -> None:
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
        folder.mkdir()
        subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
        folder.chmod(0o755)
        self.folder = folder

    def program(self, module: str) -> list[str]:
        paths = [str(self.folder / "operator"), str(self.folder)]
        start = f"import sys; sys.path[:0] = {paths!r}; from {module}.cli import main; sys.exit(main())"
        return [sys.executable, "-c", start]

    def image(self) -> Image:
        return {"command": self.program("connector_runner"), "env": {"PYTHONUNBUFFERED": "1"}, "user": 65532}


@pytest.fixture(scope="module")
def server() -> Iterator[DatabaseServer]:
    with DatabaseServer(mysql(), ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]) as server:
        server.execute("CREATE DATABASE shop")
        server.execute(
            f"CREATE USER {LOGIN['user']}@'%' IDENTIFIED BY '{LOGIN['password']}'",
            f"GRANT SELECT, LOCK TABLES ON shop.* TO {LOGIN['user']}@'%'",
            f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {LOGIN['user']}@'%'",
        )
        yield server


@pytest.fixture(params=COMMITS)
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Version:
    base = tmp_path_factory.mktemp("old")
    base.chmod(0o755)
    return Version(request.param, base / request.param)


@pytest.fixture
def shop(old: Version, server: DatabaseServer, tmp_path: Path, local_only: None) -> Iterator[Shop]:
    cluster = start_bare(tmp_path / "cluster")
    cluster.map_images({**default_images(), OLD: old.image()})
    cluster.kubectl("delete", "crd", "--all")
    cluster.kubectl("apply", "--server-side", *(f"-f={path}" for path in sorted(old.folder.glob("crds/*s.yaml"))))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    for table in TABLES:
        server.execute(f"CREATE TABLE shop.{table} (id INT AUTO_INCREMENT PRIMARY KEY, note VARCHAR(80))")
    yield Shop(cluster, server)
    cluster.stop()
    server.execute(*(f"DROP TABLE shop.{table}" for table in TABLES))


class Shop:
    """Three tables, a connector for each, into tables of one volume; a connector of its own file each, as SQLite has one writer."""

    def __init__(self, cluster: LocalKube, server: DatabaseServer) -> None:
        self.kit = Kit(cluster, "default")
        self.cluster = cluster
        self.server = server

    def apply(self) -> None:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": LOGIN}
        for document in (secret, CLAIM):
            self.kit.kubectl("apply", "-f", "-", input=json.dumps(document))
        for table in TABLES:
            self.kit.dataset(f"rows-{table}", url=f"sqlite:///{table}.db", volumeClaim="shop", table="shop_rows")
            self.connect(table, selectedStream=f"shop.{table}", datasetId=f"rows-{table}")

    def connect(self, name: str, **fields: Any) -> None:
        config = {"host": self.server.host, "port": self.server.port}
        sources = [{"secretRef": {"name": "login"}}]
        spec = {"connectorType": "MYSQL", "config": config, "configFrom": sources, "status": "running", **fields}
        self.kit.kubectl("apply", "-f", "-", input=json.dumps(self.kit.connector(name, **spec)))

    def write(self, note: str) -> None:
        """New rows in each table, and a change of an earlier one."""
        for table in TABLES:
            self.server.execute(
                f"INSERT INTO shop.{table} (note) VALUES ('{note}'), ('{note}')",
                f"UPDATE shop.{table} SET note = 'changed: {note}' WHERE id = 1",
            )

    def wait_exact(self) -> None:
        """Until the datasets have every row as it is, and no other."""

        def check() -> bool:
            for table in TABLES:
                path = self.cluster.volume_path("default", "shop") / f"{table}.db"
                expected = self.server.query(f"SELECT id, note FROM shop.{table} ORDER BY id")
                found = rows_in(path, "SELECT id, note FROM shop_rows ORDER BY id")
                if found != expected:
                    raise LookupError(f"{table}: {found} instead of {expected}")
            return True

        eventually(check, timeout=PATIENCE, what="the rows")

    def wait_running(self, run: int, image: str) -> None:
        """Until each connector's only live Job is its run of that number, from that image, and ready."""

        def check() -> bool:
            said = {}
            for name in TABLES:
                live = [job for job in self.kit.jobs(name) if not job["status"].get("conditions")]
                made = [job["spec"]["template"]["spec"]["containers"][0]["image"] for job in live]
                ready = [job["status"].get("ready") for job in live]
                said[name] = (self.kit.status(name).get("run"), made, ready)
            if set(map(repr, said.values())) != {repr((run, [image], [1]))}:
                raise LookupError(f"{said}, {[self.kit.condition(name) for name in TABLES]}")
            return True

        eventually(check, timeout=PATIENCE, what=f"run {run} of all from {image}")

    def upgrade_definitions(self) -> None:
        self.cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(ROOT / "crds"))
        self.cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")


def wait_up_to_date(kit: Kit, version: str) -> None:
    """Until none must follow an image any more."""

    def check() -> bool:
        said = {
            name: (kit.status(name).get("runnerVersion"), kit.condition(name, "RunnerUpToDate").get("reason"))
            for name in TABLES
        }
        if set(said.values()) != {(version, "UpToDate")}:
            raise LookupError(f"{said}")
        return True

    eventually(check, timeout=PATIENCE, what=f"all have version {version}")


def test_an_upgrade_loses_no_row_and_restarts_each_runner_once(shop: Shop, old: Version, tmp_path: Path) -> None:
    kit, config = shop.kit, shop.cluster.kubeconfig
    shop.write("copied")
    with operator(config, tmp_path, f"--runner-image={OLD}", program=old.program("connector_operator")):
        shop.apply()
        shop.wait_running(1, OLD)
        shop.write("by the old operator")
        shop.wait_exact()
    shop.upgrade_definitions()
    with operator(config, tmp_path, f"--runner-image={OLD}"):
        wait_up_to_date(kit, "1")
        shop.write("old runner, new operator")
        shop.wait_exact()
        shop.wait_running(1, OLD)  # nothing was restarted
        kit.patch("a", restartedAt="now")
        eventually(
            lambda: kit.status("a")["run"] == 2, timeout=PATIENCE, what="the old runner is started by the new operator"
        )
        kit.wait("a", "running", ready=True, timeout=PATIENCE)
        kit.patch("a", restartedAt="once more")
        eventually(lambda: kit.status("a")["run"] == 3, timeout=PATIENCE, what="the old runner is started again")
        kit.wait("a", "running", ready=True, timeout=PATIENCE)
        shop.write("an old runner that the new operator made")
        shop.wait_exact()
    runs = {name: kit.status(name)["run"] for name in TABLES}
    with operator(config, tmp_path, f"--runner-image={NEW}", "--update-min-ready=1"):
        shop.write("while it is rolled out")
        wait_up_to_date(kit, "dev")
        shop.write("new runner")
        shop.wait_exact()
        assert {name: kit.status(name)["run"] for name in TABLES} == {name: run + 1 for name, run in runs.items()}
    with operator(config, tmp_path, f"--runner-image={NEW}", "--update-min-ready=1"):
        kit.patch("a", description="seen by the same operator again")
        kit.wait("a", "running", ready=True, timeout=PATIENCE)
        shop.write("the same operator again")
        shop.wait_exact()
        assert {name: kit.status(name)["run"] for name in TABLES} == {name: run + 1 for name, run in runs.items()}


def test_going_back_restarts_nobody_and_loses_no_row(shop: Shop, old: Version, tmp_path: Path) -> None:
    kit, config = shop.kit, shop.cluster.kubeconfig
    shop.upgrade_definitions()
    shop.write("copied")
    with operator(config, tmp_path, f"--runner-image={NEW}", "--update-min-ready=1"):
        shop.apply()
        shop.wait_running(1, NEW)
        wait_up_to_date(kit, "dev")
        shop.wait_exact()
    with operator(config, tmp_path, f"--runner-image={OLD}", program=old.program("connector_operator")):
        shop.write("the old operator, the new runner")
        shop.wait_exact()
        shop.wait_running(1, NEW)
        kit.patch("a", restartedAt="now")
        eventually(lambda: kit.status("a")["run"] == 2, timeout=PATIENCE, what="the old runner follows")
        kit.wait("a", "running", ready=True, timeout=PATIENCE)
        shop.write("the old runner goes on where the new one was")
        shop.wait_exact()
        assert all(c["type"] != "RunnerUpToDate" for c in kit.status("a")["conditions"]), "it is nobody's any more"
