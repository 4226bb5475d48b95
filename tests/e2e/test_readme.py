"""What the README tells people to type: each of its shell blocks is run by a test, and no block is left out."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from demo.document import build_walkthrough
from demo.walk import ROOT
from tests.localkube.cluster import Cluster
from tests.servers.ports import free_port

BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


def block_with(words: str) -> str:
    """The one block that has these words."""
    (found,) = (block for block in BLOCKS if words in block)
    return str(found)


def test_every_block_has_a_test() -> None:
    tested = {
        block_with("make demo"),  # test_demo.py, and CI
        block_with("kubectl apply -f demo/dataset.yaml"),  # test_demo.py runs the same list
        block_with("connector-runner run"),  # below
        block_with("docker build"),  # below
        block_with("rolebinding"),  # test_api_walk.py types it
        block_with("curl"),  # test_api_walk.py runs the same list
    }
    assert set(BLOCKS) == tested
    assert build_walkthrough() == f"```sh\n{block_with('demo/dataset.yaml')}```"


def test_the_runner_alone(tmp_path: Path) -> None:
    """The block as it stands, but for the port, the folder of the rows, and `make venv`, which has run."""
    port = str(free_port())
    script = block_with("connector-runner run").replace("make venv\n", "").replace("8765", port)
    assert port in script
    shutil.copytree(ROOT / "demo", tmp_path / "demo")
    manifest = tmp_path / "demo" / "by-hand.yaml"
    manifest.write_text(manifest.read_text().replace("8765", port))
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    # The simulator is up when it listens; a reader's typing takes longer than a script's.
    script = script.replace("&\n", f"&\nuntil (echo > /dev/tcp/127.0.0.1/{port}) 2> /dev/null; do sleep 0.1; done\n", 1)
    shell = subprocess.Popen(
        ["bash", "-m", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=120)
    finally:
        stop_group(shell.pid)
    assert "matches" in output, output
    assert re.search(r"(BTC|ETH)-USD +\d{4,}", output.split("extra")[-1]), output


def stop_group(group: int) -> None:
    """Whatever the block has left running."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.mark.parametrize("overlay", ["cluster-wide", "namespaced", "localkube"])
def test_each_install_is_accepted_by_the_api_server(cluster: Cluster, overlay: str) -> None:
    assert "-k manifests/cluster-wide" in block_with("docker build")
    for image in re.findall(r"-f (\S+Dockerfile)", block_with("docker build")):
        assert (ROOT / image).is_file()
    rendered = cluster.kubectl("kustomize", str(ROOT / "manifests" / overlay))
    parts = [part for part in rendered.split("\n---\n") if "\nkind: Namespace\n" not in f"\n{part}"]
    cluster.kubectl("create", "namespace", "connector-operator", check=False)
    answer = cluster.kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", input="\n---\n".join(parts)
    )
    assert answer.count("serverside-applied") == len(parts)
