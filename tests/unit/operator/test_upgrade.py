"""Objects as version 0.1.0 left them on a real API server (statuses, Jobs, pods): an upgrade restarts nothing and asks for nothing anew.

They were written by the operator of commit 55ac9cc, with the runner that carries nothing: one connector a state.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from connector_operator.cluster.cache import ClusterCache, cache_job, trim
from connector_operator.cluster.client import KubeClient
from connector_operator.cluster.dry_run import DryRuns
from connector_operator.cluster.jobs import JobPoster
from connector_operator.cluster.observe import Observer
from connector_operator.cluster.orders import Orders
from connector_operator.decide.actions import DeleteJob
from connector_operator.decide.decision import Decision, Look, decide
from connector_operator.decide.observation import DryRun, Observation, Policy
from connector_operator.engine.fair_queue import Key
from connector_operator.resources import names
from connector_operator.resources.connector import config_hash, parse_spec, spec_hash
from connector_operator.resources.dataset import resolve_dataset
from connector_operator.resources.workload import read_job, read_pods
from connector_operator.workloads.jobs import RunnerSettings
from connector_operator.workloads.layers import built_in

WRITTEN: dict[str, Any] = json.loads(Path(__file__).with_name("written_by_0_1_0.json").read_text(encoding="utf-8"))
CONNECTORS: dict[str, dict[str, Any]] = {raw["metadata"]["name"]: raw for raw in WRITTEN["connectors"]}
NOW = datetime.fromisoformat(WRITTEN["at"])
REWORDED = {
    "No execution is asked for, or none can start.": "No execution is requested, or none can start.",
    "Valid as far as it stands in the spec; what Secrets add is checked by the runner.": "What is in the spec is valid; the runner checks what Secrets add.",
    "Stopped as asked; set spec.status to running to go on where it left off.": "Stopped as requested; set spec.status to running to continue where it left off.",
}
"""Sentences of version 0.1.0 that were put into other words since, without another meaning."""
NOTHING = cast("KubeClient", None)
"""No request is made."""


def label(raw: dict[str, Any], name: str = names.LABEL_CONNECTOR) -> str:
    return str(raw["metadata"]["labels"].get(name, ""))


def jobs_of(name: str) -> list[dict[str, Any]]:
    return [raw for raw in WRITTEN["jobs"] if label(raw) == name]


def observe(name: str, now: datetime, stored: dict[str, Any] | None = None, image: str = "a-new-one:2") -> Observation:
    """What today's operator would know right after its start."""
    raw = {**CONNECTORS[name], "status": stored or CONNECTORS[name]["status"]}
    cache = ClusterCache()
    namespace = raw["metadata"]["namespace"]
    jobs = {(namespace, name): [cache_job(job) for job in jobs_of(name)]}
    cache.bind({(namespace, name): [trim(raw)]}, {namespace: [trim(one) for one in WRITTEN["datasets"]]}, jobs)
    settings = RunnerSettings(image=image)
    observer = Observer(
        NOTHING, cache, Policy(image=image), lambda *_: False, lambda _: True, DryRuns(JobPoster(NOTHING), settings),
        lambda: (built_in(),), settings.form, Orders(NOTHING),
    )  # fmt: skip
    found = observer.observe(Key("connector", namespace, name), now, "")
    assert found is not None
    return found[0]


def decide_with_looks(name: str, now: datetime, stored: dict[str, Any] | None = None) -> Decision:
    """What it decides; that it asks for a dry run would mean that it wants to replace what runs."""
    seen = observe(name, now, stored)
    for _ in range(4):
        decision = decide(seen)
        assert Look.DRY_RUN not in decision.looks
        if not decision.looks:
            return decision
        pods = read_pods(raw for raw in WRITTEN["pods"] if label(raw) == name)
        seen = msgspec.structs.replace(seen, pods=pods, catalogue_lost=Look.CATALOGUE in decision.looks)
    raise AssertionError("never satisfied")


