"""The command line as people and pods use it: real processes, real files, real ports."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector_runner.schemas.catalogue import parse_line
from connector_runner.schemas.manifest import DatasetTarget, RunnerManifest, encode_manifest
from connector_runner.schemas.outcome import parse_termination
from tests.scripted.process import start_runner, write_manifest
from tests.servers.ports import free_port

ROOT = Path(__file__).parents[3]


def runner(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.scripted", *arguments], capture_output=True, text=True, cwd=folder, timeout=120,
        stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, check=False,
    )  # fmt: skip


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_manifest(
        tmp_path / "m.yaml", "sqlite:///data.db", {"batches": 30, "rows": 5, "seed": 4}, stream="upserts"
    )


def poll(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + 60
    while not (value := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return value


def test_run_rows_checkpoint_on_one_manifest(manifest: Path, tmp_path: Path) -> None:
    assert runner("rows", "-f", str(manifest), folder=tmp_path).returncode == 1, "there is no file yet"
    done = runner("run", "-f", str(manifest), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1])["exitCode"] == 0
    as_json = runner("rows", "-f", str(manifest), "--output", "json", "--limit", "3", folder=tmp_path).stdout
    lines = [json.loads(line) for line in as_json.splitlines()]
    assert len(lines) == 3
    assert set(lines[0]) >= {"book", "id", "amount"}
    as_csv = runner("rows", "-f", str(manifest), "--output", "csv", "--limit", "3", folder=tmp_path).stdout
    assert [row["id"] for row in csv.DictReader(io.StringIO(as_csv))] == [str(line["id"]) for line in lines]
    assert "book" in runner("rows", "-f", str(manifest), folder=tmp_path).stdout
    (shown,) = json.loads(runner("checkpoint", "show", "-f", str(manifest), folder=tmp_path).stdout)
    assert (shown["position"], shown["identity"], shown["epoch"]) == ({"next": 30}, "script", 1)
    asked = runner("checkpoint", "reset", "-f", str(manifest), folder=tmp_path)
    assert (asked.returncode, "--yes" in asked.stderr) == (78, True)
    assert (
        "1 checkpoint(s) reset" in runner("checkpoint", "reset", "-f", str(manifest), "--yes", folder=tmp_path).stdout
    )
    (shown,) = json.loads(runner("checkpoint", "show", "-f", str(manifest), folder=tmp_path).stdout)
    assert shown["position"] is None


def test_a_checkpoint_belongs_to_a_namespace(manifest: Path, tmp_path: Path) -> None:
    assert runner("run", "-f", str(manifest), "-n", "prod", folder=tmp_path).returncode == 0
    for action in (["show"], ["reset", "--yes"]):
        wrong = runner("checkpoint", *action, "-f", str(manifest), folder=tmp_path)
        assert (wrong.returncode, "default/test" in wrong.stderr, "--namespace" in wrong.stderr) == (78, True, True)
    shown = runner("checkpoint", "show", "-f", str(manifest), "--namespace", "prod", folder=tmp_path)
    assert json.loads(shown.stdout)[0]["connector"] == "prod/test"
    reset = runner("checkpoint", "reset", "-f", str(manifest), "-n", "prod", "--yes", folder=tmp_path)
    assert reset.stdout == "1 checkpoint(s) reset\n"


def test_looking_at_a_file_changes_nothing_in_it(manifest: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "data.db")) as connection:
        connection.execute("CREATE TABLE mine (k)")
    before = (tmp_path / "data.db").read_bytes()
    for command in (["checkpoint", "show"], ["checkpoint", "reset", "--yes"], ["rows"]):
        runner(*command, "-f", str(manifest), folder=tmp_path)
    assert (tmp_path / "data.db").read_bytes() == before


def test_on_a_terminal_progress_is_shown_below_the_log(tmp_path: Path) -> None:
    manifest = write_manifest(
        tmp_path / "m.yaml", f"sqlite:////{tmp_path}/data.db", {"batches": 60, "pauseMs": 20, "breakEvery": 20}
    )
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.scripted", "run", "-f", str(manifest)], cwd=tmp_path, stderr=theirs,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    assert process.wait(60) == 0, shown.decode()
    assert b"rows/s" in shown
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "\n").split("\n")
    told = [line for line in lines if "retryInSeconds" in line]
    assert len(told) == 3
    assert all(re.match(r"\d\d:\d\d:\d\d warning the script says: connection lost", line) for line in told), told


def test_schema_and_usage(tmp_path: Path) -> None:
    (schema,) = json.loads(runner("schema", "coinbase", folder=tmp_path).stdout)
    assert schema["required"] == ["config", "connectorType", "wait"]
    assert "productId" in schema["properties"]["config"]["properties"]
    assert len(json.loads(runner("schema", folder=tmp_path).stdout)) >= 3
    assert runner("schema", "redis", folder=tmp_path).returncode == 78
    assert runner("walk", folder=tmp_path).returncode == 2
    assert runner("run", folder=tmp_path).returncode == 2
    assert "Exit codes" in runner("--help", folder=tmp_path).stdout


def test_discover_by_hand_and_in_a_pod(manifest: Path, tmp_path: Path) -> None:
    assert "widening" in runner("discover", "-f", str(manifest), folder=tmp_path).stdout
    listed = json.loads(runner("discover", "-f", str(manifest), "--output", "json", folder=tmp_path).stdout)
    assert [stream["id"] for stream in listed["streams"]] == ["mixed", "upserts", "widening"]
    orders = RunnerManifest(namespace="ns", name="c", uid="u", connector_type="SCRIPTED", stream="mixed")
    message = tmp_path / "termination"
    done = runner(
        "discover", folder=tmp_path, CONNECTOR_MANIFEST=encode_manifest(orders), CONNECTOR_TERMINATION_LOG=str(message)
    )
    assert done.returncode == 0, done.stderr
    summary = parse_line(done.stdout + done.stderr, message.read_text())
    assert summary is not None
    assert [stream.id for stream in summary.streams] == ["mixed", "upserts", "widening"]


def on_a_terminal(width: int, *arguments: str, folder: Path) -> str:
    """What a command that ends writes to a terminal of so many columns, with plain line ends."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.scripted", *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=theirs,
        stderr=theirs, env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": str(width)},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    assert process.wait(60) == 0, shown.decode()
    return re.sub(r"\r+\n", "\n", shown.decode())  # the terminal adds a carriage return, CSV has one of its own


