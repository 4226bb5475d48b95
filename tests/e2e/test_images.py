"""Both images as they are built: what is in them, what is not, and a connector's whole life inside them.

`make test-images`. buildah makes them from the Dockerfiles, on a base of Debian's packages; localkube shows their files to the pods in
place of this machine's, with a read-only root directory and the image's own user.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.stage import SIMULATOR_HOST, Stage, operator_steps, simulator_steps
from demo.walk import walk
from tests.e2e.examples import Documents, rows_in, type_readme
from tests.e2e.test_walk_page import walk_images, walk_through
from tests.kit.cluster import ROOT, Kit, find_process, operator_pods
from tests.localkube.cluster import Image, LocalKube, eventually
from tests.localkube.plugin import default_images
from tests.servers.images import BuiltImage, built_image
from tests.servers.mysql import mysql
from tests.servers.mysqld import DatabaseServer

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]  # the first run makes the base and both images
USER = 65532
PARTS = ("operator", "runner")
MEGABYTE = 1_000_000
LARGEST = {"operator": 180, "runner": 560}  # 493 were measured before Iceberg, whose packages have about 50
"""Megabytes of what an image adds to its base; docs/dependencies.md says what is in it."""
CYCLONEDX = "cyclonedx-python-lib[json-validation]==11.5.0"
SIMULATOR: Image = {"command": [sys.executable, "-m", "tests.simulators.coinbase"], "workingDir": str(ROOT)}
LIST = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"


@pytest.fixture(scope="module")
def images(local_only: None) -> Iterator[dict[str, BuiltImage]]:
    with built_image("operator") as operator, built_image("runner") as runner:
        yield {"operator": operator, "runner": runner}


@pytest.fixture(params=PARTS)
def image(images: dict[str, BuiltImage], request: pytest.FixtureRequest) -> BuiltImage:
    return images[request.param]


def part_of(image: BuiltImage) -> str:
    return image.name.removeprefix("connector-").partition(":")[0]


def installed(image: BuiltImage) -> dict[str, str]:
    """Each package in the image and its version, as its own Python says."""
    done = image.run("python", "-c", LIST)
    assert done.returncode == 0, done.stderr
    return {normal(name): version for name, version in json.loads(done.stdout).items()}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {normal(line.split("==")[0]): line.split("==")[1] for line in lines if "==" in line}


def test_it_says_what_it_is_and_runs_as_nobody(image: BuiltImage) -> None:
    labels = image.config["Labels"]
    wanted = {
        f"org.opencontainers.image.{name}" for name in ("title", "description", "version", "revision", "licenses")
    }
    assert wanted <= labels.keys()
    assert labels["org.opencontainers.image.title"] == f"connector-{part_of(image)}"
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert version is not None
    assert labels["org.opencontainers.image.version"] == version[1]
    assert image.config["User"] == f"{USER}:{USER}"
    assert image.config["Entrypoint"] == [f"connector-{part_of(image)}"]


def test_its_command_works_without_anything_else(image: BuiltImage) -> None:
    done = image.run(f"connector-{part_of(image)}", "--help")
    assert done.returncode == 0, done.stderr
    assert f"usage: connector-{part_of(image)}" in done.stdout


def test_neither_pip_nor_build_tools_are_in_it(image: BuiltImage) -> None:
    found = [
        path
        for folder in ("bin", "usr/bin", "usr/local/bin", "opt")
        for path in (image.root / folder).rglob("*")
        if re.fullmatch(r"(pip[\d.]*|gcc.*|g\+\+.*|cc|c\+\+|ld|make|cargo|rustc|go|git)", path.name)
    ]
    assert found == []
    for module in ("pip", "setuptools", "ensurepip", "cyclonedx_py"):
        assert image.run("python", "-c", f"import {module}").returncode != 0, f"{module} is in the image"
    assert not (image.root / "src").exists()


def test_every_package_has_the_version_that_is_pinned(image: BuiltImage) -> None:
    found = installed(image)
    found.pop("connector-operator")
    assert found.items() <= pins().items()


def test_every_package_has_a_wheel_for_arm64(image: BuiltImage, tmp_path: Path) -> None:
    """No compiler is in the build, so the release's second architecture needs them; nothing here can run what is for it."""
    found = installed(image)
    found.pop("connector-operator")
    # pip takes a name as it is, not as "up to this version of the C library".
    names = ["1", "2014", *(f"_2_{minor}" for minor in range(17, 29))]
    platforms = [f"--platform=manylinux{name}_aarch64" for name in names]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version=3.13",
    ]
    command += [*platforms, f"--dest={tmp_path}", *(f"{name}=={version}" for name, version in found.items())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.iterdir())) == len(found)


