"""Tab in real shells: bash, zsh, fish, and kubectl's own completion, with the names of connectors from a real API server."""

from __future__ import annotations

import os
import re
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from demo.walk import ROOT
from tests.kit.cluster import PATIENCE
from tests.kit.console_fleet import build_fleet, create_fleet
from tests.localkube.cluster import LocalKube
from tests.localkube.plugin import default_images
from tests.servers.shells import build_environment, prepare_zsh, shells

pytestmark = [
    pytest.mark.fault,
    pytest.mark.timeout(600),
    pytest.mark.skipif("CONNECTOR_TEST_KUBECONFIG" in os.environ, reason="looks at a cluster of its own"),
]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The environment of a shell whose kubectl has a namespace with some connectors."""
    local = LocalKube.start(tmp_path_factory.mktemp("cluster"), default_images())
    try:
        local.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
        create_fleet(local, "default", 8)
        folders = [str(Path(local.kubectl_program).parent), str(Path(sys.executable).parent), os.environ["PATH"]]
        yield {**os.environ, "KUBECONFIG": str(local.kubeconfig), "PATH": os.pathsep.join(folders)}
    finally:
        local.stop()


def names() -> list[str]:
    from datetime import UTC, datetime

    return sorted(one["metadata"]["name"] for one in build_fleet(8, datetime.now(UTC)))


def script(shell: Mapping[str, str], name: str, folder: Path) -> Path:
    path = folder / f"completion.{name}"
    path.write_text(run(shell, "connectors", "completion", name))
    return path


def run(shell: Mapping[str, str], *command: str) -> str:
    done = subprocess.run(command, env=shell, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bash(shell: Mapping[str, str], tmp_path: Path) -> None:
    def offered(line: str) -> list[str]:
        words = line.split(" ")
        typed = " ".join(map(shlex.quote, words))
        said = f"source {script(shell, 'bash', tmp_path)}; COMP_WORDS=({typed}) COMP_CWORD={len(words) - 1}; _connectors_complete; printf '%s\\n' \"${{COMPREPLY[@]}}\"; complete -p connectors"
        *found, how = run(shell, "bash", "--norc", "-c", said).splitlines()
        assert "-F _connectors_complete" in how
        return [word for word in found if word]

    assert offered("connectors wh") == ["why"]
    assert offered("connectors why ") == names()
    assert offered("connectors status --all") == ["--all-namespaces"]


def test_kubectl(shell: Mapping[str, str]) -> None:
    """What kubectl prints for its own scripts; the last line says that no names of files follow."""

    def offered(*words: str) -> list[str]:
        *found, directive = run(shell, "kubectl", "__complete", "connectors", *words).splitlines()
        assert directive == ":4"
        return [line.split("\t")[0] for line in found]

    assert offered("why", "") == names()
    assert offered("wh") == ["why"]
    assert offered("status", "-o", "") == ["json", "table"]


def test_fish(shell: Mapping[str, str], tmp_path: Path) -> None:
    path = script(shell, "fish", tmp_path)
    environment = {
        **build_environment(),
        **shell,
        "LD_LIBRARY_PATH": build_environment()["LD_LIBRARY_PATH"],
        "HOME": str(tmp_path),
    }

    def offered(line: str) -> list[str]:
        said = run(
            environment,
            str(shells() / "usr/bin/fish"),
            "--no-config",
            "-c",
            f"source {path}; complete -C {shlex.quote(line)}",
        )
        return [each.split("\t")[0] for each in said.splitlines()]

    assert offered("connectors why ") == names()
    assert offered("connectors wh") == ["why"]


def test_zsh(shell: Mapping[str, str], tmp_path: Path) -> None:
    """Typed on a terminal: zsh completes nowhere else."""
    path = script(shell, "zsh", tmp_path)
    environment = {
        **shell,
        "LD_LIBRARY_PATH": build_environment()["LD_LIBRARY_PATH"],
        "HOME": str(tmp_path),
        "TERM": "dumb",
    }
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", str(shells() / "bin/zsh"), "-f", "-i"],
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    said = ""

    def read_until(pattern: str) -> None:
        nonlocal said
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, said):
            if select.select([ours], [], [], 1)[0]:
                said += os.read(ours, 65536).decode(errors="replace")
            assert time.monotonic() < end, said

    unique = [name for name in names() if [other[:-1] for other in names()].count(name[:-1]) == 1]
    first = unique[0]
    try:
        os.write(ours, f"PROMPT='> '; {prepare_zsh()}; source {path}; print begun:$?\n".encode())
        read_until(r"begun:0")
        said = ""
        os.write(ours, f"connectors wh\t{first[:-1]}\t".encode())
        read_until(rf"why [\x08 ]*{re.escape(first)} ")  # a backspace: zsh takes back the space it offered
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
