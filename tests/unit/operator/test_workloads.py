"""The Jobs, and how they are judged when they have ended."""

import json
from datetime import timedelta
from typing import Any

import pytest

from connector_operator.decide.backoff import delay_after, next_retry
from connector_operator.decide.observation import Observation, Policy
from connector_operator.decide.pod_problems import explain_unready
from connector_operator.decide.rollout import User, decide_dataset
from connector_operator.decide.termination import Ending, read_ending
from connector_operator.resources import names
from connector_operator.resources.connector import config_hash, parse_spec
from connector_operator.resources.dataset import dataset_hash, parse_dataset, resolve_dataset
from connector_operator.resources.reasons import Reason
from connector_operator.resources.workload import ObservedJob, ObservedPod, read_job, read_pod
from connector_operator.workloads.jobs import RunnerSettings, Subject, build_discovery_job, build_runner_job
from connector_runner.schemas.kinds.connector_status import Retry
from connector_runner.schemas.kinds.dataset import DatasetStatus
from connector_runner.schemas.manifest import parse_manifest, read_variables
from connector_runner.schemas.secrets import SecretSource
from tests.unit.operator.world import DATASET, SPEC, START

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SETTINGS = RunnerSettings(image="runner:1")
NAME = names.execution_job_name("your-connector", "uid-1", 7)


def subject(**spec: Any) -> Subject:
    parsed, problems = parse_spec({**SPEC, **spec})
    assert parsed is not None
    assert problems == ()
    return Subject("default", "your-connector", "uid-1", parsed)


def container_of(job: dict[str, Any]) -> dict[str, Any]:
    return dict(job["spec"]["template"]["spec"]["containers"][0])


def test_the_runners_job_keeps_to_the_restricted_profile_and_tells_the_orders() -> None:
    view = resolve_dataset("YOUR_DATASET", {"your-dataset": DATASET})
    config = {**SPEC["config"], "url": "wss://feed.example/$(POD_IP)"}
    job = build_runner_job(subject(config=config, selectedStream="ticker"), NAME, 7, view, SETTINGS)
    pod, container = job["spec"]["template"]["spec"], container_of(job)
    assert job["spec"]["backoffLimit"] == 0
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    manifest = next(v["value"] for v in container["env"] if v["name"] == "CONNECTOR_MANIFEST")
    assert "$(" not in manifest, "Kubernetes would expand it"
    orders = parse_manifest(manifest)
    assert (orders.run, orders.stream, orders.config) == (7, "ticker", config)
    assert orders.dataset is not None
    assert orders.dataset.url == "postgresql://db/market"
    read = read_job({**job, "metadata": {**job["metadata"], "uid": "u"}})
    assert (read.run, read.owner, read.role, read.finished, read.is_suspended) == (7, "uid-1", "runner", None, False)


def test_long_orders_take_several_variables_and_too_long_ones_are_told() -> None:
    spec = {"connectorType": "ETHEREUM", "config": {"url": "http://node", "abi": '[{"name": "x"}]' * 9000}}
    job = build_discovery_job(subject(**spec), "job-1", 1, SETTINGS)
    environment = {v["name"]: v.get("value", "") for v in container_of(job)["env"]}
    assert parse_manifest(read_variables(environment)).config == spec["config"]
    assert all(len(value.encode()) <= 96 * 1024 for value in environment.values())
    assert len([name for name in environment if name.startswith("CONNECTOR_MANIFEST")]) == 2
    _, problems = parse_spec({**SPEC, **spec, "config": {**spec["config"], "abi": "x" * 400_000}})
    assert problems[0].startswith("spec.config: is 4000")


def test_a_mapped_secret_is_told_and_checked_and_may_be_absent() -> None:
    source = {"secretRef": {"name": "db"}, "keys": {"apiKey": "key"}, "optional": True}
    job = build_discovery_job(subject(configFrom=[source]), "job-1", 1, SETTINGS)
    volume = next(v for v in job["spec"]["template"]["spec"]["volumes"] if v["name"] == "config-0")
    assert volume["secret"] == {"secretName": "db", "optional": True}
    environment = {v["name"]: v.get("value", "") for v in container_of(job)["env"]}
    assert parse_manifest(read_variables(environment)).secrets == (
        SecretSource(name="db", keys={"apiKey": "key"}, optional=True),
    )
    _, problems = parse_spec({**SPEC, "configFrom": [{"secretRef": {"name": "db"}, "keys": {"a": "nothing"}}]})
    assert problems[0].startswith("spec.configFrom[0].keys.a: 'nothing' is not a known property")