def test_the_streams_on_a_terminal_in_a_pipe_and_as_documents(manifest: Path, tmp_path: Path) -> None:
    discover = ("discover", "-f", str(manifest))
    lines = on_a_terminal(70, *discover, folder=tmp_path).splitlines()
    assert max(map(len, lines)) <= 70, lines
    assert any(re.search(r" and \d+ more$", line) for line in lines), lines
    listed = yaml.safe_load(runner(*discover, "-o", "yaml", "--like", "*s", folder=tmp_path).stdout)
    ((stream, columns),) = [(each["id"], [column["name"] for column in each["columns"]]) for each in listed["streams"]]
    assert stream == "upserts"
    (line,) = [each for each in runner(*discover, folder=tmp_path).stdout.splitlines() if each.startswith("upserts ")]
    assert line.endswith(", ".join(columns)), "in a pipe each column is named"
    refused = runner(*discover, "--like", "a..b", folder=tmp_path)
    assert (refused.returncode, "--like" in refused.stderr) == (78, True)


def test_what_a_row_holds_does_not_drive_the_terminal_and_is_whole_in_a_file(manifest: Path, tmp_path: Path) -> None:
    assert runner("run", "-f", str(manifest), folder=tmp_path).returncode == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "data.db")) as dataset, dataset:
        dataset.execute("UPDATE rows SET book = char(27) || '[2J' || char(155) || 'x,' || char(10) || book")
    rows = ("rows", "-f", str(manifest), "--limit", "1")
    for output in (("--output", "csv"), ("--output", "json"), ("--wide",), ("--vertical",), ()):
        shown = on_a_terminal(80, *rows, *output, folder=tmp_path)
        assert all(line.isprintable() for line in shown.split("\n")), (output, shown)
    kept = list(csv.DictReader(io.StringIO(runner(*rows, "--output", "csv", folder=tmp_path).stdout)))
    assert [row["book"].rpartition("\n")[0] for row in kept] == ["\x1b[2J\x9bx,"]


def test_in_a_pod_a_wrong_configuration_is_told_in_the_termination_message(tmp_path: Path) -> None:
    orders = RunnerManifest(
        namespace="ns", name="c", uid="u", run=1, connector_type="SCRIPTED", stream="mixed",
        config={"seed": "one", "batches": [], "unknown": 1}, dataset=DatasetTarget(name="d", url="sqlite:///x.db", table="t"),
    )  # fmt: skip
    message = tmp_path / "termination"
    done = runner(
        "run", folder=tmp_path, CONNECTOR_MANIFEST=encode_manifest(orders), CONNECTOR_TERMINATION_LOG=str(message)
    )
    assert done.returncode == 78
    told = parse_termination(message.read_text())
    assert told.reason == "InvalidConfig"
    for path in (
        "config.seed: expected integer",
        "config.batches: expected integer",
        "config.unknown: not a known property",
    ):
        assert path in told.message
    assert not (tmp_path / "x.db").exists(), "nothing was touched"


