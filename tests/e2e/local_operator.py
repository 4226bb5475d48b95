"""An operator as a process of this machine, on a cluster of its own: for settings that a whole installation has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.kit.cluster import ROOT, null_runner_image
from tests.localkube.cluster import LocalKube
from tests.localkube.plugin import default_images

QUIET = {"CONNECTOR_OPERATOR_PROGRESS_SECONDS": "0"}
"""Tests count requests: progress is read only where a flag says so. Not a flag, because earlier versions don't know it."""


def start_bare(folder: Path, *, audit: bool = False) -> LocalKube:
    """A cluster with the custom resources, without an operator."""
    images: dict[str, Any] = {**default_images(), "null-runner:test": null_runner_image()}
    cluster = LocalKube.start(folder, images, audit)
    cluster.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    return cluster


def as_account(cluster: LocalKube, namespace: str, account: str, folder: Path) -> Path:
    """A kubeconfig of a service account."""
    token = cluster.kubectl("create", "token", account, "-n", namespace, "--duration=1h").strip()
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    path = folder / account
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def operator(kubeconfig: Path, folder: Path, *flags: str, program: Sequence[str] = ()) -> Iterator[Path]:
    """A running operator; yields its log."""
    command = [*(program or [str(Path(sys.executable).with_name("connector-operator"))]), "run", "--listen=127.0.0.1:0"]
    command += ["--lease-duration=60", "--log-format=text", *flags]
    log = folder / f"operator-{len(list(folder.glob('operator-*')))}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**QUIET, **os.environ, "KUBECONFIG": str(kubeconfig)}, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield log
        assert process.poll() is None, f"the operator has ended: {log.read_text()[-3000:]}"
    finally:
        process.terminate()
        ended = process.wait(30)
    assert ended == 0, f"the operator did not leave well: {log.read_text()[-3000:]}"
