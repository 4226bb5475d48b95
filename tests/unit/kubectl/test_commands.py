"""What the commands that change something send and say, and which log is the present one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_operator.kubectl.cli import build_parser
from connector_operator.kubectl.commands import build_change, say_changed
from connector_operator.kubectl.logs import age_of, choose_pod, format_line
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
    assert choose_pod(pods, after=age_of(chosen)) is None
    assert choose_pod([]) is None


def test_the_log_of_a_connector_that_is_made_again_follows_although_its_runs_begin_anew() -> None:
    before, again = pod("7", "terminated"), pod("1")
    before["metadata"]["creationTimestamp"], again["metadata"]["creationTimestamp"] = (
        f"2026-01-01T00:00:0{n}Z" for n in (1, 9)
    )
    assert choose_pod([before, again]) is again
    assert choose_pod([before, again], after=age_of(before)) is again
    assert choose_pod([before, again], after=age_of(again)) is None


def test_a_log_on_a_terminal_reads_as_by_hand_and_drives_nothing() -> None:
    line = json.dumps(
        {"time": "2026-11-28T21:44:30.289Z", "level": "info", "message": "con\x1b[2Jnected", "port": 8080}
    )
    assert format_line(line) == "21:44:30 info    con\\x1b[2Jnected  port=8080"
    assert format_line("plain \x07") == "plain \\x07"


@given(
    st.text()
    | st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)).map(
        json.dumps
    )
)
def test_any_line_of_a_log_is_shown(line: str) -> None:
    assert format_line(line).isprintable()
