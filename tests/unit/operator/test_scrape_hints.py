"""The annotations by which scrapers find a runner's metrics."""

from __future__ import annotations

from connector_operator.resources.dataset import resolve_dataset
from connector_operator.workloads.jobs import RunnerSettings, Subject, build_discovery_job, build_runner_job
from tests.unit.operator.test_workloads import subject
from tests.unit.operator.world import DATASET

SETTINGS = RunnerSettings(image="runner:1")


def annotations_of(made: Subject) -> dict[str, str]:
    view = resolve_dataset("YOUR_DATASET", {"your-dataset": DATASET})
    job = build_runner_job(made, "job-1", 1, view, SETTINGS)
    return dict(job["spec"]["template"]["metadata"]["annotations"])


def test_a_runners_pod_says_where_its_metrics_are_and_which_stream_it_carries() -> None:
    annotations = annotations_of(subject(selectedStream="ticker"))
    assert annotations["prometheus.io/scrape"] == "true"
    assert annotations["prometheus.io/port"] == "8080"
    assert annotations["apperate.io/stream"] == "ticker"


def test_a_person_can_say_otherwise() -> None:
    own = {"podAnnotations": {"prometheus.io/scrape": "false"}}
    assert annotations_of(subject(selectedStream="ticker", runner=own))["prometheus.io/scrape"] == "false"


def test_a_selection_has_no_single_stream() -> None:
    assert "apperate.io/stream" not in annotations_of(subject(streams={"include": ["*"]}))


def test_a_discovery_is_not_scraped() -> None:
    job = build_discovery_job(subject(), "job-1", 1, SETTINGS)
    assert "prometheus.io/scrape" not in job["spec"]["template"]["metadata"]["annotations"]
