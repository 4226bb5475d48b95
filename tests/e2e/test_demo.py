"""`make demo` as a user runs it: without a terminal it ends by itself, on one it stays until Ctrl-C and leaves nothing."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from demo.story import STORY
from demo.walk import ROOT

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("local_only")]


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
    assert not folder.exists()
    assert processes_of(folder) == []


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