def test_a_mapping_changes_the_hash_and_its_absence_does_not() -> None:
    def form(**entry: Any) -> str:
        return config_hash(subject(configFrom=[{"secretRef": {"name": "db"}, **entry}]).spec)

    assert form() == form(optional=False)
    assert len({form(), form(optional=True), form(keys={"a": "key"}), form(keys={"a": "secret"})}) == 4


def test_a_discovery_has_a_deadline_and_knows_the_selected_stream() -> None:
    job = build_discovery_job(subject(selectedStream="ticker"), "job-1", 3, SETTINGS)
    assert job["spec"]["template"]["spec"]["activeDeadlineSeconds"] == 120
    assert "activeDeadlineSeconds" not in job["spec"], "it would run while a queue holds the pod back"
    assert container_of(job)["args"] == ["discover"]
    assert read_job(job).stream == "ticker"


def test_what_a_person_says_of_the_pod_is_taken_but_never_our_labels() -> None:
    runner = {"podLabels": {"team": "x", names.LABEL_CONNECTOR: "other"}, "nodeSelector": {"disk": "fast"}}
    job = build_discovery_job(subject(runner=runner), "job-1", 1, SETTINGS)
    template = job["spec"]["template"]
    assert template["metadata"]["labels"]["team"] == "x"
    assert template["metadata"]["labels"][names.LABEL_CONNECTOR] == "your-connector"
    assert template["spec"]["nodeSelector"] == {"disk": "fast"}


def test_job_names_are_the_same_for_the_same_run_only() -> None:
    made = {names.execution_job_name("c", uid, run) for uid in ("a", "b") for run in range(100)}
    assert len(made) == 200
    assert names.execution_job_name("c", "a", 1) == names.execution_job_name("c", "a", 1)
    assert all(len(names.execution_job_name("x" * 51, "a", run)) == 57 for run in range(3))


def pod(**fields: Any) -> ObservedPod:
    return ObservedPod(name="job-pod", job="job", phase="Failed", **fields)


@pytest.mark.parametrize(
    ("job", "pods", "outcome", "reason"),
    [
        (ObservedJob(name="job", finished=True), [], "completed", "Completed"),
        (ObservedJob(name="job", finished=False), [pod(exit_code=1)], "crashed", "Crashed"),
        (
            ObservedJob(name="job", finished=False),
            [pod(exit_code=137, container_reason="OOMKilled")],
            "crashed",
            "OOMKilled",
        ),
        (ObservedJob(name="job", finished=False), [pod(exit_code=143)], "disrupted", "Disrupted"),
        (ObservedJob(name="job", finished=False), [pod(exit_code=1, disruption="Evicted")], "disrupted", "Disrupted"),
        (
            ObservedJob(name="job", finished=False),
            [pod(exit_code=78, message=json.dumps({"reason": "NoTable", "message": "x"}))],
            "refused",
            "NoTable",
        ),
        (ObservedJob(name="job", finished=False, reason="BackoffLimitExceeded"), [], "disrupted", "PodLost"),
        (
            ObservedJob(
                name="job", finished=False, reason="PodFailurePolicy", message="failed with exit code 78 matching"
            ),
            [],
            "refused",
            "ActionRequired",
        ),
        (
            ObservedJob(
                name="job", finished=False, reason="PodFailurePolicy", message="failed with exit code 1 matching"
            ),
            [],
            "crashed",
            "Crashed",
        ),
        (
            ObservedJob(name="job", finished=False, reason="PodFailurePolicy", message="exit code 143 matching"),
            [],
            "disrupted",
            "Disrupted",
        ),
        (ObservedJob(name="job", finished=False, reason="DeadlineExceeded"), [], "crashed", "DeadlineExceeded"),
    ],
)
def test_each_end_is_judged(job: ObservedJob, pods: list[ObservedPod], outcome: str, reason: str) -> None:
    ending = read_ending(job, pods)
    assert (ending.outcome, ending.reason) == (outcome, reason)
    assert ending.message


