"""A cluster as tests hold it: the local one that they start, or any other that a kubeconfig leads to."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypedDict

from kubernetes import config

from tests.kit.waiting import wait_until
from tests.localkube.build import ensure_binary, locked

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")


class Image(TypedDict, total=False):
    """What replaces a container image; README.md describes each field."""

    command: Sequence[str]
    args: Sequence[str]
    env: Mapping[str, str]
    user: int
    workingDir: str
    readAll: bool
    root: str


class KubectlError(Exception):
    """A kubectl command failed.

    Attributes:
        returncode: its exit code.
        stderr: what it said.
    """

    def __init__(self, arguments: Sequence[str], returncode: int, stderr: str) -> None:
        super().__init__(f"kubectl {' '.join(arguments)} exited with {returncode}: {stderr.strip()}")
        self.returncode = returncode
        self.stderr = stderr


class Cluster:
    """Any cluster that a kubeconfig leads to."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self._api: Any = None

    @property
    def kubectl_program(self) -> str:
        """The kubectl on PATH.

        Raises:
            FileNotFoundError: there is none.
        """
        found = shutil.which("kubectl")
        if found is None:
            raise FileNotFoundError(f"the cluster of {self.kubeconfig} needs kubectl on PATH")
        return found

    def kubectl_command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """Returns a kubectl command line and its environment, for tests that start it themselves (`logs -f`)."""
        head = [self.kubectl_program, "--kubeconfig", str(self.kubeconfig)]
        return [*head, *arguments], {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def kubectl(self, *arguments: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """Runs kubectl and returns its standard output.

        Args:
            arguments: what follows `kubectl`.
            input: what it reads from standard input (`-f -`).
            check: raise if it fails; if not set, the output is returned anyway.

        Raises:
            KubectlError: it failed and `check` is set.
        """
        command, environment = self.kubectl_command(*arguments)
        done = subprocess.run(command, input=input, env=environment, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise KubectlError(arguments, done.returncode, done.stderr)
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """Returns an object (or a List) as kubectl's JSON."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def read(self, path: str) -> dict[str, Any]:
        """Returns what the API server answers to GET: much cheaper than kubectl, for polling.

        Raises:
            LookupError: the object does not exist.
            RuntimeError: it was refused.
        """
        if self._api is None:
            make: Any = config.new_client_from_config
            self._api = make(str(self.kubeconfig))
        request = self._api.param_serialize(
            "GET", path, header_params={"Accept": "application/json"}, auth_settings=["BearerToken"]
        )
        response = self._api.call_api(*request)
        found: dict[str, Any] = json.loads(response.read())
        if response.status == HTTPStatus.NOT_FOUND:
            raise LookupError(path)
        if response.status != HTTPStatus.OK:
            raise RuntimeError(f"GET {path}: {found.get('message')}")
        return found

    def apply(self, manifest: Mapping[str, Any] | str, namespace: str | None = None) -> None:
        """Applies a manifest, given as a value or as text."""
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        self.kubectl("apply", *(["-n", namespace] if namespace else []), "-f", "-", input=text)

    def stop(self) -> None:
        """Ends the cluster, if it is this object's own."""


class LocalKube(Cluster):
    """A cluster of local processes, which ends with the process that started it."""

    def __init__(self, directory: Path, *, binary: Path, user: int | None = None) -> None:
        super().__init__(directory / "kubeconfig")
        self.directory = directory
        self._binary = binary
        self._user = user

    @classmethod
    def start(
        cls,
        directory: Path,
        images: Mapping[str, Image | Sequence[str]],
        audit: bool = False,
        *,
        mounts: str = "auto",
        parent: int | None = None,
        user: int | None = None,
        binary: Path | None = None,
    ) -> LocalKube:
        """Starts a cluster and returns when its node is ready.

        Args:
            directory: where its files go; a running cluster there is taken as it is.
            images: image → what runs for it: a command prefix, or an `Image`; added to what a running cluster has.
            audit: write an audit log, for `audit_events`.
            mounts: `auto`, `mount`, `user+mount` or `paths`: how containers see their volumes.
            parent: the process that the cluster ends with; default: this one.
            user: the uid that the cluster runs as; only root can choose.
            binary: another localkube than this checkout's.

        Raises:
            BuildError: the binary can't be built here.
            RuntimeError: the cluster did not become ready; the text has the reason.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self = cls(directory.resolve(), binary=binary or ensure_binary(), user=user)
        if user is not None:
            os.chown(self.directory, user, user)
        options = ["--images", str(self.images_file), "--mounts", mounts, "--parent", str(parent or os.getpid())]
        with self._images_lock():
            # Pods that run tests now may be of images that this caller knows nothing of.
            self._write_images(images, keep=self.is_running())
            try:
                self.run("up", *options, *(["--audit"] if audit else []))
            except BaseException:
                self.stop()
                raise
        return self

    @property
    def kubectl_program(self) -> str:
        """The one that is part of localkube's binary."""
        return str(ensure_binary().with_name("kubectl"))

    def is_running(self) -> bool:
        """Says whether a supervisor runs in the directory, whatever the state of its parts."""
        return not self.status().startswith("no cluster runs")

    @property
    def supervisor_pid(self) -> int:
        """The process that all of the cluster ends with."""
        return int((self.directory / "run" / "supervisor.pid").read_text())

    @property
    def images_file(self) -> Path:
        """The mapping of images, which the node reads again whenever it changes."""
        return self.directory / "images.json"

    def _images_lock(self) -> contextlib.AbstractContextManager[None]:
        return locked(self.directory / "images.lock", quiet=True)

    def _write_images(self, images: Mapping[str, Image | Sequence[str]], *, keep: bool) -> None:
        full = {name: value if isinstance(value, dict) else {"command": list(value)} for name, value in images.items()}
        if keep:
            full = {**json.loads(self.images_file.read_text())["images"], **full}
        with tempfile.NamedTemporaryFile("w", dir=self.directory, delete=False) as file:
            json.dump({"base": str(ROOT), "images": full}, file)
        path = Path(file.name)
        path.chmod(0o644)
        path.replace(self.images_file)

    def map_images(self, images: Mapping[str, Image | Sequence[str]]) -> None:
        """Adds to the mapping of images, or changes it, while the cluster runs."""
        with self._images_lock():
            self._write_images(images, keep=True)

    def run(self, command: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command of localkube for this cluster.

        Raises:
            RuntimeError: it failed and `check` is set.
        """
        line = [str(self._binary), command, "--dir", str(self.directory), *arguments]
        options: dict[str, Any] = (
            {} if self._user is None else {"user": self._user, "group": self._user, "extra_groups": []}
        )
        done = subprocess.run(line, capture_output=True, text=True, check=False, **options)
        if check and done.returncode:
            raise RuntimeError(f"localkube {command}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def stop(self) -> None:
        """Ends the cluster; nothing of it is left but its logs and audit log."""
        self.run("down")

    def status(self) -> str:
        """What `localkube status` prints."""
        return self.run("status", check=False).stdout

    def component(self, name: str) -> Component:
        """Returns a component: etcd, kube-apiserver, kube-controller-manager, kube-scheduler or kubelet."""
        if name not in COMPONENTS:
            raise ValueError(f"no component {name!r}: there are {', '.join(COMPONENTS)}")
        return Component(self, name)

    def audit_events(self) -> Iterator[dict[str, Any]]:
        """Yields the audit log's events so far: user, verb, objectRef, responseStatus, for writes requestObject."""
        return AuditLog(self.directory).new_events()

    def volume_path(self, namespace: str, claim: str) -> Path:
        """The directory on this machine behind a bound PersistentVolumeClaim."""
        volume = self.get("pvc", claim, "-n", namespace)["spec"]["volumeName"]
        return Path(self.get("pv", volume)["spec"]["hostPath"]["path"])


class AuditLog:
    """A cluster's audit log, read from where the last reading ended; the file is replaced when it has become large."""

    def __init__(self, directory: Path, *, from_now: bool = False) -> None:
        self._directory = directory
        self._read: dict[int, int] = {}  # bytes, by the file's inode, which stays when a full file is renamed
        if from_now:
            for _ in self.new_events():
                pass

    def new_events(self) -> Iterator[dict[str, Any]]:
        """Yields the events since the last call, oldest first."""
        for path in [*sorted(self._directory.glob("audit-*.log")), self._directory / "audit.log"]:
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                file.seek(self._read.get(inode, 0))
                for line in file:
                    if line.endswith(b"\n"):
                        self._read[inode] = self._read.get(inode, 0) + len(line)
                        yield json.loads(line)


@dataclass(frozen=True)
class Component:
    """One process of a local cluster, which tests may take away."""

    cluster: LocalKube
    name: str

    @property
    def pid(self) -> int:
        """Its process.

        Raises:
            LookupError: it is down.
        """
        try:
            return int((self.cluster.directory / "run" / f"{self.name}.pid").read_text())
        except FileNotFoundError:
            raise LookupError(f"{self.name} is down") from None

    def kill(self) -> None:
        """SIGKILL; it stays dead until `start` or `restart`."""
        self.cluster.run("component", self.name, "kill")

    def start(self) -> None:
        """Brings it back after `kill`."""
        self.cluster.run("component", self.name, "start")

    def pause(self) -> None:
        """SIGSTOP: it is there but does nothing."""
        self.cluster.run("component", self.name, "pause")

    def resume(self) -> None:
        """SIGCONT."""
        self.cluster.run("component", self.name, "resume")

    def restart(self) -> None:
        """Sends SIGKILL and starts it again; returns when the new process exists."""
        self.cluster.run("component", self.name, "restart")

    def crash(self) -> None:
        """Sends SIGKILL without the supervisor's knowledge; it starts the process again, as after a crash."""
        os.kill(self.pid, signal.SIGKILL)


def eventually(check: Any, *, timeout: float = 60.0, what: str = "") -> Any:
    """Calls `check` until it returns something true, and returns that; what it raises about the cluster means not yet.

    Raises:
        AssertionError: it did not within `timeout` seconds; names the last answer or exception.
    """
    not_yet = (KubectlError, AssertionError, LookupError)
    return wait_until(check, what or str(check), timeout, ignoring=not_yet, pause=0.1)
