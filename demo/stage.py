"""What the story needs around it: a cluster, the operator installed on it, and a Coinbase to talk to."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path

from demo.story import Step
from demo.walk import ROOT, StoryBroken, run_command, walk

DEFAULT_FOLDER = ROOT / ".build" / "demo"
BIN = ROOT / ".build" / "localkube" / "bin"
LOCALKUBE = BIN / "localkube"
SIMULATOR_HOST = "coinbase-simulator:8080"  # as demo/connector.yaml has it
IMAGE_VARIABLES = {
    "connector-operator:dev": "OPERATOR_IMAGE",
    "connector-runner:dev": "RUNNER_IMAGE",
    "coinbase-simulator:dev": "SIMULATOR_IMAGE",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """A cluster that is ready for the story.

    Attributes:
        environment: For the commands: KUBECONFIG, and a PATH that has kubectl.
        how_to_play: What to tell a person who wants to go on by hand.
        adapt: Turns a command of the story into the one for this cluster.
    """

    environment: Mapping[str, str]
    how_to_play: str
    adapt: Callable[[str], str]


def install_steps(overlay: str) -> tuple[Step, ...]:
    """The operator from `manifests/`, and the simulator beside it."""
    return (
        Step(
            "Install the operator",
            f"kubectl apply --server-side -k {overlay}",
            r"deployment.apps/connector-operator serverside-applied",
        ),
        Step(
            "It starts",
            "kubectl rollout status deployment/connector-operator -n connector-operator --timeout=180s",
            r"successfully rolled out",
        ),
        Step(
            "A Coinbase to talk to: the simulator",
            "kubectl apply -f demo/simulator.yaml",
            r"deployment.apps/coinbase-simulator (created|configured|unchanged)",
        ),
        Step(
            "It starts, too",
            "kubectl rollout status deployment/coinbase-simulator --timeout=120s",
            r"successfully rolled out",
        ),
    )


def find_simulator(environment: Mapping[str, str]) -> str:
    """`host:port` of the simulator's pod (localkube has no service addresses)."""
    command = "kubectl get pods -l app=coinbase-simulator -o jsonpath='{.items[0].status.podIP}'"
    return f"{run_command(command, environment).strip()}:8080"


def adapt_manifests(folder: Path, replacements: Mapping[str, str]) -> Callable[[str], str]:
    """Writes this cluster's version of the demo's manifests, and points the story's commands at them."""
    adapted = folder / "manifests"
    adapted.mkdir(parents=True, exist_ok=True)
    for path in (ROOT / "demo").glob("*.yaml"):
        text = path.read_text()
        for old, new in replacements.items():
            text = text.replace(old, new)
        (adapted / path.name).write_text(text)
    return lambda command: command.replace("-f demo/", f"-f {relpath(adapted, ROOT)}/")


@contextmanager
def prepare_own_cluster(say: Callable[[str], None], folder: Path) -> Iterator[Stage]:
    """A localkube of its own; afterwards nothing of it is left."""
    cluster = folder / "cluster"
    say("A Kubernetes without containers starts (etcd, API server, controllers, scheduler, kubelet)")
    stop = [str(LOCALKUBE), "down", "--dir", str(cluster)]
    subprocess.run(stop, check=False, capture_output=True)
    up = [
        str(LOCALKUBE),
        "up",
        "--dir",
        str(cluster),
        "--images",
        "tests/localkube/images.yaml",
        "--parent",
        str(os.getpid()),
    ]
    subprocess.run(up, check=True, cwd=ROOT)
    try:
        environment = {"KUBECONFIG": str(cluster / "kubeconfig"), "PATH": f"{BIN}:{os.environ['PATH']}"}
        walk(install_steps("manifests/localkube"), environment, say)
        adapt = adapt_manifests(folder, {SIMULATOR_HOST: find_simulator(environment)})
        play = f"""
The cluster stays up until Ctrl-C. In another terminal, at the top of the checkout:
  export KUBECONFIG={relpath(cluster, ROOT)}/kubeconfig PATH=$PWD/.build/localkube/bin:$PATH
  kubectl apply -f {relpath(folder, ROOT)}/manifests/connector.yaml
  kubectl get connectors --watch
  kubectl describe connector your-connector
  kubectl logs -n connector-operator deployment/connector-operator"""
        yield Stage(environment, play, adapt)
    finally:
        subprocess.run(stop, check=False)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def prepare_given_cluster(say: Callable[[str], None], folder: Path) -> Iterator[Stage]:
    """The cluster of KUBECONFIG, in its current namespace; what the demo made is deleted afterwards."""
    images = {name: os.environ[variable] for name, variable in IMAGE_VARIABLES.items() if os.environ.get(variable)}
    if len(images) < len(IMAGE_VARIABLES):
        raise StoryBroken(f"name the images of your cluster by {', '.join(IMAGE_VARIABLES.values())}")
    environment: dict[str, str] = {}
    adapt = adapt_manifests(folder, images)
    overlay = folder / "install"
    overlay.mkdir(parents=True, exist_ok=True)
    rendered = run_command("kubectl kustomize manifests/localkube", environment)
    for name, image in images.items():
        rendered = rendered.replace(name, image)
    (overlay / "all.yaml").write_text(rendered)
    (overlay / "kustomization.yaml").write_text("resources: [all.yaml]\n")
    try:
        steps = install_steps(relpath(overlay, ROOT))
        walk([*steps[:2], *(Step(s.title, adapt(s.command), s.expect, s.within) for s in steps[2:])], environment, say)
        yield Stage(environment, "Look around; Ctrl-C deletes what the demo made.", adapt)
    finally:
        for path in ("simulator", "connector", "dataset", "rows"):
            run_command(adapt(f"kubectl delete --ignore-not-found -f demo/{path}.yaml"), environment)