def test_failures_add_up_for_the_same_orders_and_are_forgotten_after_a_stable_run() -> None:
    crashed, policy = Ending("crashed", Reason.CRASHED, "x", 1), Policy()
    job = ObservedJob(name="job", uid="u", spec_hash="s", dataset_hash="d", started=START)
    retry = Retry()
    for failures in range(1, 7):
        retry = next_retry(retry, job, crashed, START + timedelta(seconds=5), policy)
        assert retry.failures == failures
    after_an_hour = next_retry(retry, job, crashed, START + timedelta(hours=1), policy)
    assert after_an_hour.failures == 1
    assert after_an_hour.at == "2026-01-01T01:00:00Z", "the first crash of a stable run starts the next at once"
    other = ObservedJob(name="job", uid="u", spec_hash="other", dataset_hash="d", started=START)
    assert next_retry(retry, other, crashed, START, policy).failures == 1


def test_delays_grow_to_their_limit() -> None:
    limits = (timedelta(seconds=1), timedelta(minutes=5))
    delays = [delay_after(n, limits, "seed").total_seconds() for n in range(1, 40)]
    assert delays == sorted(delays)
    assert delays[0] <= 2
    assert 270 <= delays[-1] <= 330


@pytest.mark.parametrize(
    ("pods", "told", "reason"),
    [
        (None, [], "Starting"),
        ([], [], "Starting"),
        ([], [("job", "exceeded quota")], "PodRefused"),
        ([{"phase": "Pending", "unschedulable": "0/1 nodes"}], [], "Unschedulable"),
        ([{"phase": "Pending", "container_reason": "ErrImagePull"}], [("p", "x")], "ImageNotPulled"),
        ([{"phase": "Pending"}], [("p", 'secret "x" not found'), ("other", "x")], "SecretNotFound"),
        ([{"phase": "Pending"}], [("p", "volume trouble")], "PodNotStarted"),
        ([{"phase": "Running", "started": START}], [], "Starting"),
        ([{"phase": "Running", "started": START - HOUR}], [], "RunnerNotReady"),
        ([{"phase": "Running", "started": START - HOUR, "unready_since": START - MINUTE}], [], "Starting"),
        ([{"phase": "Running", "started": START - MINUTE, "unready_since": START - HOUR}], [], "Starting"),
    ],
)
def test_why_a_pod_is_not_ready(pods: list[dict[str, Any]] | None, told: list[tuple[str, str]], reason: str) -> None:
    seen = None if pods is None else tuple(ObservedPod(name="p", job="job", **fields) for fields in pods)
    observation = Observation(now=START, namespace="default", name="c", uid="u", pods=seen, warnings=tuple(told))
    assert explain_unready(ObservedJob(name="job"), observation).reason == reason


def test_raw_pods_are_read_whatever_is_missing() -> None:
    assert read_pod({}).phase == ""
    statuses = [
        {"name": "proxy", "state": {"terminated": {"exitCode": 0}}},
        {"name": "runner", "state": {"terminated": {"exitCode": 3}}},
        {"name": "mesh", "state": {"running": {}}},
    ]
    read = read_pod({"status": {"phase": "Running", "containerStatuses": statuses}})
    assert (read.exit_code, read.others, read.ended_others, read.is_outlived) == (3, ("mesh",), ("proxy",), True)


def test_a_pod_tells_whether_a_job_owns_it_and_since_when_it_is_not_ready() -> None:
    ready = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    owned = read_pod({"metadata": {"ownerReferences": [{"kind": "Job"}]}, "status": {"conditions": [ready]}})
    assert (owned.is_orphan, owned.unready_since) == (False, START)
    other = read_pod({"status": {"conditions": [{**ready, "status": "True"}]}})
    assert (other.is_orphan, other.unready_since) == (True, None)


