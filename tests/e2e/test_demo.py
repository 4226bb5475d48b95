"""`make demo` as a user runs it: without a terminal it ends by itself, on one it stays until Ctrl-C and leaves nothing."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from demo.story import STORY
from demo.walk import ROOT
from tests.localkube.cluster import LocalKube, eventually
from tests.localkube.plugin import default_images

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("local_only")]


SIMULATOR = {"command": [sys.executable, "-m", "tests.simulators.coinbase"], "workingDir": str(ROOT), "user": 65532}


def processes_of(folder: Path) -> list[str]:
    """Command lines of living processes that belong to a demo's cluster."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if entry.name.isdigit() and str(folder) in line and int(entry.name) != os.getpid():
            found.append(line)
    return found


def test_without_a_terminal_it_tells_the_whole_story_and_ends(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo = subprocess.run(
        [sys.executable, "-m", "demo", "--dir", str(folder)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    for step in STORY:
        assert f"── {step.title}\n" in demo.stdout
    assert re.search(r"First rows seen \d+\.\d s after `kubectl apply`", demo.stdout)
    assert re.search(r"Memory: operator \d+ MB, runner \d+ MB", demo.stdout)
    assert not folder.exists()
    assert processes_of(folder) == []


def test_ctrl_c_while_the_cluster_starts_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo = subprocess.Popen(
        [sys.executable, "-m", "demo", "--dir", str(folder)], cwd=ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    eventually(lambda: processes_of(folder / "cluster"), what="the cluster starts")
    demo.send_signal(signal.SIGINT)
    said, _ = demo.communicate(timeout=120)
    assert demo.returncode == 130, said
    assert "Traceback" not in said
    assert not folder.exists()
    eventually(lambda: processes_of(folder) == [], what="nothing is left")


def test_on_a_given_cluster_it_deletes_what_it_made(tmp_path: Path) -> None:
    """The given one is a localkube, too; the demo does not know."""
    images: dict[str, Any] = {**default_images(), "coinbase-simulator:dev": SIMULATOR}
    given = LocalKube.start(tmp_path / "given", images)
    try:
        before = given.kubectl("get", "crd,namespaces,clusterroles,clusterrolebindings", "-o", "name")
        demo = subprocess.run(
            [sys.executable, "-m", "demo", "--on-my-cluster", "--dir", str(tmp_path / "demo")],
            cwd=ROOT,
            env={
                **os.environ,
                "KUBECONFIG": str(given.kubeconfig),
                "PATH": f"{Path(given.kubectl_program).parent}:{os.environ['PATH']}",
                "OPERATOR_IMAGE": "connector-operator:dev",
                "RUNNER_IMAGE": "connector-runner:dev",
                "SIMULATOR_IMAGE": "coinbase-simulator:dev",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
        )
        assert demo.returncode == 0, demo.stdout + demo.stderr
        assert given.kubectl("get", "crd,namespaces,clusterroles,clusterrolebindings", "-o", "name") == before
        eventually(lambda: given.get("pods,pvc,pv", "-A")["items"] == [], what="nothing is left")
        assert not (tmp_path / "demo").exists()
    finally:
        given.stop()


def play_on(folder: Path) -> None:
    """Types what docs/demo.md says for a second terminal: the console answers at its address, and takes the token."""
    page = (ROOT / "docs/demo.md").read_text().split("## Play on")[1]
    script = "".join(re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)[:2])
    assert ".build/demo/" in script
    script = script.replace(".build/demo", str(folder))
    typed = subprocess.run(
        ["bash", "-e", "-c", f"{script}kubectl connectors status"],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert typed.returncode == 0, typed.stdout + typed.stderr
    assert "There are no connectors in the namespace default" in typed.stderr
    address, token = typed.stdout.splitlines()[-2:]
    call = ["curl", "-sS", "-H", f"Authorization: Bearer {token}", f"{address}/v1/fleet"]
    assert json.loads(subprocess.check_output(call, text=True))["namespace"] == "default"


def test_on_a_terminal_it_stays_until_ctrl_c_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    ours, theirs = pty.openpty()
    demo = subprocess.Popen(
        [sys.executable, "-m", "demo", "--dir", str(folder)], cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    guard = threading.Timer(800, demo.kill)  # so that a demo that hangs fails the test instead of the run
    guard.start()
    said = ""
    try:
        while "The cluster stays up until Ctrl-C" not in said:
            said += os.read(ours, 65536).decode(errors="replace")
        assert processes_of(folder)
        play_on(folder)
        demo.send_signal(signal.SIGINT)
        while demo.poll() is None:
            try:
                said += os.read(ours, 65536).decode(errors="replace")
            except OSError:  # the other end is closed
                demo.wait()
    except OSError:
        pytest.fail(f"the demo ended early:\n{said}")
    finally:
        guard.cancel()
        demo.kill()
        os.close(ours)
    assert demo.returncode == 0, said
    assert not folder.exists()
    assert processes_of(folder) == []
