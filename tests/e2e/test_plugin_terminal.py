"""`kubectl connectors` on a terminal, against an API server that goes away, refuses, knows no connectors, or has a thousand."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import termios
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from connector_operator.kubectl.cluster import Cluster as Asked
from connector_operator.kubectl.cluster import Json, Login
from connector_operator.kubectl.watching import follow_rows
from demo.walk import ROOT
from tests.e2e.plugin_terminal import Screen, environment, resize, run
from tests.kit.cluster import PATIENCE
from tests.kit.console_fleet import advance, build_fleet, create_fleet, write_statuses
from tests.localkube.cluster import LocalKube, eventually
from tests.localkube.plugin import default_images

FEW, MANY = "few", "many"
COUNT = 16
pytestmark = [
    pytest.mark.fault,
    pytest.mark.timeout(900),
    pytest.mark.skipif("CONNECTOR_TEST_KUBECONFIG" in os.environ, reason="takes parts of a cluster of its own away"),
]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    """A cluster without an operator; before the custom resource definitions are there, `status` says what is missing."""
    local = LocalKube.start(tmp_path_factory.mktemp("bare"), default_images())
    try:
        said = run(local, "status", code=1).stderr
        assert "does not know connectors.apperate.io (404)" in said
        assert "kubectl apply --server-side -k crds/" in said
        local.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
        for name, count in ((FEW, COUNT), (MANY, 1000)):
            local.kubectl("create", "namespace", name)
            create_fleet(local, name, count)
        yield local
    finally:
        local.stop()


def test_a_live_table_is_drawn_on_the_terminal_follows_its_size_and_leaves_it_as_it_was(bare: LocalKube) -> None:
    fleet = list(build_fleet(COUNT, datetime.now(UTC)))
    one = next(each for each in fleet if (each.get("status") or {}).get("progress"))
    screen = Screen(bare, 100, 30, "status", "-w", "-n", FEW)
    try:
        screen.read_until(r"\x1b\[\?1049h.*\x1b\[\?25l")  # the other screen, without a cursor
        drawn = screen.read_until(r"NAME .*AGE")
        assert "more; all without -w" not in drawn
        write_statuses(bare, FEW, [{**advance(one, 1), "status": {**one["status"], "progress": {"text": "seen live"}}}])
        screen.read_until("seen live")
        resize(screen.ours, 60, 10)
        screen.read_until(rf"{COUNT - 5} more; all without -w")
        os.write(screen.ours, b"\x03")
        end = screen.read_until(r"\x1b\[\?1049l.*\x1b\[\?25h|\x1b\[\?25h.*\x1b\[\?1049l")
        assert screen.process.wait(PATIENCE) == 130
        assert "Traceback" not in end + screen.said
        assert termios.tcgetattr(screen.theirs) == screen.before
    finally:
        screen.close()


def test_a_table_fits_80_columns_and_is_whole_in_a_pipe(bare: LocalKube) -> None:
    screen = Screen(bare, 80, 24, "status", "-n", FEW)
    try:
        assert screen.process.wait(PATIENCE) == 0
        shown = screen.read_until(r"NAME.*(?=.{0}$)")
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "")
        assert max(map(len, plain.split("\n"))) <= 80
        for one in build_fleet(COUNT, datetime.now(UTC)):
            assert f"\n{one['metadata']['name']} " in plain, "names are whole"
    finally:
        screen.close()
    lines = run(bare, "status", "-n", FEW).stdout.splitlines()
    assert len(lines) == COUNT + 1


class Late(Asked):
    """Lists as always; the first list's version is one that the API server does not remember any more."""

    lists = 0

    def list(self, namespace: str) -> Json:
        found, self.lists = super().list(namespace), self.lists + 1
        if self.lists == 1:
            found["metadata"]["resourceVersion"] = "1"
        return found


def test_a_version_that_is_gone_is_listed_again(bare: LocalKube) -> None:
    asked = Late(Login(str(bare.kubeconfig)))
    seen = follow_rows(asked, FEW)
    assert len(next(seen).rows) == len(next(seen).rows) == COUNT
    assert asked.lists == 2


