"""A server as a process of its own, with its data in a temporary directory: start, stop, kill, destroy. The servers here are built on it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from tests.servers.ports import free_port


class EndedAtStartError(RuntimeError):
    """The server ended instead of serving; the message is the end of what it logged."""


class ServerProcess(ABC):
    """A server and its data; usable as a context manager, which starts it and removes everything at the end.

    A stop and a kill keep the data, so that a later start goes on with them, on the same port.

    Args:
        name: What it is called in messages and in the name of its directory.
        folder: Where that directory is made; None: where temporary files are.
    """

    host = "127.0.0.1"
    PATIENCE = 90.0
    """Seconds within which it must serve."""
    STOP = signal.SIGTERM
    """Asks for an orderly end."""
    NOT_READY: ClassVar[tuple[type[Exception], ...]] = (OSError,)
    """What `is_ready` may raise while it does not serve yet."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        self.name = name
        self.directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))
        self.port = free_port()
        self._log = self.directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """The program and its options, for one start."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it serves; may raise what is in `NOT_READY` instead of saying no."""

    def spawn_options(self) -> dict[str, Any]:
        """What `subprocess.Popen` is given besides: environment, user."""
        return {}

    def start(self) -> Self:
        """Starts the server and waits until it serves.

        Raises:
            EndedAtStartError: It ended first.
            TimeoutError: It still did not serve after `PATIENCE`.
        """
        before = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command(), stdout=output, stderr=output, cwd=self.directory, **self.spawn_options()
            )
        end = time.monotonic() + self.PATIENCE
        while not self._has_begun():
            if self._process.poll() is not None:
                self._process = None
                raise EndedAtStartError(f"{self.name} ended at its start: {self._log_since(before)}")
            if time.monotonic() > end:
                self.kill()
                raise TimeoutError(f"{self.name} did not serve after {self.PATIENCE:.0f} s: {self._log_since(before)}")
            time.sleep(0.02)
        return self

    def _has_begun(self) -> bool:
        try:
            return self.is_ready()
        except self.NOT_READY:
            return False

    def _log_since(self, start: int) -> str:
        return self._log.read_bytes()[start:].decode(errors="replace")[-3000:]

    def last_words(self) -> str:
        """How it ended, if it did so by itself, with the end of its log; else ""."""
        code = None if self._process is None else self._process.poll()
        return "" if code is None else f"{self.name} ended with {code}: {self._log_since(0)}"

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def stop(self) -> None:
        """Ends the server as a service manager does: it saves what it holds."""
        if self._process is not None:
            self._process.send_signal(self.STOP)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """Ends the server like a crash: SIGKILL."""
        if self._process is not None:
            if self._process.poll() is None:  # else it has ended by itself
                self._signal(signal.SIGKILL)
                self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def destroy(self) -> None:
        """Ends the server and removes its data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.destroy()
            raise

    def __exit__(self, *_: object) -> None:
        self.destroy()