def user(name: str, live: str, **fields: Any) -> User:
    return User(name=name, table="t", is_wanted=True, live_hash=live, is_starting=True, **fields)


def test_a_changed_dataset_is_followed_one_by_one() -> None:
    raw = {"url": "postgresql://db/new"}
    spec, _ = parse_dataset(raw)
    assert spec is not None
    new = dataset_hash("rows", "t", spec)

    def turn(*users: User) -> str:
        return decide_dataset("rows", 2, raw, DatasetStatus(), list(users), START).turn

    assert turn(user("b", "old", is_ready=True), user("a", "old", is_ready=True)) == "a"
    assert turn(user("a", new), user("b", "old", is_ready=True)) == "", "a is not ready yet"
    assert turn(user("a", ""), user("b", "old", is_ready=True)) == "", "a is on its way"
    assert turn(user("a", new, is_ready=True), user("b", "old", is_ready=True)) == "b"
    assert turn(user("a", "", failing_since="2025-01-01T00:00:00Z"), user("b", "old", is_ready=True)) == "b"
    assert turn(user("a", new, unready_since="2025-01-01T00:00:00Z"), user("b", "old", is_ready=True)) == "b"
    assert turn(user("a", new, unready_since="2027-01-01T00:00:00Z"), user("b", "old", is_ready=True)) == ""
    assert turn(user("a", "", failing_since="2027-01-01T00:00:00Z"), user("b", "old", is_ready=True)) == ""
    assert turn(user("a", new, is_ready=True)) == ""


def test_a_connector_whose_next_job_is_refused_does_not_keep_the_turn_for_ever() -> None:
    raw = {"url": "postgresql://db/new"}
    spec, _ = parse_dataset(raw)
    assert spec is not None
    new = dataset_hash("rows", "t", spec)
    refused, other = user("a", "old", is_refused=True), user("b", "old", is_ready=True)

    def turns(*users: User) -> tuple[str, tuple[str, ...]]:
        decided = decide_dataset("rows", 2, raw, DatasetStatus(), list(users), START)
        return decided.turn, decided.refused

    assert turns(refused, other, user("c", "old", is_ready=True)) == ("b", ("a",)), "a is asked again meanwhile"
    assert turns(refused, user("b", new), user("c", "old", is_ready=True)) == ("", ()), "still one by one"
    assert turns(refused, user("b", "old", is_refused=True)) == ("", ("a", "b"))
    assert turns(refused, user("b", new, is_ready=True)) == ("", ("a",))


def test_a_datasets_status_is_written_only_when_it_changes() -> None:
    raw = {"url": "postgresql://db/new"}
    first = decide_dataset("rows", 1, raw, DatasetStatus(), [], START)
    assert first.status is not None
    from connector_operator.resources.dataset import parse_dataset_status

    again = decide_dataset("rows", 1, raw, parse_dataset_status(first.status), [], START + timedelta(hours=1))
    assert again.status is None


@pytest.mark.parametrize(
    ("dataset_id", "existing", "reason", "table"),
    [
        ("", {}, "DatasetNotNamed", ""),
        ("A_B", {}, "DatasetNotFound", ""),
        ("A_B", {"a-b": DATASET}, "Resolved", "A_B"),
        ("A_B", {"default": DATASET}, "Resolved", "A_B"),
        ("A_B", {"a-b": {"spec": {"url": "postgresql://db/x", "table": "own"}}}, "Resolved", "own"),
        ("A_B", {"a-b": {"spec": {"url": "sqlite:///x.db"}}}, "DatasetInvalid", ""),
        ("A_B", {"a-b": {"spec": 3}}, "DatasetInvalid", ""),
        ("A_B", {"a-b": {"spec": {"url": "mysql://db/x"}}}, "DatasetInvalid", ""),
        ("A_B", {"a-b": {"spec": {"url": "sqlite://x.db", "volumeClaim": "v"}}}, "DatasetInvalid", ""),
    ],
)
def test_a_dataset_id_finds_its_dataset(dataset_id: str, existing: dict[str, Any], reason: str, table: str) -> None:
    view = resolve_dataset(dataset_id, existing)
    assert (view.reason, view.table) == (reason, table)