@pytest.mark.parametrize("name", CONNECTORS)
def test_nothing_is_started_or_ended_and_nothing_else_is_said(name: str) -> None:
    before = CONNECTORS[name]["status"]
    decision = decide_with_looks(name, NOW)
    touched = [act for act in decision.actions if not isinstance(act, DeleteJob)]
    live = {raw["metadata"]["name"] for raw in jobs_of(name) if read_job(raw).finished is None}
    ended = {act.job for act in decision.actions if isinstance(act, DeleteJob)}
    assert (touched, ended & live) == ([], set())
    after = decision.status or before
    for field in ("state", "run", "streams", "streamsTotal", "lastExecution", "dataset", "observedGeneration", "retry"):
        assert after.get(field) == before.get(field), field
    said = [
        {c["type"]: (c["status"], c["reason"], REWORDED.get(c["message"], c["message"])) for c in s["conditions"]}
        for s in (before, after)
    ]
    assert said[1].pop("RunnerUpToDate")[0] != "True", "the condition that is new since speaks of the new image"
    assert said[1].pop("StreamsHealthy")[0] == "Unknown", "the other one: nothing was read of its runner yet"
    assert said[0] == said[1]
    again = decide_with_looks(name, NOW, after)
    assert again.status is None, "it is written once at most"


@pytest.mark.parametrize("name", CONNECTORS)
def test_its_jobs_are_known_and_were_made_from_what_is_asked_for_today(name: str) -> None:
    spec, problems = parse_spec(CONNECTORS[name]["spec"])
    assert spec is not None
    assert problems == ()
    datasets = {raw["metadata"]["name"]: raw for raw in WRITTEN["datasets"]}
    for raw in jobs_of(name):
        job = read_job(raw)
        assert job.owner == CONNECTORS[name]["metadata"]["uid"]
        if job.finished is not None:
            continue
        if job.role == names.ROLE_DISCOVERY:
            assert (job.config_hash, job.rediscover_at) == (config_hash(spec), spec.rediscover_at)
        else:
            view = resolve_dataset(CONNECTORS[name]["spec"]["datasetId"], datasets)
            assert (job.spec_hash, job.dataset_hash) == (spec_hash(spec), view.hash)


RUNNING = ["running", "restarted", "secretive"]


@pytest.mark.parametrize("name", RUNNING)
def test_a_job_of_then_is_compared_by_the_image_in_its_pod_template(name: str) -> None:
    for image, reason in {"null-runner:test": "UpToDate", "a-new-one:2": "AwaitingTurn"}.items():
        status = decide(observe(name, NOW, image=image)).status
        assert status is not None
        assert next(c["reason"] for c in status["conditions"] if c["type"] == "RunnerUpToDate") == reason
        assert status["runnerVersion"] == "test"


@pytest.mark.parametrize("name", RUNNING)
def test_when_it_is_its_turn_it_is_replaced_once(name: str) -> None:
    seen = msgspec.structs.replace(observe(name, NOW), has_image_turn=True, dry_run=DryRun())
    decision = decide(seen)
    assert (decision.row.name, len(decision.actions)) == ("replace", 1)
    assert decision.status is not None
    assert decision.status["update"]["image"] == "a-new-one:2"


def test_there_is_one_of_every_kind() -> None:
    states = {(raw["status"]["state"]["status"]) for raw in CONNECTORS.values()}
    assert states == {"pending", "received", "ready", "running", "stopped", "errored"}
    live = [read_job(raw) for raw in WRITTEN["jobs"] if read_job(raw).finished is None]
    assert {job.role for job in live} == {names.ROLE_RUNNER, names.ROLE_DISCOVERY}
    assert all(names.ANNOTATION_UID not in raw["metadata"]["annotations"] for raw in WRITTEN["jobs"])
    assert not any("ordered" in raw["status"] for raw in CONNECTORS.values())


@pytest.mark.parametrize("name", RUNNING)
def test_months_later_a_running_one_is_still_left_alone(name: str) -> None:
    decision = decide_with_looks(name, NOW + timedelta(days=90))
    assert (decision.row.name, decision.actions) == ("running", ())


def test_the_fixtures_are_of_the_time_that_they_say() -> None:
    times = [raw["metadata"]["creationTimestamp"] for kind in ("connectors", "jobs", "pods") for raw in WRITTEN[kind]]
    assert max(map(datetime.fromisoformat, times)) <= NOW
    assert NOW.tzinfo == UTC
