"""What the story needs: a cluster, the operator installed on it, and a Coinbase to talk to."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os.path import relpath
from pathlib import Path

from demo.story import STORY, Step
from demo.walk import ROOT, StoryBroken, run_command

DEFAULT_FOLDER = ROOT / ".build" / "demo"
BIN = ROOT / ".build" / "localkube" / "bin"
LOCALKUBE = BIN / "localkube"
IMAGES = "tests/localkube/images.yaml"
NAMESPACE = "connector-demo"
SIMULATOR_HOST = "coinbase-simulator:8080"  # as in demo/connector.yaml
IMAGE_VARIABLES = {
    "connector-operator:dev": "OPERATOR_IMAGE",
    "connector-runner:dev": "RUNNER_IMAGE",
    "coinbase-simulator:dev": "SIMULATOR_IMAGE",
}
ROLLOUT = "kubectl rollout status deployment/"


@dataclass(frozen=True, slots=True)
class Stage:
    """A cluster that is ready for the story.

    Attributes:
        environment: For the commands: KUBECONFIG, and a PATH that contains kubectl.
        install: The steps before the story.
        folder: For this cluster's version of the demo's manifests.
        images: Replacements for the images that the manifests name.
        reaches_pods: Whether this process can connect to pods.
        how_to_play: Hints for a person who wants to continue by hand.
    """

    environment: Mapping[str, str]
    install: Sequence[Step]
    folder: Path
    images: Mapping[str, str]
    reaches_pods: bool
    how_to_play: str

    def story(self) -> list[Step]:
        """The story for this cluster, once `install` is done."""
        adapt = self.adapter()
        return [replace(step, command=adapt(step.command)) for step in STORY]

    def adapter(self) -> Callable[[str], str]:
        """Adapts a command of the story to this cluster, once `install` is done."""
        # The pod's address, because localkube has no service addresses.
        simulator = f"{pod_address('-l app=coinbase-simulator', self.environment)}:8080"
        adapt = adapt_manifests(self.folder, {**self.images, SIMULATOR_HOST: simulator})
        return lambda command: adapt(command).replace(SIMULATOR_HOST, simulator)


def pod_address(selection: str, environment: Mapping[str, str]) -> str:
    """The address of a pod that `kubectl get pods` selects."""
    return run_command(f"kubectl get pods {selection} -o jsonpath='{{.items[0].status.podIP}}'", environment).strip()


def operator_steps(overlay: str) -> tuple[Step, ...]:
    """The operator from `manifests/`."""
    return (
        Step(
            "Install the operator",
            f"kubectl apply --server-side -k {overlay}",
            r"deployment.apps/connector-operator serverside-applied",
        ),
        Step(
            "It starts",
            f"{ROLLOUT}connector-operator -n connector-operator --timeout=180s",
            r"successfully rolled out",
        ),
    )


def simulator_steps(adapt: Callable[[str], str]) -> tuple[Step, ...]:
    """The installation of the simulator."""
    return (
        Step(
            "A Coinbase to talk to: the simulator",
            adapt("kubectl apply -f demo/simulator.yaml"),
            r"deployment.apps/coinbase-simulator (created|configured|unchanged)",
        ),
        Step("It starts, too", f"{ROLLOUT}coinbase-simulator --timeout=120s", r"successfully rolled out"),
    )


def adapt_manifests(folder: Path, replacements: Mapping[str, str]) -> Callable[[str], str]:
    """Writes this cluster's version of the demo's manifests, and makes the story's commands use them."""
    adapted = folder / "manifests"
    adapted.mkdir(parents=True, exist_ok=True)
    for path in (ROOT / "demo").glob("*.yaml"):
        text = path.read_text()
        for old, new in replacements.items():
            text = text.replace(old, new)
        (adapted / path.name).write_text(text)
    return lambda command: command.replace("-f demo/", f"-f {relpath(adapted, ROOT)}/")


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Takes a folder that no other demo uses, and removes it afterwards.

    Raises:
        StoryBroken: Another demo runs there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoryBroken(f"another demo runs in {folder}: end it, or choose another folder with --dir") from None
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def prepare_own_cluster(say: Callable[[str], None], folder: Path) -> Iterator[Stage]:
    """A new localkube; afterwards nothing of it is left.

    Raises:
        StoryBroken: It does not start, or another demo runs in the folder.
    """
    cluster = folder / "cluster"
    down = [str(LOCALKUBE), "down", "--dir", str(cluster)]
    with own_folder(folder):
        say("A Kubernetes without containers starts (etcd, API server, controllers, scheduler, kubelet)")
        try:
            # An earlier demo may have been killed while it was ending.
            subprocess.run(down, check=False, capture_output=True)
            up = [str(LOCALKUBE), "up", "--dir", str(cluster), "--images", IMAGES, "--parent", str(os.getpid())]
            if subprocess.run(up, check=False, cwd=ROOT).returncode:
                raise StoryBroken("the cluster did not start; why is said above")
            kubeconfig = cluster / "kubeconfig"
            play = f"""
The cluster stays up until Ctrl-C. In another terminal, at the top of the checkout:
  export KUBECONFIG={relpath(kubeconfig, ROOT)} PATH=$PWD/.build/localkube/bin:$PWD/.venv/bin:$PATH
{things_to_try(folder)}"""
            yield Stage(
                environment={"KUBECONFIG": str(kubeconfig), "PATH": f"{BIN}:{os.environ['PATH']}"},
                install=(*operator_steps("manifests/localkube"), *simulator_steps(lambda command: command)),
                folder=folder, images={}, reaches_pods=True, how_to_play=play,
            )  # fmt: skip
        finally:
            subprocess.run(down, check=False)


def things_to_try(folder: Path) -> str:
    """Commands that a person may try."""
    return f"""\
  kubectl apply -f {relpath(folder, ROOT)}/manifests/connector.yaml
  kubectl connectors why your-connector
  kubectl connectors status --watch
  kubectl describe connector your-connector
  kubectl logs -n connector-operator deployment/connector-operator
More, and the console in a browser: docs/demo.md#play-on"""


@contextmanager
def prepare_given_cluster(say: Callable[[str], None], folder: Path) -> Iterator[Stage]:
    """The cluster of KUBECONFIG, in a namespace of the demo's own; what the demo created is deleted afterwards.

    If an operator is already installed, it is used as it is, and stays.

    Raises:
        StoryBroken: An image is not named, the namespace already exists, or another demo runs in the folder.
    """
    images = {name: os.environ[variable] for name, variable in IMAGE_VARIABLES.items() if os.environ.get(variable)}
    if len(images) < len(IMAGE_VARIABLES):
        raise StoryBroken(f"name the images of your cluster by {', '.join(IMAGE_VARIABLES.values())}")
    with own_folder(folder):
        environment = {"KUBECONFIG": str(copy_kubeconfig(folder))}
        made = run_command(f"kubectl create namespace {NAMESPACE}", environment)
        if "created" not in made:
            raise StoryBroken(f"the demo wants a namespace {NAMESPACE} of its own: {made.strip()}")
        overlay = render_install(folder, images)
        is_installed = bool(run_command("kubectl get crd connectors.apperate.io -o name 2> /dev/null", {}).strip())
        if is_installed:
            say("The operator is there already: it is used as it is")
        try:
            yield Stage(
                environment=environment,
                install=(
                    *(() if is_installed else operator_steps(overlay)),
                    *simulator_steps(adapt_manifests(folder, images)),
                ),
                folder=folder, images=images, reaches_pods=False,
                how_to_play=f"""
Ctrl-C deletes what the demo made. In another terminal, at the top of the checkout:
  export KUBECONFIG={relpath(environment["KUBECONFIG"], ROOT)} PATH=$PWD/.venv/bin:$PATH
{things_to_try(folder)}""",
            )  # fmt: skip
        finally:
            # Connectors first: their finalizers need the operator.
            delete = f"kubectl delete connectors --all --timeout=60s; kubectl delete namespace {NAMESPACE}"
            say(
                run_command(
                    delete if is_installed else f"{delete}; kubectl delete --ignore-not-found -k {overlay}", environment
                )
            )


def copy_kubeconfig(folder: Path) -> Path:
    """A copy of KUBECONFIG with the demo's own namespace."""
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    copy = folder / "kubeconfig"
    copy.touch(mode=0o600)
    copy.write_text(run_command("kubectl config view --raw --flatten --minify", {}))
    run_command(f"kubectl config set-context --current --namespace={NAMESPACE}", {"KUBECONFIG": str(copy)})
    return copy


def render_install(folder: Path, images: Mapping[str, str]) -> str:
    """The installation with the images of this cluster, for `kubectl apply -k`."""
    overlay = folder / "install"
    overlay.mkdir(parents=True, exist_ok=True)
    rendered = run_command("kubectl kustomize manifests/localkube", {})
    for name, image in images.items():
        rendered = rendered.replace(name, image)
    (overlay / "all.yaml").write_text(rendered)
    (overlay / "kustomization.yaml").write_text("resources: [all.yaml]\n")
    return relpath(overlay, ROOT)
