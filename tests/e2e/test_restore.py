"""Backup and restore of docs/backup.md: objects come back without status and with other UIDs, the dataset is still there or of an earlier moment.

Rows are kept as a history, so that one written twice would be seen.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.e2e.backups import back_up, restore
from tests.e2e.local_operator import operator, start_bare
from tests.e2e.test_coinbase import VOLUME
from tests.kit.cluster import Kit
from tests.localkube.cluster import LocalKube, eventually
from tests.servers.postgresql import PostgresServer
from tests.simulators.coinbase.process import Simulator

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]
FLAGS = ("--runner-image=connector-runner:dev", "--runner-pull-policy=Never")
OBJECTS = ("secrets", "connectors.apperate.io", "datasets.apperate.io")
EXACT = "SELECT count(*), count(DISTINCT trade_id), max(trade_id) - min(trade_id) + 1 FROM rows"


@pytest.fixture
def bare(local_only: None, tmp_path: Path) -> Iterator[LocalKube]:
    cluster = start_bare(tmp_path / "cluster")
    yield cluster
    cluster.stop()


def make_namespace(cluster: LocalKube, name: str) -> Kit:
    cluster.kubectl("create", "namespace", name)
    return Kit(cluster, name)


def lose(kit: Kit) -> None:
    """The accident: the whole namespace is deleted, and an empty one of its name made."""
    kit.cluster.kubectl("delete", "namespace", kit.namespace, "--timeout=180s")
    kit.cluster.kubectl("create", "namespace", kit.namespace)


def file_of(kit: Kit) -> Path:
    assert isinstance(kit.cluster, LocalKube)
    return kit.cluster.volume_path(kit.namespace, "rows") / "market.db"


def count_in(path: Path) -> int:
    """How many trades the file holds: each once, none left out.

    Raises:
        AssertionError: One is missing, or there twice.
    """
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        return check(connection.execute(EXACT).fetchone())


def check(found: tuple[int, int, int] | None) -> int:
    assert found is not None
    count, different, span = found
    assert count == different == (span or 0), (
        f"{count} trades, {different} different ones, {span} numbers from first to last"
    )
    return count


def test_objects_come_back_beside_their_dataset(bare: LocalKube, tmp_path: Path) -> None:
    """The usual case: the dataset is elsewhere. Its rows go on behind the last one, though no UID is what it was."""
    kit = make_namespace(bare, "market")
    with (
        Simulator(products="BTC-USD", rate=40) as simulator,
        PostgresServer() as postgres,
        operator(bare.kubeconfig, tmp_path, *FLAGS),
    ):
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "db"},
            "stringData": {"url": postgres.url()},
        }
        kit.kubectl("apply", "-f", "-", input=json.dumps(secret))
        kit.dataset(urlFrom={"secretKeyRef": {"name": "db", "key": "url"}}, writeMode="append")
        kit.run("trades", config=simulator.config("BTC-USD"), selectedStream="matches")
        with psycopg.connect(postgres.url(), autocommit=True) as session:

            def count() -> int:
                return check(session.execute(EXACT).fetchone())

            eventually(lambda: count() > 50, what="trades")
            objects, uid = back_up(kit, OBJECTS), kit.get("trades")["metadata"]["uid"]
            lose(kit)
            before = count()
            restore(kit, objects)
            kit.wait("trades", "running", ready=True)
            assert kit.get("trades")["metadata"]["uid"] != uid
            assert kit.status("trades")["run"] == 1
            eventually(lambda: count() > before + 50, what="more trades")
            holders = session.execute("SELECT epoch, uid = %s FROM _connector_checkpoints", (uid,)).fetchall()
            assert holders == [(2, False)]
            assert session.execute("SELECT kind FROM rows_incidents").fetchall() == []


def test_all_of_a_namespace_comes_back_with_an_earlier_volume(bare: LocalKube, tmp_path: Path) -> None:
    """As Velero brings it back, with a Job and a pod that nobody owns. The Job is removed; the pod may hold the dataset, so it is reported with
    the command that ends it, and nothing starts beside it. What the volume lacks is fetched again."""
    kit = make_namespace(bare, "market")
    with Simulator(products="BTC-USD", rate=40) as simulator, operator(bare.kubeconfig, tmp_path, *FLAGS):
        kit.kubectl("apply", "-f", "-", input=json.dumps(VOLUME))
        kit.dataset(url="sqlite:///market.db", volumeClaim="rows", writeMode="append")
        kit.run("trades", config=simulator.config("BTC-USD"), selectedStream="matches")
        eventually(lambda: count_in(file_of(kit)) > 50, what="trades")
        snapshot = tmp_path / "snapshot.db"
        with closing(sqlite3.connect(file_of(kit))) as live, closing(sqlite3.connect(snapshot)) as kept:
            live.backup(kept)
        kept_count = count_in(snapshot)
        kit.patch("trades", restartedAt="after the snapshot")
        kit.wait_next_run("trades", 1)
        eventually(lambda: count_in(file_of(kit)) > kept_count + 50, what="more trades")
        objects, (old,) = back_up(kit), {pod["metadata"]["name"] for pod in kit.pods("trades")} - ended(kit)
        lose(kit)
        claims = [one for one in objects if one["kind"] == "PersistentVolumeClaim"]
        restore(kit, claims)
        eventually(lambda: file_of(kit).parent.exists(), what="the volume")
        shutil.copy(snapshot, file_of(kit))
        file_of(kit).chmod(0o666)  # what a cluster's fsGroup does
        restore(kit, [one for one in objects if one not in claims])
        # Run 2 is later than the volume knows, so the pod that came back carries rows as if nothing had happened.
        eventually(lambda: count_in(file_of(kit)) > kept_count, what="rows by the pod that nobody owns")
        message = kit.wait_condition("trades", "Ready", "PodOrphaned")["message"]
        assert old in message
        command = message.partition("delete it with: kubectl ")[2].rstrip(".")
        kit.cluster.kubectl(*command.split())
        kit.wait("trades", "running", ready=True)
        assert kit.status("trades")["run"] == 1
        carried = count_in(file_of(kit))
        eventually(lambda: count_in(file_of(kit)) > carried + 50, what="more trades")
        assert old not in {pod["metadata"]["name"] for pod in kit.pods("trades")}
        assert len(kit.jobs("trades")) == 1


def ended(kit: Kit) -> set[str]:
    """The connector's pods that have ended."""
    return {pod["metadata"]["name"] for pod in kit.pods("trades") if pod["status"]["phase"] in {"Succeeded", "Failed"}}
