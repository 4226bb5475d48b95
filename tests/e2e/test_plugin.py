"""`kubectl connectors`, typed as its page has it, by a person with a kubeconfig."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from demo.walk import ROOT
from tests.kit.cluster import PATIENCE, Kit
from tests.localkube.cluster import eventually

PAGE = (ROOT / "docs/kubectl-connectors.md").read_text()
NAME = "trades"
TYPED = {
    "status": rf"(?m)^NAME .*\n{NAME} +COINBASE +running +True +Running +ticker ",
    "status -A": rf"(?m)^NAMESPACE .*\n(.*\n)*\S+ +{NAME} +COINBASE ",
    "status -w": rf"^NAME .*\n{NAME} ",
    "status -o json": rf'"name": "{NAME}",\n +"type": "COINBASE"',
    f"why {NAME}": rf"^{NAME}: running \(Running\), as you ask for",
    f"streams {NAME}": r"(?m)^matches +no ",
    f"streams {NAME} --all": r"(?m)^matches +no ",
    f"streams {NAME} --like 'tick*'": r"^STREAM .*\nticker +yes .*\n$",
    f"logs {NAME}": r"^run 1 serves ",
    f"logs {NAME} -f": r"^run 1 serves ",
    "top": rf"(?m)^NAME +ROWS/S +LAG +ROWS +CPU +MEMORY +FROM\n{NAME} ",
    f"stop {NAME}": rf"^{NAME}: asked to stop\n$",
    f"start {NAME}": rf"^{NAME}: asked to run\n$",
    f"restart {NAME}": rf"^{NAME}: restart asked for\n$",
    f"rediscover {NAME}": rf"^{NAME}: asked to list its streams again\n$",
}
"""Each command of the page, and what it prints (a regular expression)."""


@pytest.fixture
def person(kit: Kit, tmp_path: Path) -> Mapping[str, str]:
    """The environment of a shell: a kubeconfig whose context has the test's namespace, kubectl and the plugin on PATH."""
    path = tmp_path / "kubeconfig"
    path.write_text(kit.cluster.kubeconfig.read_text())
    folders = [str(Path(kit.cluster.kubectl_program).parent), str(Path(sys.executable).parent)]
    shell = {**os.environ, "KUBECONFIG": str(path), "PATH": os.pathsep.join([*folders, os.environ["PATH"]])}
    run(shell, f"kubectl config set-context --current --namespace={kit.namespace}")
    return shell


def run(shell: Mapping[str, str], line: str, code: int = 0) -> str:
    """What a command prints: its output, or, if it is to fail, its errors."""
    done = subprocess.run(shlex.split(line), env=shell, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == code, f"{line}: {done.stdout}{done.stderr}"
    return done.stderr if code else done.stdout


def press_ctrl_c_after(
    shell: Mapping[str, str], line: str, pattern: str, then: Callable[[], None] | None = None, until: str = ""
) -> None:
    """Starts a command that does not end, and presses Ctrl-C when its output has what is expected.

    Args:
        shell: The environment.
        line: The command.
        pattern: What its output must have.
        then: What is done when it has it.
        until: What it must have after that.
    """
    # A process that a shell started in the background ignores Ctrl-C, and so would its children.
    command = ["env", "--default-signal=INT", *shlex.split(line)]
    process = subprocess.Popen(command, env=shell, stdout=subprocess.PIPE, text=True)
    try:
        read_until(process, pattern)
        if then is not None:
            then()
            read_until(process, until)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 130


def read_until(process: subprocess.Popen[str], pattern: str) -> None:
    assert process.stdout is not None
    said = ""
    while not re.search(pattern, said):
        more = process.stdout.readline()
        assert more, f"it has ended: {said}"
        said += more


@pytest.mark.fault
@pytest.mark.timeout(900)  # some twenty processes, and four executions
def test_each_command_of_the_page_does_what_it_says(kit: Kit, person: Mapping[str, str]) -> None:
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL))
    lines = [line.partition(" #")[0].strip() for line in blocks.split("\n")]
    page = [line for line in lines if line.startswith("kubectl connectors ") and "--help" not in line]
    assert sorted(page) == sorted(f"kubectl connectors {command}" for command in TYPED)
    kit.run(NAME)
    for line in page:
        type_line(kit, person, line)


