"""Flux: its source-controller and kustomize-controller, built from their Go modules, as processes of this machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.servers.go_program import build_go_program
from tests.servers.ports import free_port

VERSION = "v1.9.6"
CONTROLLERS = ("source-controller", "kustomize-controller")


def flux_programs() -> dict[str, Path]:
    """The controllers, each with its custom resource definitions in the folder `bases` beside it; the first call builds them (long)."""
    return {
        name: build_go_program(
            name, f"github.com/fluxcd/{name}", VERSION, program=f"github.com/fluxcd/{name}", files="config/crd/bases"
        )
        for name in CONTROLLERS
    }


@contextmanager
def running_flux(kubeconfig: Path, folder: Path) -> Iterator[list[Path]]:
    """Both controllers on a cluster that has their definitions; yields their logs."""
    storage = folder / "artifacts"
    storage.mkdir()
    address = f"127.0.0.1:{free_port()}"
    own = {
        "source-controller": [f"--storage-path={storage}", f"--storage-addr={address}", f"--storage-adv-addr={address}"]
    }
    with ExitStack() as stack:
        logs = []
        for name, program in flux_programs().items():
            log = folder / f"{name}.log"
            ports = [f"--{kind}-addr=127.0.0.1:{free_port()}" for kind in ("metrics", "health")]
            command = [str(program), *ports, "--events-addr=", "--log-level=info", *own.get(name, [])]
            stack.enter_context(_process(command, kubeconfig, log))
            logs.append(log)
        yield logs


@contextmanager
def _process(command: list[str], kubeconfig: Path, log: Path) -> Iterator[None]:
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "RUNTIME_NAMESPACE": "flux-system"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
        assert process.poll() is None, f"{command[0]} has ended: {log.read_text()[-3000:]}"
    finally:
        process.terminate()
        process.wait(30)
