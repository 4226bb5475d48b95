"""A terminal, and `connectors` typed at a cluster without an operator, whose connectors have statuses that a test wrote."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path

from tests.kit.cluster import PATIENCE
from tests.localkube.cluster import LocalKube


def environment(local: LocalKube, kubeconfig: Path | None = None) -> Mapping[str, str]:
    folders = [str(Path(local.kubectl_program).parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    shell = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig or local.kubeconfig),
        "PATH": os.pathsep.join(folders),
        "TERM": "xterm",
    }
    return {name: value for name, value in shell.items() if name not in {"COLUMNS", "LINES"}}


def run(
    local: LocalKube, *arguments: str, kubeconfig: Path | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["connectors", *arguments],
        env=environment(local, kubeconfig),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def resize(terminal: int, columns: int, lines: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


class Screen:
    """A program on a pseudo terminal of its own, and all that it has written there."""

    def __init__(self, local: LocalKube, columns: int, lines: int, *arguments: str) -> None:
        self.ours, self.theirs = os.openpty()
        resize(self.ours, columns, lines)
        self.before = termios.tcgetattr(self.theirs)
        self.said = ""
        self.process = subprocess.Popen(
            ["env", "--default-signal=INT", "setsid", "--ctty", "connectors", *arguments], env=environment(local),
            stdin=self.theirs, stdout=self.theirs, stderr=self.theirs,
        )  # fmt: skip

    def read_until(self, pattern: str) -> str:
        """What was written until it has what is expected, the whole match included; it is not looked at again."""
        end = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.said, re.DOTALL)):
            ready, _, _ = select.select([self.ours], [], [], 1)
            if ready:
                self.said += os.read(self.ours, 65536).decode(errors="replace")
            assert time.monotonic() < end, f"{pattern}: {self.said[-3000:]}"
        before, self.said = self.said[: found.end()], self.said[found.end() :]
        return before

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)