def type_line(kit: Kit, person: Mapping[str, str], line: str) -> None:
    """Types a command of the page, and waits until what it asks for has happened."""
    command = line.removeprefix("kubectl connectors ")
    pattern, verb, before = TYPED[command], command.split()[0], kit.status(NAME)["run"]
    if line.endswith((" -w", " -f")):
        press_ctrl_c_after(person, line, pattern)
    elif verb in {"status", "why", "streams", "logs", "top"}:

        def look() -> bool:
            said = run(person, line)
            assert re.search(pattern, said), said
            return True

        eventually(look, timeout=PATIENCE, what=line)
    else:
        assert re.search(pattern, run(person, line)), line
    if verb == "stop":
        kit.wait(NAME, "stopped", ready=True)
    elif verb in {"start", "restart"}:
        kit.wait_next_run(NAME, before)


def test_all_of_ten_thousand_streams_are_listed_by_a_job(kit: Kit, person: Mapping[str, str]) -> None:
    kit.apply(NAME, "ws://null?streams=10000")
    kit.wait(NAME, "received")
    said = run(person, f"connectors streams {NAME}").splitlines()
    assert len(said) == 1 + 500
    said = run(person, f"connectors streams {NAME} --all").splitlines()
    assert len(said) == 1 + 10_002
    assert said[-1].startswith("table09999 ")
    assert json.loads(run(person, f"connectors streams {NAME} --all --like table*7777 -o json"))["items"] == [
        {"id": "table07777", "selected": False, "key": ["id"], "modes": ["live"], "columns": 3, "now": ""}
    ]
    assert not kit.cluster.kubectl("get", "jobs", "-n", kit.namespace, "-l", "apperate.io/streams", "-o", "name")
    user = f"bob-{kit.namespace}"
    run(person, "kubectl create role looks --verb=get,list --resource=connectors.apperate.io")
    run(person, f"kubectl create rolebinding looks --role=looks --user={user}")

    def is_refused() -> bool:
        return "may not create jobs.batch" in run(person, f"connectors streams {NAME} --all --as {user}", code=1)

    eventually(is_refused, what="the right that is missing is named")


@pytest.mark.fault
def test_logs_go_on_with_the_next_execution(kit: Kit, person: Mapping[str, str]) -> None:
    kit.run(NAME)
    press_ctrl_c_after(
        person,
        f"connectors logs {NAME} -f",
        r"(?m)^run 1 serves ",
        lambda: kit.patch(NAME, restartedAt="now"),
        r"(?m)^run 2 serves ",
    )


def test_why_says_the_last_words(kit: Kit, person: Mapping[str, str]) -> None:
    kit.apply(NAME, "ws://null?run=exit-78", selectedStream="ticker", status="running")
    kit.wait_condition(NAME, "Ready", "BadCredentials")
    lines = {line["label"]: line["text"] for line in json.loads(run(person, f"connectors why {NAME} -o json"))["lines"]}
    assert "put the right one into the Secret" in lines["waits for"]
    assert re.search(r"^run 1 ended .*, exit code 78; BadCredentials: ", lines["last words"])


def test_refusals_say_what_to_do(kit: Kit, person: Mapping[str, str]) -> None:
    kit.apply(NAME)
    refusal = run(person, "connectors why trade", code=1)
    assert refusal == f"There is no trade in the namespace {kit.namespace}. Did you mean {NAME}?\n"
    answer = run(person, f"connectors stop trade {NAME}", code=1)
    assert answer.startswith("trade: There is no trade in")
    assert kit.get(NAME)["spec"]["status"] == "stopped"
    user = f"bob-{kit.namespace}"
    refusal = run(person, f"connectors stop {NAME} --as {user}", code=1)
    assert f"You ({user}) may not patch connectors.apperate.io in the namespace {kit.namespace} (403)." in refusal
    for command in re.findall(r"(?m)^  (kubectl create .*)$", refusal):
        run(person, command)
    eventually(
        lambda: (
            subprocess.run(
                ["connectors", "stop", NAME, "--as", user], env=person, capture_output=True, check=False
            ).returncode
            == 0
        ),
        what="the right that was asked for is enough",
    )
