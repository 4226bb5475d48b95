"""Runners as real processes that start in a few milliseconds: forked from a server that has imported everything."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import yaml

from tests.kit.waiting import wait_until

# Passed to a process before it runs: a hook from the tests, such as one that kills it at a certain statement.
Hook = Callable[[], None]


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.scripted.preload"])
    return context


def _run(arguments: Sequence[str], log: str, hook: Hook | None) -> None:
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    from connector_runner.cli import main
    from tests.scripted.source import TestRegistry

    if hook is not None:
        hook()
    code = main(arguments, TestRegistry())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def fork(target: Callable[..., None], arguments: tuple[Any, ...]) -> ForkServerProcess:
    """Starts a function in a process of its own."""
    process = _context().Process(target=target, args=arguments)
    process.start()
    return process


@dataclass
class Runner:
    """A started `connector-runner`."""

    process: ForkServerProcess
    log: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()

    def wait(self, seconds: float = 120.0) -> int:
        """The exit code; negative for a signal."""
        self.process.join(seconds)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            raise AssertionError(f"the runner did not end within {seconds} s: {self.text()[-3000:]}")
        self.process.close()
        return code

    def wait_for(self, *texts: str) -> None:
        """Waits until the log has one of these."""
        wait_until(lambda: any(text in self.text() for text in texts), f"the log says {' or '.join(texts)}")

    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


def start_runner(
    manifest: Path | None,
    *,
    command: str = "run",
    hook: Hook | None = None,
    options: Sequence[str] = (),
    log: Path | None = None,
) -> Runner:
    """Starts a runner by hand on a manifest file; without one, `hook` sets the orders in the environment and `log` is the log file."""
    given = ["-f", str(manifest)] if manifest else []
    log = log or (manifest or Path("runner")).with_suffix(".log")
    process = _context().Process(target=_run, args=([command, *given, *options], str(log), hook), daemon=True)
    process.start()
    return Runner(process, log)


def write_manifest(
    path: Path, url: str, config: dict[str, Any], *, stream: str = "mixed", wait: bool = True, table: str = "rows",
    write_mode: str = "upsert", options: Mapping[str, str] | None = None, name: str = "test",
) -> Path:  # fmt: skip
    """Writes a connector and its dataset; `options` of the dataset come from a Secret in the same file."""
    connector = {
        "apiVersion": "apperate.io/v1", "kind": "Connector", "metadata": {"name": name},
        "spec": {
            "connectorType": "SCRIPTED", "datasetId": "rows", "wait": wait, "config": config, "selectedStream": stream,
        },
    }  # fmt: skip
    dataset = {
        "apiVersion": "apperate.io/v1", "kind": "Dataset", "metadata": {"name": "rows"},
        "spec": {"url": url, "table": table, "writeMode": write_mode},
    }  # fmt: skip
    documents: list[dict[str, Any]] = [connector, dataset]
    if options:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "options"}, "stringData": dict(options)}
        dataset["spec"]["optionsFrom"] = [{"secretRef": {"name": "options"}}]  # type: ignore[index]
        documents.append(secret)
    path.write_text(yaml.safe_dump_all(documents))
    return path


def last_line(runner: Runner) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(runner.text().strip().splitlines()[-1])
    return line