def test_a_watch_goes_on_when_the_api_server_is_back(bare: LocalKube, tmp_path: Path) -> None:
    fleet = list(build_fleet(COUNT, datetime.now(UTC)))
    one = next(each for each in fleet if (each.get("status") or {}).get("progress"))
    with (tmp_path / "out").open("w") as out, (tmp_path / "errors").open("w") as errors:
        process = subprocess.Popen(
            ["env", "--default-signal=INT", "connectors", "status", "-w", "-n", FEW],
            env=environment(bare),
            stdout=out,
            stderr=errors,
        )

        def said(name: str, text: str) -> bool:
            assert process.poll() is None, (tmp_path / "errors").read_text()
            return text in (tmp_path / name).read_text()

        changed = {**advance(one, 1), "status": {**one["status"], "progress": {"text": "back again"}}}

        def write_back() -> bool:
            write_statuses(bare, FEW, [changed])
            return True

        try:
            eventually(lambda: said("out", one["metadata"]["name"]), what="the first table")
            bare.component("kube-apiserver").kill()
            eventually(
                lambda: said("errors", "It is asked again until it answers."), what="that nothing answers is said"
            )
            bare.component("kube-apiserver").start()
            eventually(write_back, what="the API server is back")
            eventually(lambda: said("out", "back again"), what="the change is seen")
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 130
    assert "Traceback" not in (tmp_path / "errors").read_text()


def test_from_the_beginning_without_an_answer_it_ends_and_says_so(bare: LocalKube, tmp_path: Path) -> None:
    config = yaml.safe_load(bare.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    for command in (["status"], ["status", "-w"], ["why", "x"]):
        assert run(bare, *command, kubeconfig=path, code=1).stderr.startswith("No answer from https://127.0.0.1:1, ")


def test_a_token_that_is_revoked_is_refused_and_a_plugin_is_asked_for_another(bare: LocalKube, tmp_path: Path) -> None:
    bare.kubectl("create", "serviceaccount", "gone", "-n", FEW)
    bare.kubectl("create", "serviceaccount", "kept", "-n", FEW)
    bare.kubectl("create", "clusterrolebinding", "kept", "--clusterrole=cluster-admin", f"--serviceaccount={FEW}:kept")
    gone, kept = (bare.kubectl("create", "token", name, "-n", FEW).strip() for name in ("gone", "kept"))
    bare.kubectl("delete", "serviceaccount", "gone", "-n", FEW)
    config = yaml.safe_load(bare.kubeconfig.read_text())

    def write(user: object) -> Path:
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump({**config, "users": [{"name": config["users"][0]["name"], "user": user}]}))
        return path

    refused = eventually(
        lambda: run(bare, "status", "-n", FEW, kubeconfig=write({"token": gone}), code=1).stderr.startswith(
            "The API server does not accept your credentials (401): log in again"
        ),
        timeout=PATIENCE,
        what="the token of an account that is gone is refused",
    )
    assert refused
    script = tmp_path / "login"
    script.write_text(
        f'#!/bin/sh\ncd {tmp_path}; t={gone}; [ -e asked ] && t={kept}; touch asked; echo "{{\\"status\\": {{\\"token\\": \\"$t\\"}}}}"\n'
    )
    script.chmod(0o755)
    plugin = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./login", "interactiveMode": "Never"}
    }
    listed = json.loads(run(bare, "status", "-n", FEW, "-o", "json", kubeconfig=write(plugin)).stdout)
    assert len(listed["items"]) == COUNT


def test_a_thousand_take_at_most_twice_as_long_as_by_kubectl_get(bare: LocalKube) -> None:
    shell = environment(bare)

    def seconds(*command: str) -> float:
        begun = time.perf_counter()
        done = subprocess.run(command, env=shell, capture_output=True, text=True, check=True)
        assert done.stdout.count("\n") == 1001
        return time.perf_counter() - begun

    pairs = [
        (seconds("connectors", "status", "-n", MANY), seconds("kubectl", "get", "connectors", "-n", MANY))
        for _ in range(7)
    ]
    ours, theirs = (statistics.median(each) for each in zip(*pairs, strict=True))
    print(f"status of 1,000: {ours:.2f} s, kubectl get: {theirs:.2f} s, ratio {ours / theirs:.2f}")
    assert ours <= 2 * theirs
