"""What an operator of 0.1.0 wrote is shown as far as it goes; what it did not write is a dash, not an error."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from connector_operator.kubectl.rows import UNKNOWN, build_cells, build_document, build_summary
from connector_operator.kubectl.sentences import explain, format_lines
from connector_operator.kubectl.streams import build_stream_cells, list_streams
from connector_operator.kubectl.usage import build_load, build_load_cells, choose_pods

WRITTEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "operator/written_by_0_1_0.json").read_text(encoding="utf-8")
)
NOW = datetime.fromisoformat(WRITTEN["at"])


@pytest.mark.parametrize("made", WRITTEN["connectors"], ids=lambda made: str(made["metadata"]["name"]))
def test_each_command_that_looks(made: dict[str, Any]) -> None:
    summary = build_summary(made)
    state, ready = made["status"]["state"]["status"], summary.ready
    cells = build_cells(summary, NOW, with_namespace=False)
    assert cells[:4] == (made["metadata"]["name"], made["spec"]["connectorType"], state, ready)
    assert cells[6:8] == (UNKNOWN, UNKNOWN), "it reported neither progress nor lag"
    assert build_document(summary)["state"] == state
    assert format_lines(explain(made, NOW), 80).startswith(f"{made['metadata']['name']}: {state} (")
    for stream in list_streams(made):
        assert build_stream_cells(stream)[0] == stream["id"]
    assert build_load_cells(build_load(made, [None], {}), with_namespace=False)[1:] == (UNKNOWN,) * 6


def test_its_pods_are_known() -> None:
    running = [pod for pod in WRITTEN["pods"] if pod["status"].get("phase") == "Running"]
    assert {name for _, name in choose_pods(WRITTEN["pods"])} == {
        pod["metadata"]["labels"]["apperate.io/connector"] for pod in running
    }
