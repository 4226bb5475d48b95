"""What the commands that change something send and say, and which log is the present one."""

from typing import Any

import pytest

from connector_operator.kubectl.cli import build_parser
from connector_operator.kubectl.commands import build_change, say_changed
from connector_operator.kubectl.logs import choose_pod
from tests.unit.kubectl.objects import NOW, connector


@pytest.mark.parametrize(
    ("command", "spec"),
    [
        ("start", {"status": "running"}),
        ("stop", {"status": "stopped"}),
        ("restart", {"restartedAt": "2026-11-28T15:00:00+00:00"}),
        ("rediscover", {"rediscoverAt": "2026-11-28T15:00:00+00:00"}),
    ],
)
def test_a_change_is_one_field(command: str, spec: dict[str, str]) -> None:
    assert build_change(command, NOW) == spec
    assert say_changed(command, connector()).startswith("trades: ")


def test_a_restart_of_what_is_stopped_says_that_it_starts_nothing() -> None:
    made = connector()
    made["spec"]["status"] = "stopped"
    assert "kubectl connectors start trades" in say_changed("restart", made)


def test_kubectls_flags_stand_before_or_after_the_command() -> None:
    for line in (["-n", "a", "--context", "b", "why", "c"], ["why", "c", "-n", "a", "--context", "b"]):
        flags = build_parser().parse_args(line)
        assert (flags.namespace, flags.context, flags.name) == ("a", "b", "c")


def pod(run: Any, state: str = "running") -> dict[str, Any]:
    containers = [{"name": "proxy", "state": {"running": {}}}, {"name": "runner", "state": {state: {}}}]
    labels = {"apperate.io/run": run}
    return {"metadata": {"name": f"pod-{run}", "labels": labels}, "status": {"containerStatuses": containers}}


def test_the_log_is_that_of_the_latest_execution_whose_runner_has_started() -> None:
    pods = [pod("2", "terminated"), pod("10"), pod("11", "waiting"), pod("x")]
    chosen = choose_pod(pods)
    assert chosen is not None
    assert chosen["metadata"]["name"] == "pod-10"
    assert choose_pod(pods, after=10) is None
    assert choose_pod([]) is None
