"""`streams --all`: the Job that lists every stream of a source, and what is read from its log."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from connector_operator.resources import names
from connector_operator.workloads.asked_jobs import NotPossibleError, UnknownImageError
from connector_operator.workloads.streams_jobs import build_streams_job
from connector_runner.schemas.catalogue import Catalogue, ColumnInfo, StreamInfo, list_lines, read_lines

MANY = Catalogue(
    tuple(StreamInfo(f"shop.t{n}", key=("id",), columns=(ColumnInfo("id", "int"),)) for n in range(10_000)), 10_000
)


def connector(image: str = "runner:1", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "shop", "namespace": "ns", "uid": "uid-1"},
        "spec": {"connectorType": "MYSQL", "config": {"host": "db"}, "configFrom": [{"secretRef": {"name": "s"}}], **spec},
        "status": {"discovery": {"ordered": {"image": image}}},
    }  # fmt: skip


def test_the_job_is_the_pod_of_a_discovery_that_the_operator_does_not_know() -> None:
    job = build_streams_job(connector(), 60, "shop.$(PASSWORD)*")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["discover", "-o", "lines", "--like=shop.$$(PASSWORD)*"]
    assert container["image"] == "runner:1"
    assert job["metadata"]["labels"] == {names.LABEL_STREAMS: "shop"}
    assert job["metadata"]["generateName"] == "shop-streams-"
    assert "ownerReferences" not in job["metadata"]
    assert not set(names.OWN_LABELS) & job["spec"]["template"]["metadata"]["labels"].keys()


def test_what_is_missing_is_said() -> None:
    with pytest.raises(UnknownImageError):
        build_streams_job(connector(image=""), 60)
    with pytest.raises(NotPossibleError, match="fix that first"):
        build_streams_job(connector(configFrom=7), 60)


def test_all_streams_are_read_among_lines_of_the_log() -> None:
    lines = ['{"time":"t","level":"info","message":"connected","id":"x"}', *list_lines(MANY), "later"]
    found = read_lines(lines)
    assert found is not None
    assert [stream.id for stream in found] == [stream.id for stream in MANY.streams]
    assert json.loads(lines[1]) == {"id": "shop.t0", "key": ["id"], "columns": 1}


def test_a_list_that_was_cut_is_none() -> None:
    lines = list(list_lines(MANY))[-6:]
    whole = [*list_lines(Catalogue(MANY.streams[:3], 10_000))]
    assert read_lines(whole) is not None
    assert read_lines(lines) is None
    for begin, end in pairwise(range(5)):
        assert read_lines(whole[:begin] + whole[end:]) is None