@pytest.mark.parametrize(
    ("change", "text"),
    [({"stream": "nothing"}, "there are mixed, upserts"), ({"stream": ""}, "selectedStream: is required")],
)
def test_streams_that_do_not_exist(tmp_path: Path, change: dict[str, str], text: str) -> None:
    manifest = write_manifest(tmp_path / "m.yaml", "sqlite:///data.db", {}, **change)  # type: ignore[arg-type]
    done = runner("run", "-f", str(manifest), folder=tmp_path)
    assert (done.returncode, text in done.stderr) == (78, True), done.stderr


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - our own port
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""


def test_probes_metrics_and_sigterm(tmp_path: Path) -> None:
    manifest = write_manifest(
        tmp_path / "m.yaml",
        f"sqlite:////{tmp_path}/data.db",
        {"batches": 50, "endless": True, "password": "geheim-1234"},
    )
    port = free_port()
    process = start_runner(manifest, options=["--probe-address", f"127.0.0.1:{port}"])
    base = f"http://127.0.0.1:{port}"
    poll(lambda: get(f"{base}/readyz") == (200, "ready\n"), "ready")
    assert get(f"{base}/healthz") == (200, "ok\n")
    metrics = poll(
        lambda: 'connector_rows_total{operation="upsert"}' in (text := get(f"{base}/metrics")[1]) and text, "metrics"
    )
    for name in ("connector_commit_seconds_bucket", "connector_lag_seconds", "connector_queue_bytes", "connector_ready 1.0",
                 "connector_dead_letters_total", "connector_last_commit_timestamp_seconds"):  # fmt: skip
        assert name in metrics
    process.signal(signal.SIGTERM)
    assert process.wait() == 143
    assert "geheim-1234" not in process.text() + metrics


def test_not_ready_while_the_dataset_is_locked_and_the_second_sigterm_leaves_at_once(tmp_path: Path) -> None:
    manifest = write_manifest(
        tmp_path / "m.yaml", f"sqlite:////{tmp_path}/data.db", {"batches": 10**6, "pauseMs": 5, "endless": True}
    )
    port = free_port()
    process = start_runner(manifest, options=["--probe-address", f"127.0.0.1:{port}"])
    poll(lambda: get(f"http://127.0.0.1:{port}/readyz")[0] == 200, "ready")
    holder = sqlite3.connect(tmp_path / "data.db", isolation_level=None, timeout=60)
    holder.execute("BEGIN IMMEDIATE")
    poll(lambda: "is locked" in process.text(), "it says that the file is locked")
    status, body = get(f"http://127.0.0.1:{port}/readyz")
    assert status == 503
    assert "locked" in body
    assert get(f"http://127.0.0.1:{port}/healthz")[0] == 200
    process.signal(signal.SIGTERM)
    poll(lambda: "stop requested" in process.text(), "it tries to commit")
    process.signal(signal.SIGTERM)
    assert process.wait() == 143
    assert '"done"' not in process.text()
    holder.close()


def test_mounted_secrets_that_are_rotated_are_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "0"
    folder.mkdir(parents=True)
    (folder / "password").write_text("first-password")
    orders = RunnerManifest(
        namespace="ns", name="c", uid="u", run=1, connector_type="SCRIPTED", stream="mixed", config_from=1,
        config={"batches": 5, "endless": True}, dataset=DatasetTarget(name="d", url="sqlite:///x.db", table="t"),
    )  # fmt: skip
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.scripted", "run"], cwd=tmp_path, stderr=log,
        env={
            **os.environ, "PYTHONPATH": str(ROOT), "CONNECTOR_MANIFEST": encode_manifest(orders),
            "CONNECTOR_CONFIG_DIR": str(tmp_path / "config"), "CONNECTOR_DATA_DIR": str(tmp_path),
        },
    )  # fmt: skip
    try:
        text = (tmp_path / "log").read_text
        poll(lambda: "the source is connected" in text(), "started")
        (folder / "password").write_text("second-password")
        poll(lambda: "Secrets have changed" in text(), "the change is noticed")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
        assert "password" not in text().replace("mounted Secrets", "")
    finally:
        process.kill()
        process.wait()
        log.close()
