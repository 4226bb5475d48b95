"""The walk-through by curl, as typed, on a cluster of its own: the operator, the real runner, the COINBASE simulator and the API's Deployment."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.stage import Stage, prepare_own_cluster
from demo.walk import ROOT, run_command, walk
from tests.localkube.build import ensure_binary
from tests.localkube.cluster import Cluster, eventually

CALLS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "seed_calls.yaml").read_text())
# How the page makes the caller's account; what goes before and after it is another on a local cluster.
INSTALL, *ACCOUNT, TOKEN, FORWARD, ADDRESS = (
    (ROOT / "docs/http-api.md").read_text().split("## Install")[1].split("```sh\n")[1].split("\n```")[0].splitlines()
)
# As typed in the original: without quotes the shell takes `&` for its own, so displayConfigs is never sent.
UNQUOTED = "curl -sS $API/v1/connectors/connector/YOUR_CONNECTOR?token=$TOKEN&displayConfigs=true; wait"
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        "CONNECTOR_TEST_KUBECONFIG" in os.environ,
        reason="needs a cluster that reaches this checkout's simulator by pod address",
    ),
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The demo's cluster with the API installed from its manifests; `API` and `TOKEN` are in the environment."""
    ensure_binary()
    folder = tmp_path_factory.mktemp("walk")
    with prepare_own_cluster(print, folder) as stage:
        walk(stage.install, stage.environment, print)
        cluster = Cluster(Path(stage.environment["KUBECONFIG"]))
        cluster.kubectl("apply", "-f", str(ROOT / "demo/dataset.yaml"))
        cluster.kubectl("apply", "-k", str(ROOT / "manifests/localkube-api"))
        cluster.kubectl("rollout", "status", "deployment/connectors-api", "--timeout=120s")
        (pod,) = cluster.get("pods", "-l", "app.kubernetes.io/name=connectors-api")["items"]
        for command in ACCOUNT:
            assert "created" in run_command(command, stage.environment)
        environment = {
            **stage.environment,
            "API": f"http://{pod['status']['podIP']}:8080",
            "TOKEN": run_command(TOKEN.removeprefix("TOKEN=$(").removesuffix(")"), stage.environment).strip(),
        }
        yield replace(stage, environment=environment)


def run(stage: Stage, call: Mapping[str, Any], way: str) -> str:
    """Types a call; the simulator's name is replaced by its address, since the test cluster has no names of services."""
    return run_command(stage.adapter()(call[way]).replace("curl ", "curl -sS ", 1), stage.environment)


def ask(stage: Stage, call: Mapping[str, Any]) -> Any:
    """A call by curl, looked at again where a person would; returns the answer's JSON."""

    def look() -> Any:
        answer = json.loads(run(stage, call, "curl"))
        if "until" in call and answer[0]["state"]["status"] != call["until"]:
            raise LookupError(f"{answer[0]['state']}")
        return answer

    return eventually(look, timeout=120, what=call["title"])


def compare(expected: Any, found: Any, place: str = "$", *, is_whole: bool = True) -> None:
    """Field by field; if it is the whole answer that is expected, more fields are a difference, too."""
    if isinstance(expected, dict):
        assert isinstance(found, dict), place
        assert set(found) == set(expected) if is_whole else set(found) >= set(expected), place
        for name, value in expected.items():
            compare(value, found[name], f"{place}.{name}", is_whole=is_whole)
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for number, value in enumerate(expected):
            compare(value, found[number], f"{place}[{number}]", is_whole=is_whole)
    elif isinstance(expected, str) and expected.startswith("~"):
        assert re.fullmatch(expected[1:], found), f"{place}: {found}"
    else:
        assert found == expected, place


def test_the_walk_by_curl(stage: Stage) -> None:
    for call in CALLS:
        answer = ask(stage, call)
        if call["title"] == "Look for its streams":
            # The original shows one stream; this exchange has more, each with its id alone, as there.
            assert {"id": "ticker"} in answer[0]["streams"]
            assert all(set(stream) == {"id"} for stream in answer[0]["streams"])
            assert json.loads(run_command(UNQUOTED, stage.environment)) == answer
            answer[0]["streams"] = [{"id": "ticker"}]
        is_whole = "answer" in call
        compare(call["answer" if is_whole else "includes"], answer, is_whole=is_whole)


def test_half_by_kubectl_half_by_curl(stage: Stage) -> None:
    """Every other step by the other tool, then the other way round: both see one connector."""
    for first in ("kubectl", "curl"):
        ways = {"kubectl": "curl", "curl": "kubectl"}
        way = first
        for call in CALLS:
            if way == "curl":
                answer = ask(stage, call)
                if call["title"] == "Start it":
                    assert answer["state"]["status"] == "running"
            else:
                said = run(stage, call, "kubectl")
                assert said
                assert not re.search("^[Ee]rror", said, re.MULTILINE), said  # as kubectl begins its own
            wait_for(stage, call)
            way = ways[way]
        shown = run_command("kubectl get connectors -o name", stage.environment)
        assert "your-connector" not in shown


def test_a_change_answers_with_the_next_execution(stage: Stage) -> None:
    """While the old one still runs, its `execId` is not the answer: it is not the execution that was requested."""
    steps = {call["title"]: call for call in CALLS}
    ask(stage, steps["Create a connector"])
    ask(stage, steps["Look for its streams"])
    ask(stage, steps["Select one"])
    first = ask(stage, steps["Start it"])["state"]
    changed = run_command(
        steps["Start it"]["curl"].replace("curl ", "curl -sS ", 1).replace('{"status": "running"}', '{"wait": false}'),
        stage.environment,
    )
    second = json.loads(changed)["state"]
    assert (first["status"], second["status"]) == ("running", "running")
    assert first["execId"] != second["execId"]
    ask(stage, steps["Delete it"])


STATES = {
    "Create a connector": "received",
    "Select one": "ready",
    "Start it": "running",
    "Stop it": "stopped",
}


def wait_for(stage: Stage, call: Mapping[str, Any]) -> None:
    """Both tools show the state that the step leads to."""
    if call["title"] not in STATES:
        return
    state = STATES[call["title"]]
    jsonpath = f"--for=jsonpath={{.status.state.status}}={state}"
    said = run_command(f"kubectl wait connector/your-connector '{jsonpath}' --timeout=120s", stage.environment)
    assert "condition met" in said
    by_http = run_command('curl -sS "$API/v1/connectors/connector/YOUR_CONNECTOR?token=$TOKEN"', stage.environment)
    assert json.loads(by_http)[0]["state"]["status"] == state


def test_the_api_itself_can_do_nothing(stage: Stage) -> None:
    account = "--as=system:serviceaccount:default:connectors-api"
    for right in ("get connectors", "create connectors", "get secrets", "list pods", "create jobs"):
        assert run_command(f"kubectl auth can-i {right} {account}", stage.environment).strip() == "no"
    mounted = run_command("kubectl get pods -l app.kubernetes.io/name=connectors-api -o yaml", stage.environment)
    assert "serviceAccountToken" not in mounted


def test_the_log_of_the_deployment_has_no_token(stage: Stage) -> None:
    log = run_command("kubectl logs deployment/connectors-api", stage.environment)
    assert "POST" in log
    assert stage.environment["TOKEN"][:40] not in log
    assert "token=" not in log
