"""What is mounted into a runner's pod, and what is told of it."""

from typing import Any

from connector_operator.resources.connector import parse_spec
from connector_operator.resources.dataset import resolve_dataset
from connector_operator.workloads.jobs import RunnerSettings, Subject, build_runner_job
from connector_runner.schemas.manifest import parse_manifest, read_variables
from connector_runner.schemas.secrets import SecretSource
from tests.unit.operator.world import SPEC

SETTINGS = RunnerSettings(image="runner:1")


def subject(**spec: Any) -> Subject:
    parsed, problems = parse_spec({**SPEC, **spec})
    assert parsed is not None
    assert problems == ()
    return Subject("default", "your-connector", "uid-1", parsed)


def container_of(job: dict[str, Any]) -> dict[str, Any]:
    return dict(job["spec"]["template"]["spec"]["containers"][0])


def test_secrets_are_mounted_and_never_told() -> None:
    dataset = {"spec": {"urlFrom": {"secretKeyRef": {"name": "market", "key": "dsn"}}, "volumeClaim": "rows"}}
    view = resolve_dataset("YOUR_DATASET", {"your-dataset": dataset})
    sources = [{"secretRef": {"name": "first"}}, {"secretRef": {"name": "second"}}]
    job = build_runner_job(subject(configFrom=sources), "job-1", 1, view, SETTINGS)
    mounts = {m["mountPath"] for m in container_of(job)["volumeMounts"]}
    assert mounts == {"/tmp", "/data", "/etc/connector/config/0", "/etc/connector/config/1", "/etc/connector/dataset"}
    orders = parse_manifest(next(v["value"] for v in container_of(job)["env"] if v["name"] == "CONNECTOR_MANIFEST"))
    assert orders.config_from == 2
    assert orders.dataset is not None
    assert orders.dataset.url == ""


def test_options_of_a_dataset_are_mounted_and_told_without_their_values() -> None:
    spec = {
        "url": "kafka://one:9093",
        "options": {"security.protocol": "SASL_SSL"},
        "optionsFrom": [
            {"secretRef": {"name": "ca"}},
            {"secretRef": {"name": "user"}, "keys": {"password": "sasl.password"}, "optional": True},
        ],
    }
    view = resolve_dataset("YOUR_DATASET", {"your-dataset": {"spec": spec}})
    job = build_runner_job(subject(), "job-1", 1, view, SETTINGS)
    mounts = {m["mountPath"]: m["name"] for m in container_of(job)["volumeMounts"]}
    assert mounts == {
        "/tmp": "tmp",
        "/etc/connector/options/0": "config-dataset-0",
        "/etc/connector/options/1": "config-dataset-1",
    }
    volumes = {v["name"]: v.get("secret") for v in job["spec"]["template"]["spec"]["volumes"]}
    assert volumes["config-dataset-0"] == {"secretName": "ca"}
    assert volumes["config-dataset-1"] == {"secretName": "user", "optional": True}
    environment = {v["name"]: v.get("value", "") for v in container_of(job)["env"]}
    assert environment["CONNECTOR_DATASET_OPTIONS_DIR"] == "/etc/connector/options"
    target = parse_manifest(read_variables(environment)).dataset
    assert target is not None
    assert target.options == {"security.protocol": "SASL_SSL"}
    assert target.options_from == (
        SecretSource(name="ca"),
        SecretSource(name="user", keys={"password": "sasl.password"}, optional=True),
    )


def test_a_dataset_without_options_keeps_its_hash_and_options_change_it() -> None:
    def hash_of(**more: Any) -> str:
        return resolve_dataset("YOUR_DATASET", {"your-dataset": {"spec": {"url": "kafka://one:9093", **more}}}).hash

    source = {"secretRef": {"name": "user"}}
    forms: list[dict[str, Any]] = [
        {}, {"options": {"linger.ms": "1"}}, {"options": {"linger.ms": "2"}}, {"optionsFrom": [source]},
        {"optionsFrom": [{**source, "optional": True}]},
    ]  # fmt: skip
    assert hash_of() == hash_of(options={}, optionsFrom=[])
    assert len({hash_of(**form) for form in forms}) == len(forms)
