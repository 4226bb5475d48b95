"""What the story took: seconds from one step to another, and memory."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Sequence

from demo.stage import Stage, pod_address
from demo.story import APPLY, FIRST_ROWS, START
from demo.walk import Done

PODS = {
    "operator": "-n connector-operator -l app.kubernetes.io/name=connector-operator",
    "runner": "-l apperate.io/connector=your-connector,apperate.io/role=runner",
}


def seconds_from(done: Sequence[Done], first: str, last: str) -> float:
    """The total time of the steps from one title to another.

    Raises:
        ValueError: There is no step with such a title.
    """
    titles = [part.step.title for part in done]
    return sum(part.seconds for part in done[titles.index(first) : titles.index(last) + 1])


def describe_seconds(done: Sequence[Done]) -> str:
    """How long it took until a Job that looks for rows had found some."""
    return (
        f"First rows seen {seconds_from(done, APPLY, FIRST_ROWS):.1f} s after `kubectl apply` of the connector, "
        f"with every step in between; {seconds_from(done, START, FIRST_ROWS):.1f} s after it was started."
    )


def describe_memory(stage: Stage) -> str:
    """How much memory operator and runner use, by their own metrics; empty if pods can't be reached from here."""
    if not stage.reaches_pods:
        return ""
    held = []
    for name, selection in PODS.items():
        url = f"http://{pod_address(selection, stage.environment)}:8080/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        (size,) = re.findall(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)
        held.append(f"{name} {float(size) / 1e6:.0f} MB")
    return f"Memory: {', '.join(held)}."
