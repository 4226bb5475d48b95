"""Both images, built by buildah from their Dockerfiles on a base of Debian's packages: no registry of images is needed.

Only for the long suites: a base takes some minutes, and an image a few more.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.fetch import once, run_client
from tests.servers.unstable import own_mirror

ROOT = Path(__file__).parents[2]
SUITE = "trixie"
"""The Debian release with the Python of the Dockerfiles' own base, 3.13."""
BASE, BUILD_BASE = "localhost/connector-base:1", "localhost/connector-build-base:1"
DOCKERFILES = {"operator": "operator/Dockerfile", "runner": "connector_runner/Dockerfile"}
# What a person may need to reach packages: certificates and pip's own configuration.
_CONFIGURATION = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image in buildah's own store.

    Attributes:
        name: Its name there.
        root: The folder with its files, as long as it is mounted.
        config: What it says about itself: user, command, environment, labels.
        layers: Bytes of each of its layers, the base's first.
    """

    name: str
    root: Path
    config: Mapping[str, Any]
    layers: Sequence[int]

    @property
    def environment(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.config.get("Env", ()))

    def run(self, *command: str, options: Sequence[str] = (), timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Runs a command in the image's own files, with nothing of the host but the network and `/dev/null`.

        Args:
            command: Replaces the image's own.
            options: Of `buildah run`, such as `--volume`.
            timeout: Seconds.
        """
        with _container(self.name) as (container, _):
            return subprocess.run(
                ["buildah", "run", "--isolation", "chroot", *options, container, "--", *command],
                capture_output=True, text=True, timeout=timeout, check=False,
            )  # fmt: skip


def prepare_bases() -> None:
    """Makes both bases: Python alone, and Python with what makes virtual environments; the first call takes minutes.

    Raises:
        MissingClientError: buildah or debootstrap is not installed.
        RuntimeError: One of them failed, or this is not root, who alone may unpack a system.
    """
    if os.geteuid() != 0:
        raise RuntimeError("images for tests are built by root alone: debootstrap makes devices and owners")
    _prepare_base(BASE, "python3")
    _prepare_base(BUILD_BASE, "python3,python3-venv,ca-certificates")


def _prepare_base(name: str, packages: str) -> None:
    folder = f"newer-{name.rpartition('/')[2].replace(':', '-')}-{SUITE}"
    home = once(folder, lambda home: _bootstrap(home, packages))
    if _buildah("images", "--quiet", name, check=False).strip():
        return
    container = _buildah("from", "scratch").strip()
    try:
        _buildah("add", "--quiet", container, str(home / "root.tar"), "/")
        _buildah("commit", "--quiet", container, name)
    finally:
        _buildah("rm", container)


def _bootstrap(home: Path, packages: str) -> None:
    command = ["debootstrap", "--variant=minbase", f"--include={packages}", SUITE, str(home / "root"), own_mirror()]
    run_client(command)
    run_client(["tar", "-C", str(home / "root"), "-cf", str(home / "root.tar"), "--exclude=./var/cache/apt/archives/*.deb",
                "--exclude=./var/lib/apt/lists/*", "."])  # fmt: skip
    shutil.rmtree(home / "root")


@contextmanager
def built_image(part: str) -> Iterator[BuiltImage]:
    """Builds `operator` or `runner` as `make images` does; the image stays in buildah's store for the next time.

    Raises:
        RuntimeError: The build failed; the message has the end of its output.
    """
    prepare_bases()
    name = f"connector-{part}:dev"
    options = " ".join(f"--volume {path}:{path}:ro" for path in _CONFIGURATION if Path(path).exists())
    run_client(["make", "-C", str(ROOT), f"image-{part}", f"BASE={BASE}", f"BUILD_BASE={BUILD_BASE}",
                f"IMAGE_OPTIONS=--layers {options}"])  # fmt: skip
    found = json.loads(_buildah("inspect", "--type", "image", name))
    sizes = [int(layer["size"]) for layer in json.loads(found["Manifest"])["layers"]]
    with _container(name) as (_, root):
        yield BuiltImage(name, root, found["OCIv1"]["config"], sizes)


@contextmanager
def _container(image: str) -> Iterator[tuple[str, Path]]:
    """A container of an image, and the folder where its files are."""
    container = _buildah("from", "--pull-never", image).strip()
    try:
        yield container, Path(_buildah("mount", container).strip())
    finally:
        _buildah("rm", container)


def _buildah(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["buildah", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"buildah {' '.join(arguments)} failed: {done.stderr[-2000:]}")
    return done.stdout
