"""With another cluster than localkube: its kubectl is the one on PATH, and nothing is built."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.localkube import build
from tests.localkube.cluster import ROOT, Cluster


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "darwin")  # where localkube can't be built
    return tmp_path


def test_kubectl_is_the_one_on_path(programs: Path) -> None:
    kubectl = programs / "kubectl"
    kubectl.write_text('#!/bin/sh\necho "$KUBECONFIG" "$@"\n')
    kubectl.chmod(0o755)
    assert Cluster(Path("/a/config")).kubectl("get", "pods") == "/a/config --kubeconfig /a/config get pods\n"


def test_without_a_kubectl_that_is_what_is_said(programs: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"the cluster of /a/config needs kubectl on PATH"):
        Cluster(Path("/a/config")).kubectl("get", "pods")


def test_other_systems_are_pointed_to_a_cluster(programs: Path) -> None:
    with pytest.raises(build.BuildError, match="KUBECONFIG"):
        build.ensure_binary()


def test_what_starts_a_localkube_is_skipped_and_says_so(tmp_path: Path) -> None:
    """On a cluster that is not there, so that a test that is not skipped fails."""
    files = ["tests/localkube/test_components.py", "tests/localkube/test_lifecycle.py", "tests/e2e/test_demo.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", *files]
    environment = {"CONNECTOR_TEST_KUBECONFIG": str(tmp_path / "none"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "names a cluster that is not ours" in done.stdout
    assert " passed" not in done.stdout
