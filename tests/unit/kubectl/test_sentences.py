"""`why`: what it waits for, since when, what to do, the last words, the failed streams."""

import pytest

from connector_operator.kubectl.sentences import explain, format_lines
from connector_operator.resources.reasons import Reason
from tests.unit.kubectl.objects import NOW, ago, condition, connector


def test_a_connector_that_waits() -> None:
    made = connector(
        "trades",
        condition("Ready", "False", "CrashBackoff", "The next execution starts at 15:00:40."),
        condition("Stalled", "False", "NotStalled"),
        state="ready",
        retry={"failures": 4, "at": "2026-11-28T15:00:40Z"},
        lastExecution={"run": 4, "finishedAt": ago(300), "exitCode": 1, "reason": "Broken", "message": "No\nroute."},
        progress={"text": "2 following, 1 failed"},
    )
    assert format_lines(explain(made, NOW)) == (
        "trades: ready (CrashBackoff), not as you ask for; spec.status is running\n"
        "  waits for:    The next execution starts at 15:00:40.\n"
        "  since:        2026-11-28T14:48:00Z (12m ago)\n"
        f"  what to do:   {Reason.CRASH_BACKOFF.remedy}\n"
        "  next start:   2026-11-28T15:00:40Z (in 40s); 4 in a row have failed\n"
        "  streams:      ticker\n"
        "  progress:     2 following, 1 failed\n"
        "  last words:   run 4 ended 2026-11-28T14:55:00Z (5m ago), exit code 1; Broken: No route.\n"
    )


@pytest.mark.parametrize("reason", Reason)
def test_the_cure_of_each_reason_is_that_of_the_table(reason: Reason) -> None:
    lines = dict(explain(connector("c", condition("Ready", "False", reason)), NOW))
    assert lines["what to do"] == reason.remedy
    assert lines["waits for"] == reason.meaning


def test_a_reason_of_the_runner_says_itself_what_to_do() -> None:
    lines = dict(explain(connector("c", condition("Ready", "False", "BadCredentials", "Put the key in.")), NOW))
    assert lines["waits for"] == "Put the key in."
    assert "the message" in lines["what to do"]


def test_failed_streams_are_named_although_the_connector_is_ready() -> None:
    failures = [
        {"stream": f"shop.t{number}", "reason": "KeyMissing", "message": "No key.", "since": ago(60)}
        for number in range(7)
    ]
    made = connector(
        "c",
        condition("Ready", "True", "Running", "It runs."),
        condition("StreamsHealthy", "False", "StreamsFailed", "Seven streams."),
        progress={"failures": failures, "failed": 9, "problem": "The dataset is away.", "lag": "3h"},
    )
    lines = explain(made, NOW)
    assert ("why", "It runs.") in lines
    assert ("failed stream", "shop.t4: KeyMissing: No key.; since 2026-11-28T14:59:00Z (60s ago)") in lines
    assert ("failed streams", "4 more: see `kubectl connectors streams c`") in lines
    assert ("progress", "The dataset is away.; behind the source by 3h") in lines
    assert ("also", f"StreamsHealthy is False (StreamsFailed): Seven streams. {Reason.STREAMS_FAILED.remedy}") in lines


def test_what_is_wrong_with_selection_and_discovery_is_said() -> None:
    made = connector(
        selection={"text": "*.orders", "problems": ["Two streams want one table."], "idle": {"shp.*": ["shop.a"]}},
        discovery={"failures": 2, "reason": "Unreachable", "message": "No route.", "retryAt": "2026-11-28T15:00:40Z"},
    )
    lines = explain(made, NOW)
    assert ("selection", "Two streams want one table.") in lines
    assert ("selection", "the pattern shp.* matches no stream; near: shop.a") in lines
    assert dict(lines)["discovery"] == (
        "2 attempts have failed: Unreachable: No route.: next attempt 2026-11-28T15:00:40Z (in 40s)"
    )


def test_an_attempt_that_runs_now_does_not_wait_for_the_next() -> None:
    discovery = {"failures": 9, "reason": "Unavailable", "message": "No route.", "retryAt": "2026-11-28T15:00:40Z"}
    made = connector(
        "c", condition("Ready", "False", "Discovering", "The streams are being listed."), discovery=discovery
    )
    said = dict(explain(made, NOW))["discovery"]
    assert said == "9 attempts have failed: Unavailable: No route.: another one runs now"


def test_an_older_operator_and_a_change_it_has_not_seen_are_said() -> None:
    made = connector(observedGeneration=2)
    lines = dict(explain(made, NOW))
    assert "does not report it" in lines["progress"]
    assert "has not looked at the change" in lines["note"]


def test_a_connector_that_no_operator_has_seen() -> None:
    made = connector()
    made["status"] = {}
    (_, headline), (_, cure) = explain(made, NOW)
    assert headline == "The operator has not looked at it yet."
    assert "does not run" in cure


def test_on_a_terminal_a_long_sentence_is_wrapped_beside_its_label_and_loses_no_word() -> None:
    lines = [("trades", "running"), ("waits for", "one two three four five six seven eight nine ten"), ("since", "")]
    shown = format_lines(lines, 40)
    assert max(map(len, shown.split("\n"))) <= 40
    assert " ".join(shown.split()) == " ".join(format_lines(lines).split())
    assert shown.split("\n")[2].startswith(" " * 16)
