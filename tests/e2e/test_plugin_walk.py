"""The walk of docs/kubectl-connectors.md, typed as it stands there, on a whole cluster with real runners."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from demo.stage import pod_address, prepare_own_cluster
from demo.walk import ROOT, walk
from tests.localkube.build import ensure_binary
from tests.localkube.cluster import eventually

PAGE = (ROOT / "docs/kubectl-connectors.md").read_text()
PATIENCE = 120.0
pytestmark = [
    pytest.mark.fault,
    pytest.mark.timeout(1200),
    pytest.mark.skipif("CONNECTOR_TEST_KUBECONFIG" in os.environ, reason="needs a cluster of its own"),
]
SAID = (
    r"^first: applied\n",
    r"\nfirst +COINBASE +pending +False +Unavailable +ticker ",
    r"^first: pending \(Unavailable\), not as you ask for.*\n.*ws://nowhere:8080 can't be reached",
    r"^first: applied\n",
    r"\nfirst +COINBASE +running +True +Running +ticker ",
    r"^first: running \(Running\), as you ask for",
    r"^STREAM .*\nticker +yes .*\nticker_batch +no ",
    r"^STREAM .*\nticker +yes .*\nticker_batch +no ",
    r"^product_id +sequence .*\n(BTC|LINK)-USD .*\n(BTC|LINK)-USD ",
    r"^NAME +ROWS/S .*\nfirst ",
    r"the dataset is claimed",
    r"^first: applied\n",
    r"not as you ask for.*\n.*tiker",
    r"^first: applied\n",
    r"source +streams +ok",
    r"^first: asked to run\n",
    r"\nfirst +COINBASE +running +True +Running +ticker ",
    r"^first: asked to stop\n",
    r"\nfirst +COINBASE +stopped +True +Stopped +ticker ",
    r"^first: deleted",
)
"""What each command of the walk prints, in order; what only looks is typed until it does."""
LOOKS = {"status", "why", "streams", "rows", "top", "logs", "check"}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """The environment of a shell for the demo's cluster, with operator, Dataset and simulated exchange."""
    ensure_binary()
    with prepare_own_cluster(print, tmp_path) as stage:
        walk(stage.install, stage.environment, print)
        folders = f"{Path(sys.executable).parent}:{stage.environment['PATH']}"
        shell = {**os.environ, **stage.environment, "PATH": folders}
        assert "created" in type_line(shell, "kubectl apply -f demo/dataset.yaml").stdout
        yield {**shell, "SIMULATOR": pod_address("-l app=coinbase-simulator", stage.environment)}


def type_line(shell: Mapping[str, str], line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line], env=shell, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def test_the_walk_of_the_page(shell: Mapping[str, str]) -> None:
    walked = PAGE.partition("## A connector's life by the plugin alone\n")[2].partition("\n## ")[0]
    lines = [line for line in walked.split("\n") if line.startswith("connectors ")]
    assert len(lines) == len(SAID)
    for line, pattern in zip(lines, SAID, strict=True):
        # A cluster without a name server: the page has the name, which is the Service's.
        typed = line.replace("coinbase-simulator:8080", f"{shell['SIMULATOR']}:8080")

        def look(typed: str = typed, pattern: str = pattern) -> bool:
            done = type_line(shell, typed)
            assert done.returncode == 0, done.stdout + done.stderr
            assert re.search(pattern, done.stdout), done.stdout + done.stderr
            return True

        eventually(look, timeout=PATIENCE if line.split()[1] in LOOKS else 1.0, what=line)
    eventually(
        lambda: type_line(shell, "connectors why first").stderr.startswith("There is no first"),
        timeout=PATIENCE,
        what="it is gone",
    )
    rows_of_one_of_several_streams(shell)


def rows_of_one_of_several_streams(shell: Mapping[str, str]) -> None:
    """`rows` of a selection asks for the stream, and shows the rows of the one that is named."""
    at = f"--set url=ws://{shell['SIMULATOR']}:8080 --set restUrl=http://{shell['SIMULATOR']}:8080"
    made = f"connectors new COINBASE --name several --dataset YOUR_DATASET {at} --set productId=BTC-USD"
    assert type_line(shell, f"{made} --stream ticker --stream matches --start --apply").returncode == 0
    eventually(
        lambda: "running (Running), as you ask for" in type_line(shell, "connectors why several").stdout,
        timeout=PATIENCE,
        what="it runs",
    )
    refusal = type_line(shell, "connectors rows several").stderr
    assert refusal == "several carries many streams; say which one. By --stream: ticker, matches.\n", refusal
    for stream, column in (("ticker", "best_bid"), ("matches", "trade_id")):

        def has_rows(stream: str = stream, column: str = column) -> bool:
            done = type_line(shell, f"connectors rows several --stream {stream} --limit 2 --vertical")
            assert done.returncode == 0, done.stderr
            return f"\n{column} " in done.stdout

        eventually(has_rows, timeout=PATIENCE, what=f"the rows of {stream}")
