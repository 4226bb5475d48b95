"""The plugin as pip installs it for a person: with its extra's packages alone, and none of the operator's or the runner's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from demo.walk import ROOT
from tests.kit.console_fleet import create_fleet
from tests.localkube.cluster import LocalKube
from tests.localkube.plugin import default_images

pytestmark = [
    pytest.mark.fault,
    pytest.mark.timeout(600),
    pytest.mark.skipif("CONNECTOR_TEST_KUBECONFIG" in os.environ, reason="looks at a cluster of its own"),
]
COMMANDS = (
    "status", "status -o json", "status -A", "why {name}", "streams {name}", "top", "stop {name}", "start {name}",
    "restart {name}", "rediscover {name}", "delete {name} --yes", "new mysql --name a --set host=b --set user=c --dry-run",
    "completion bash", "completion zsh", "completion fish", "__complete -- why ", "--help",
)  # fmt: skip
NOT_NEEDED = ("aiohttp", "kopf", "kubernetes", "psycopg", "web3", "prometheus_client", "pymysql", "websockets")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment's programs, with the wheel and its extra `plugin`."""
    home = tmp_path_factory.mktemp("person")
    run("git", "clone", "--quiet", "--local", str(ROOT), str(home / "source"))
    run(sys.executable, "-m", "venv", str(home / "venv"))
    constraints = str(ROOT / "constraints.txt")
    run(str(home / "venv/bin/pip"), "install", "--quiet", "-c", constraints, f"{home / 'source'}[plugin]")
    return home / "venv/bin"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    local = LocalKube.start(tmp_path_factory.mktemp("bare"), default_images())
    try:
        local.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
        create_fleet(local, "default", 4)
        yield local
    finally:
        local.stop()


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_each_command_runs_with_the_extras_packages_alone(installed: Path, bare: LocalKube) -> None:
    packages = json.loads(run(str(installed / "pip"), "list", "--format=json").stdout)
    names = {package["name"].lower().replace("-", "_") for package in packages}
    assert not names & set(NOT_NEEDED)
    listed = json.loads(
        run(str(installed / "connectors"), "status", "-o", "json", KUBECONFIG=str(bare.kubeconfig)).stdout
    )
    name = listed["items"][0]["name"]
    for line in COMMANDS:
        command = [word.format(name=name) for word in line.split(" ")]
        run(str(installed / "connectors"), *command, KUBECONFIG=str(bare.kubeconfig))
    path = os.pathsep.join([str(installed), os.environ["PATH"]])
    said = run(bare.kubectl_program, "connectors", "status", KUBECONFIG=str(bare.kubeconfig), PATH=path).stdout
    assert len(said.splitlines()) == 4
    offered = run(bare.kubectl_program, "__complete", "connectors", "wh", KUBECONFIG=str(bare.kubeconfig), PATH=path)
    assert offered.stdout.splitlines()[-1] == ":4"
    manifest = run(str(installed / "connectors"), "new", "coinbase", "--name", "a", "--set", "productId=A-B").stdout
    assert yaml.safe_load(manifest)["metadata"]["name"] == "a"


def test_starting_imports_little(installed: Path) -> None:
    """What is imported before a command sends its first request; neither the Kubernetes client nor rich is."""
    code = (
        "import json, sys; from connector_operator.kubectl import cli, commands, cluster, completing; "
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    imported = json.loads(run(str(installed / "python"), "-c", code).stdout)
    assert not {"kubernetes", "rich", "jsonschema", "asyncio", "pydantic", "requests"} & set(imported)
