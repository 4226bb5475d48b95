"""Helm and kubeconform, built from their Go modules (`go_program`)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.servers.go_program import build_go_program


class HelmError(Exception):
    """A helm command failed; the message is what it said."""


def helm() -> Path:
    """The program; the first call builds it."""
    return build_go_program("helm", "helm.sh/helm/v4", "v4.3.1")


def kubeconform() -> Path:
    """The program; the first call builds it."""
    return build_go_program("kubeconform", "github.com/yannh/kubeconform", "v0.8.0")


def run_helm(*arguments: str, home: Path, kubeconfig: Path | None = None) -> str:
    """Runs helm with its caches below `home`, and returns its standard output.

    Args:
        arguments: What follows `helm`.
        home: A folder of the test's own.
        kubeconfig: Of the cluster; none for what is done without.

    Raises:
        HelmError: It failed.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))}
    environment |= {f"HELM_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    environment["KUBECONFIG"] = str(kubeconfig or home / "no-cluster")
    done = subprocess.run([helm(), *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HelmError(f"helm {' '.join(arguments)} exited with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout
