"""The commands of the README and of the pages that it leads to first: each of their shell blocks is run by a test, and no block is left out."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from connector_runner.manifests import orders_from_file
from connector_runner.registry import FolderRegistry
from demo.document import build_walkthrough
from demo.stage import IMAGE_VARIABLES
from demo.walk import ROOT
from tests.localkube.cluster import Cluster
from tests.servers.ports import free_port

PAGES = ("README.md", "docs/demo.md", "docs/install.md", "docs/http-api.md", "docs/runner.md")
HELM = "helm install connector-operator"


def blocks_of(page: str) -> list[str]:
    """The shell blocks of a page."""
    return re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def block_with(words: str) -> str:
    """The one text among the blocks that has these words."""
    (found,) = {block for block in BLOCKS if words in block}
    return str(found)


def test_every_block_has_a_test() -> None:
    tested = {
        "make demo\n",  # test_demo.py, and CI
        block_with("ON_MY_CLUSTER=1"),  # test_demo.py sets the same variables; below
        block_with("kubectl apply -f demo/dataset.yaml"),  # test_demo.py runs the same list
        block_with("export KUBECONFIG=.build"),  # test_demo.py types it, and the next one
        block_with("kubectl apply -k manifests/localkube-api"),
        block_with("connector-runner run"),  # below
        block_with("docker push registry.example.org/connector-operator"),  # below
        block_with("mkdir -p install"),  # below
        block_with(f"EOF\n{HELM}"),  # test_chart.py
        block_with("helm uninstall"),  # test_walk_page.py types it
        block_with("rolebinding caller"),  # test_api_walk.py types it
        block_with("curl"),  # test_api_walk.py runs the same list
    }
    (helm,) = (block for block in blocks_of("README.md") if HELM in block)
    assert set(BLOCKS) == {*tested, helm}
    assert helm in block_with(f"EOF\n{HELM}")
    assert build_walkthrough() == f"```sh\n{block_with('demo/dataset.yaml')}```"


def test_the_demo_on_another_cluster_gets_each_image_that_it_needs() -> None:
    block = block_with("ON_MY_CLUSTER=1")
    named = dict(re.findall(r"export (\w+)=(\S+)", block))
    assert set(named) == set(IMAGE_VARIABLES.values())
    pushed = set(re.findall(r"docker push (\S+)", block + block_with("connector-operator:0.1.0\ndocker push")))
    assert pushed == set(named.values())
    assert all((ROOT / file).is_file() for file in re.findall(r"docker build -f (\S+)", block))


def test_the_runner_alone(tmp_path: Path) -> None:
    """The block as it is, with another port and another folder for the rows, and without `make venv`, which has already run."""
    port = str(free_port())
    script = block_with("connector-runner run").replace("make venv\n", "").replace("8765", port)
    assert port in script
    shutil.copytree(ROOT / "demo", tmp_path / "demo")
    manifest = tmp_path / "demo" / "by-hand.yaml"
    manifest.write_text(manifest.read_text().replace("8765", port))
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    shell = subprocess.Popen(
        ["bash", "-m", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=120)
    finally:
        stop_group(shell.pid)
    assert "matches" in output, output
    assert re.search(r"(BTC|ETH)-USD +\d{4,}", output.split("extra")[-1]), output


def stop_group(group: int) -> None:
    """Whatever the block has left running."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.fixture
def install(tmp_path: Path) -> Path:
    """The kustomization that the block writes, next to the checkout's manifests."""
    script = block_with("mkdir -p install")
    for name in ("manifests", "crds"):
        shutil.copytree(ROOT / name, tmp_path / name)
    writing = script[: script.index("kubectl apply")]
    subprocess.run(["bash", "-e", "-c", writing], cwd=tmp_path, check=True)
    assert "kubectl apply --server-side -k install" in script
    return tmp_path / "install"


def check_images(rendered: str) -> None:
    """Each image that the block builds is the one that is used."""
    commands = block_with("docker push registry.example.org/connector-operator")
    built = re.findall(r"docker build -f (\S+) -t (\S+) \.", commands)
    (deployment,) = (part for part in yaml.safe_load_all(rendered) if part["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    used = [container["image"], *(e["value"] for e in container["env"] if e["name"].endswith("RUNNER_IMAGE"))]
    assert [image for _, image in built] == used
    for file, image in built:
        assert (ROOT / file).is_file()
        assert f"docker push {image}\n" in commands


def test_the_install_uses_the_images_that_were_built(cluster: Cluster, install: Path) -> None:
    check_images(cluster.kubectl("kustomize", str(install)))
    path = install / "kustomization.yaml"
    text = path.read_text().replace("manifests/cluster-wide", "manifests/namespaced")
    path.write_text("namespace: mine\n" + text.replace(", namespace: connector-operator}", "}"))
    rendered = cluster.kubectl("kustomize", str(install))
    check_images(rendered)
    namespaces = {part["metadata"].get("namespace") for part in yaml.safe_load_all(rendered)}
    assert namespaces == {"mine", None}  # the custom resource definitions have none


@pytest.mark.parametrize("overlay", ["manifests/cluster-wide", "manifests/namespaced", "manifests/localkube"])
def test_each_install_is_accepted_by_the_api_server(cluster: Cluster, overlay: str) -> None:
    rendered = cluster.kubectl("kustomize", str(ROOT / overlay))
    parts = [part for part in rendered.split("\n---\n") if "\nkind: Namespace\n" not in f"\n{part}"]
    cluster.kubectl("create", "namespace", "connector-operator", check=False)
    answer = cluster.kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", input="\n---\n".join(parts)
    )
    assert answer.count("serverside-applied") == len(parts)


@pytest.mark.usefixtures("operator")
def test_the_samples_are_accepted_by_the_api_server(cluster: Cluster, namespace: str) -> None:
    rendered = cluster.kubectl("kustomize", str(ROOT / "manifests/samples"))
    answer = cluster.kubectl("apply", "-n", namespace, "--dry-run=server", "-f", "-", input=rendered)
    assert answer.count("created (server dry run)") == rendered.count("\nkind: ") == 2


def test_the_samples_are_accepted_by_hand(tmp_path: Path) -> None:
    parts = [path.read_text() for path in (ROOT / "manifests/samples").glob("*.yaml") if path.stem != "kustomization"]
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "market"},
        "stringData": {"url": "sqlite:///x"},
    }
    path = tmp_path / "all.yaml"
    path.write_text("\n---\n".join([*parts, yaml.safe_dump(secret)]))
    orders = orders_from_file(path)
    assert orders.config(FolderRegistry())["productId"]
    assert (orders.target().table, orders.read_url()) == ("YOUR_DATASET", "sqlite:///x")