def test_the_list_of_its_parts_is_valid_and_whole(image: BuiltImage, tmp_path: Path) -> None:
    path = image.root / "opt/connector/sbom.cdx.json"
    document = json.loads(path.read_text())
    assert document["bomFormat"] == "CycloneDX"
    listed = {normal(one["name"]): one["version"] for one in document["components"]}
    found = installed(image)
    own = document["metadata"]["component"]
    assert {**listed, normal(own["name"]): own["version"]} == found
    venv.create(tmp_path / "tools", with_pip=True)
    python = tmp_path / "tools/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", CYCLONEDX], check=True)
    check = (
        "import sys; from cyclonedx.validation.json import JsonStrictValidator; from cyclonedx.schema import SchemaVersion as V;"
        "print(JsonStrictValidator(V.from_version(sys.argv[2])).validate_str(open(sys.argv[1]).read()))"
    )
    said = subprocess.run(
        [python, "-c", check, path, document["specVersion"]], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "None", said.stdout


def test_it_is_no_larger_than_what_is_said(image: BuiltImage) -> None:
    added = sum(image.layers[1:]) / MEGABYTE
    assert LARGEST[part_of(image)] / 2 < added <= LARGEST[part_of(image)], f"{added:.0f} MB"


def as_process(image: BuiltImage) -> Image:
    """The image for localkube: its own files, user, command and environment, and no right to read what is not its own."""
    command = [
        str(next(image.root.glob(f"opt/connector/bin/{image.config['Entrypoint'][0]}"))).removeprefix(str(image.root))
    ]
    return {"root": str(image.root), "command": command, "env": image.environment, "user": USER, "readAll": False}


@pytest.fixture(scope="module")
def cluster(images: dict[str, BuiltImage], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    """A cluster whose pods of operator and runner have the images' files, with the operator installed."""
    own: dict[str, Any] = {f"connector-{part}:dev": as_process(image) for part, image in images.items()}
    mapped: dict[str, Any] = {**default_images(), **own, "coinbase-simulator:dev": SIMULATOR}
    local = LocalKube.start(tmp_path_factory.mktemp("images"), mapped, mounts="mount")
    try:
        yield local
    finally:
        local.stop()


def check_confined(kit: Kit, pod: dict[str, Any], image: BuiltImage) -> None:
    """The process of a pod is the image's user, sees the image's files, and can change none of them."""
    (container,) = pod["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    process = Path("/proc") / str(find_process(f"HOSTNAME={pod['metadata']['name']}"))
    status = (process / "status").read_text()
    assert re.search(rf"^Uid:(\t{USER}){{4}}$", status, flags=re.MULTILINE)
    assert re.search(r"^CapEff:\t0+$", status, flags=re.MULTILINE)
    assert (process / "root/opt/connector/sbom.cdx.json").read_text() == (
        image.root / "opt/connector/sbom.cdx.json"
    ).read_text()
    assert not (process / f"root{ROOT}").exists()
    (root,) = (line.split() for line in (process / "mountinfo").read_text().splitlines() if line.split()[4] == "/")
    assert "ro" in root[5].split(",")


def test_a_connectors_life_in_the_images(cluster: LocalKube, images: dict[str, BuiltImage], tmp_path: Path) -> None:
    binaries = str(Path(cluster.kubectl_program).parent)
    stage = Stage(
        environment={"KUBECONFIG": str(cluster.kubeconfig), "PATH": f"{binaries}:/usr/bin:/bin"},
        install=(*operator_steps("manifests/localkube"), *simulator_steps(lambda command: command)),
        folder=tmp_path, images={}, reaches_pods=True, how_to_play="",
    )  # fmt: skip
    walk(stage.install, stage.environment, print)
    kit = Kit(cluster, "default")
    (operator,) = operator_pods(cluster)
    check_confined(kit, operator, images["operator"])
    story = stage.story()
    assert SIMULATOR_HOST not in "".join(step.command for step in story)
    ready = next(number for number, step in enumerate(story) if step.title == "All on one line")
    walk(story[:ready], stage.environment, print)
    check_confined(kit, kit.live_pod("your-connector"), images["runner"])
    walk(story[ready:], stage.environment, print)


def test_a_table_in_the_runners_image(cluster: LocalKube, images: dict[str, BuiltImage], tmp_path: Path) -> None:
    """Runs after the test above: the operator is installed."""
    with DatabaseServer(mysql(), ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]) as server:
        statements = (ROOT / "examples/mysql/shop.sql").read_text().split(";\n")
        server.execute(*(statement for statement in statements if statement.strip()))

        def adapt(documents: Documents) -> None:
            documents["Connector"]["spec"]["config"] |= {"host": server.host, "port": server.port}

        cluster.kubectl("create", "namespace", "shop")
        kit = Kit(cluster, "shop")
        type_readme(kit, "mysql", tmp_path, adapt)
        check_confined(kit, kit.live_pod("orders"), images["runner"])
        server.execute("INSERT INTO shop.orders (customer, amount) VALUES ('Barbara', 0.05)")
        expected = server.query("SELECT id, customer FROM shop.orders ORDER BY id")
        path = cluster.volume_path("shop", "orders") / "orders.db"

        def is_equal() -> bool:
            return rows_in(path, "SELECT id, customer FROM orders ORDER BY id") == expected

        eventually(is_equal, what="the table in the dataset")
        kit.delete("orders")
        kit.wait_gone("orders")


def test_the_whole_way_in_the_images(
    images: dict[str, BuiltImage], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """docs/walk.md, on a cluster that has nothing yet; the runner's image once more under the name of a later release."""
    operator, runner = (as_process(images[part]) for part in PARTS)
    mapped: dict[str, Any] = walk_images(operator, runner)
    local = LocalKube.start(tmp_path_factory.mktemp("walk"), mapped, mounts="mount")
    try:
        walk_through(local, tmp_path)
    finally:
        local.stop()
