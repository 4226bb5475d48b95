"""What the dataset knows better than the cluster: run numbers of a status that went back in time, and who holds a table."""

from __future__ import annotations

import json
import shlex
import sqlite3
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.local_operator import operator, start_bare
from tests.e2e.test_coinbase import VOLUME
from tests.kit.cluster import Kit
from tests.localkube.cluster import LocalKube, eventually
from tests.simulators.coinbase.process import Simulator


@pytest.fixture(scope="module")
def bare(local_only: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    cluster = start_bare(tmp_path_factory.mktemp("bare"))
    yield cluster
    cluster.stop()


@pytest.fixture
def place(bare: LocalKube, request: pytest.FixtureRequest) -> Kit:
    """A namespace with a SQLite dataset on a volume, for the real runner."""
    name = f"n{abs(hash(request.node.name)) % 10**8}"
    bare.kubectl("create", "namespace", name)
    kit = Kit(bare, name)
    kit.kubectl("apply", "-f", "-", input=json.dumps(VOLUME))
    kit.dataset(url="sqlite:///market.db", volumeClaim="rows")
    return kit


def flags(kit: Kit) -> tuple[str, ...]:
    names = (f"--namespaces={kit.namespace}", f"--lease-namespace={kit.namespace}")
    return (*names, "--runner-image=connector-runner:dev", "--runner-pull-policy=Never")


def query(kit: Kit, sql: str) -> list[tuple[Any, ...]]:
    path = kit.cluster.volume_path(kit.namespace, "rows") / "market.db"  # type: ignore[attr-defined]
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def forget(kit: Kit, name: str, **status: Any) -> None:
    """Takes a status back to what it was once, as a restore of etcd would."""
    kept = {"run": 0, "lastExecution": None, "ordered": None, "held": None, "retry": None, **status}
    kit.kubectl("patch", "connector", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": kept}))


def test_a_table_is_taken_over_by_kubectl_with_its_position(place: Kit, tmp_path: Path) -> None:
    with (
        Simulator(products="BTC-USD", rate=40) as simulator,
        operator(place.cluster.kubeconfig, tmp_path, *flags(place)),
    ):
        spec: dict[str, Any] = {"config": simulator.config("BTC-USD"), "selectedStream": "matches", "datasetId": "rows"}
        place.run("old", **spec)
        eventually(lambda: query(place, "SELECT count(*) FROM rows")[0][0] > 20, what="rows")
        place.apply("new", **spec, status="running")
        place.wait("new", "errored", reason="SchemaConflict", ready=False)
        command = place.condition("new")["message"].partition("kubectl ")[2].partition("}}}'")[0] + "}}}'"
        place.kubectl(*shlex.split(command))
        place.wait("new", "errored", reason="SchemaConflict", ready=False)  # the old one has a live Job
        assert query(place, "SELECT connector FROM _connector_checkpoints") == [(f"{place.namespace}/old",)]
        place.kubectl("delete", "connector", "old", "--cascade=foreground")
        place.patch("new", takeOver=None)
        place.kubectl(*shlex.split(command))
        place.wait("new", "running", ready=True)
        assert query(place, "SELECT connector, epoch FROM _connector_checkpoints") == [(f"{place.namespace}/new", 2)]
        told = query(place, "SELECT connector, kind FROM rows_incidents WHERE kind = 'takeover'")
        assert told == [(f"{place.namespace}/new", "takeover")]
        place.patch("new", restartedAt="now")
        place.wait_next_run("new", place.status("new")["run"])
        assert len(query(place, "SELECT 1 FROM rows_incidents WHERE kind = 'takeover'")) == 1
        events = place.cluster.get("events", "-n", place.namespace)["items"]
        assert not [e for e in events if "ried again at" in e["message"]], "an event that changes with the clock"


@pytest.mark.fault
def test_a_status_that_goes_back_in_time_recovers(place: Kit, tmp_path: Path) -> None:
    with Simulator(products="BTC-USD", rate=40) as simulator:
        with operator(place.cluster.kubeconfig, tmp_path, *flags(place)):
            place.run("c", config=simulator.config("BTC-USD"), selectedStream="matches")
            for number in range(1, 4):
                place.patch("c", restartedAt=f"{number}")
                place.wait_next_run("c", number)
            place.patch("c", status="stopped")
            place.wait("c", "stopped", ready=True)
        forget(place, "c")
        with operator(place.cluster.kubeconfig, tmp_path, *flags(place)):
            place.patch("c", status="running")
            place.wait("c", "errored", reason="FenceLost", ready=False)
            assert "run 4 has already claimed" in place.condition("c")["message"]
            place.wait("c", "running", ready=True, timeout=180)
            assert place.status("c")["run"] == 5


def test_a_run_number_set_by_hand_to_the_largest_integer_blocks_nothing(kit: Kit) -> None:
    kit.run("c")
    forget(kit, "c", run=2**63 - 1)
    kit.patch("c", restartedAt="now")
    eventually(lambda: kit.wait("c", "running", ready=True, timeout=0)["run"] == 2, timeout=90, what="run 2")


FAST_CLOCK = """
import sys
from datetime import UTC, datetime, timedelta
from connector_operator.cluster import clock, client
ahead = lambda: datetime.now(UTC) + timedelta(seconds=SECONDS)
clock.local_now = client.local_now = ahead
from connector_operator.cli import main
sys.exit(main())
"""


@pytest.mark.fault
@pytest.mark.parametrize("ahead", [timedelta(minutes=5)], ids=["5-min-ahead"])
def test_a_clock_that_is_ahead_kills_and_loses_nothing(place: Kit, tmp_path: Path, ahead: timedelta) -> None:
    script = tmp_path / "fast_clock.py"
    script.write_text(FAST_CLOCK.replace("SECONDS", str(ahead.total_seconds())))
    images = ("--runner-image=null-runner:test", "--runner-pull-policy=Never")
    program = [sys.executable, str(script)]
    with operator(place.cluster.kubeconfig, tmp_path, *flags(place)[:2], *images, program=program) as log:
        place.run("c")
        place.patch("c", restartedAt="now")
        status = place.wait_next_run("c", 1)
        assert status["lastExecution"]["reason"] == "Replaced"
        assert "killed" not in status["lastExecution"]["message"]
        place.patch("c", status="stopped")
        status = place.wait("c", "stopped", ready=True)
        assert "killed" not in status["lastExecution"]["message"]
        assert "clock is 300 s ahead" in log.read_text()
