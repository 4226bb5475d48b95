"""What a person and the installation may say of a runner's pod: the layers, what is reserved, what needs to be allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from connector_operator.crds.files import build_crd_files
from connector_operator.decide.facts import gather_facts
from connector_operator.decide.observation import Policy
from connector_operator.defaults import DefaultsError, InstallationDefaults, parse_defaults
from connector_operator.resources.connector import parse_spec
from connector_operator.resources.dataset import resolve_dataset
from connector_operator.resources.runner_rules import ALLOWANCES, conflicts
from connector_operator.workloads.jobs import RunnerSettings, Subject, build_discovery_job, build_runner_job
from connector_operator.workloads.layers import built_in, merge_layers
from connector_runner.schemas.kinds.checks import plain_schema
from connector_runner.schemas.kinds.reserved import overlaps
from connector_runner.schemas.kinds.runner import FIRST_FIELDS, RunnerSpec
from tests.unit.operator.world import DATASET, SPEC, World

FULL: dict[str, Any] = {
    "jobLabels": {"kueue.x-k8s.io/queue-name": "data", "team": "x"},
    "jobAnnotations": {"note": "y"},
    "env": [
        {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
        {"name": "SSL_CERT_FILE", "value": "/etc/ca/ca.crt"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
    ],
    "volumes": [
        {"name": "ca", "secret": {"secretName": "ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"name": "extra", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        {"name": "many", "projected": {"sources": [{"configMap": {"name": "c"}}, {"secret": {"name": "s"}}]}},
        {"name": "csi", "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": True}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}},
    ],
    "volumeMounts": [{"name": "ca", "mountPath": "/etc/ca", "readOnly": True}],
    "securityContext": {"runAsUser": 1000, "fsGroup": 2000, "seccompProfile": {"type": "Localhost", "localhostProfile": "x"}},
    "containerSecurityContext": {"readOnlyRootFilesystem": False},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"a": "b"}}}
    ],
    "runtimeClassName": "gvisor",
    "schedulerName": "other",
    "imagePullPolicy": "Always",
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db"]}],
    "dnsPolicy": "None",
    "dnsConfig": {"nameservers": ["10.0.0.2"], "options": [{"name": "ndots", "value": "1"}]},
}  # fmt: skip


def problems(runner: dict[str, Any], *allowed: str) -> tuple[str, ...]:
    world = World(runner=runner)
    world.policy = Policy(allowances=allowed)
    return gather_facts(world.observe()).problems


def job(runner: dict[str, Any], *layers: dict[str, Any]) -> dict[str, Any]:
    spec, _ = parse_spec({**SPEC, "runner": runner})
    assert spec is not None
    settings = RunnerSettings(image="runner:1", layers=lambda: (built_in(), *layers))
    return build_discovery_job(Subject("default", "c", "uid-1", spec), "job-1", 1, settings)


def pod_of(made: dict[str, Any]) -> dict[str, Any]:
    return dict(made["spec"]["template"]["spec"])


def test_all_fields_reach_the_pod_as_they_are() -> None:
    assert problems(FULL) == ()
    made = job(FULL)
    pod = pod_of(made)
    container = pod["containers"][0]
    for name in (
        "topologySpreadConstraints",
        "runtimeClassName",
        "schedulerName",
        "hostAliases",
        "dnsPolicy",
        "dnsConfig",
    ):
        assert pod[name] == FULL[name]
    assert pod["volumes"][-5:] == FULL["volumes"]
    assert container["volumeMounts"][-1] == FULL["volumeMounts"][0]
    assert container["env"][-3:] == FULL["env"]
    assert container["imagePullPolicy"] == "Always"
    assert pod["securityContext"] == {"runAsNonRoot": True, **FULL["securityContext"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "data"
    assert made["metadata"]["annotations"]["note"] == "y"


def test_the_runner_of_an_execution_is_made_the_same_way() -> None:
    spec, _ = parse_spec({**SPEC, "runner": FULL})
    assert spec is not None
    view = resolve_dataset("YOUR_DATASET", {"your-dataset": DATASET})
    made = build_runner_job(Subject("default", "c", "u", spec), "job-1", 1, view, RunnerSettings(image="r"))
    assert pod_of(made)["containers"][0]["env"][-3:] == FULL["env"]


def test_nothing_that_the_cluster_may_choose_is_said_where_it_chooses() -> None:
    assert "runAsUser" not in json.dumps(built_in())
    assert built_in(is_cluster_choosing=True)["securityContext"] == {"runAsNonRoot": True}


OWN = [
    ({"env": [{"name": "CONNECTOR_MANIFEST", "value": "{}"}]}, "spec.runner.env[0].name: CONNECTOR_MANIFEST"),
    ({"env": [{"name": "POD_IP", "value": "x"}]}, "spec.runner.env[0].name: POD_IP"),
    ({"volumes": [{"name": "data", "emptyDir": {}}]}, "spec.runner.volumes[0].name: data"),
    ({"volumes": [{"name": "config-0", "emptyDir": {}}]}, "spec.runner.volumes[0].name: config-0"),
    ({"jobLabels": {"apperate.io/connector": "x"}}, "spec.runner.jobLabels: apperate.io/connector"),
    ({"jobAnnotations": {"apperate.io/spec-hash": "x"}}, "spec.runner.jobAnnotations: apperate.io/spec-hash"),
    *(
        ({"volumes": [{"name": "v", "emptyDir": {}}], "volumeMounts": [{"name": "v", "mountPath": path}]}, "mountPath")
        for path in ("/", "/data", "/data/x", "/tmp", "/etc", "/etc/connector/config/0", "//etc//connector", "/x/../data", "/dev/termination-log")
    ),
]  # fmt: skip
LIMITED: list[tuple[dict[str, Any], str]] = [
    ({"hostNetwork": True}, "hostNetwork"),
    ({"hostPID": True}, "hostPID"),
    ({"hostIPC": True}, "hostIPC"),
    ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "hostPath"),
    ({"securityContext": {"runAsUser": 0}}, "privileged"),
    ({"securityContext": {"runAsNonRoot": False}}, "privileged"),
    ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, "privileged"),
    ({"securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}}, "privileged"),
    ({"containerSecurityContext": {"privileged": True}}, "privileged"),
    ({"containerSecurityContext": {"allowPrivilegeEscalation": True}}, "privileged"),
    ({"containerSecurityContext": {"capabilities": {"add": ["SYS_ADMIN"], "drop": ["ALL"]}}}, "privileged"),
    ({"containerSecurityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"]}}}, "privileged"),
    ({"containerSecurityContext": {"appArmorProfile": {"type": "Unconfined"}}}, "privileged"),
    ({"containerSecurityContext": {"procMount": "Unmasked"}}, "privileged"),
    ({"containerSecurityContext": {"seLinuxOptions": {"type": "spc_t"}}}, "privileged"),
]
CODE = [
    {"env": [{"name": "PYTHONPATH", "value": "/x"}]},
    {"env": [{"name": "LD_PRELOAD", "value": "/x"}]},
    {"env": [{"name": "OPENSSL_CONF", "value": "/x"}]},
    *(
        {"volumes": [{"name": "v", "emptyDir": {}}], "volumeMounts": [{"name": "v", "mountPath": path}]}
        for path in ("/usr/local/lib/python3.13/site-packages/x", "/opt", "/etc/ld.so.preload", "/etc/ssl", "/lib/x")
    ),
    {"volumeMounts": [{"name": "tmp", "mountPath": "/mnt"}]},
]


@pytest.mark.parametrize(("runner", "says"), OWN)
def test_what_is_the_operators_own_is_refused_whoever_asks(runner: dict[str, Any], says: str) -> None:
    assert says in problems(runner, *ALLOWANCES)[0]
    with pytest.raises(DefaultsError):
        parse_defaults(yaml.safe_dump(runner), "f")


@pytest.mark.parametrize(("runner", "name"), LIMITED)
def test_what_is_more_than_a_connector_gives_is_allowed_by_name(runner: dict[str, Any], name: str) -> None:
    (problem,) = problems(runner, *(other for other in ALLOWANCES if other != name))
    assert problem.endswith(f"the administrator can, by --runner-allow {name}")
    assert problems(runner, name) == ()
    assert parse_defaults(yaml.safe_dump(runner), "f") == runner, "the administrator's own file may say it"


@pytest.mark.parametrize("runner", CODE)
def test_no_connector_brings_code_into_the_runner(runner: dict[str, Any]) -> None:
    assert len(problems(runner, *ALLOWANCES)) == 1


@pytest.mark.parametrize(
    "runner",
    [
        {"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]},
        {"volumes": [{"name": "t", "projected": {"sources": [{"podCertificate": {"signerName": "x"}}]}}]},
        {"volumes": [{"name": "t", "nfs": {"server": "s", "path": "/"}}]},
        {"volumes": [{"name": "t", "ephemeral": {"volumeClaimTemplate": {}}}]},
        {"env": [{"name": "a b", "value": "x"}]},
        {"env": [{"value": "x"}]},
        {"imagePullPolicy": "Sometimes"},
        {"volumeMounts": [{"name": "v", "mountPath": "relative"}]},
        {"jobLabels": {"a": "b c"}},
    ],
)
def test_what_has_not_the_shape_is_told_with_its_path(runner: dict[str, Any]) -> None:
    assert problems(runner)[0].startswith("spec.runner.")


def test_the_installations_files_stay_where_they_are() -> None:
    defaults = {
        "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "volumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
    }
    other = {"volumes": [{"name": "mine", "emptyDir": {}}], "volumeMounts": [{"name": "mine", "mountPath": "/mnt/x"}]}
    assert list(conflicts(other, defaults, "spec.runner")) == []
    same = {"volumes": [{"name": "ca", "emptyDir": {}}], "volumeMounts": [{"name": "ca", "mountPath": "/etc/ca/x"}]}
    assert len(list(conflicts(same, defaults, "spec.runner"))) == 2


def test_layers_merge_by_the_stated_rule() -> None:
    below = {
        "nodeSelector": {"disk": "fast", "zone": "a"}, "tolerations": [{"key": "a"}, {"key": "b"}], "imagePullSecrets": [{"name": "pull"}],
        "env": [{"name": "HTTPS_PROXY", "value": "1"}, {"name": "NO_PROXY", "value": "2"}], "resources": {"limits": {"memory": "1Gi"}},
        "priorityClassName": "low", "securityContext": {"fsGroup": 1, "runAsUser": 2},
    }  # fmt: skip
    above = {
        "nodeSelector": {"zone": "b"}, "tolerations": [{"key": "b"}, {"key": "c"}], "imagePullSecrets": [{"name": "own"}],
        "env": [{"name": "HTTPS_PROXY", "value": "3"}], "resources": {"requests": {"cpu": "1"}}, "priorityClassName": "high",
        "securityContext": {"fsGroup": None, "runAsGroup": 3},
    }  # fmt: skip
    assert merge_layers([below, above]) == {
        "nodeSelector": {"disk": "fast", "zone": "b"}, "tolerations": [{"key": "a"}, {"key": "b"}, {"key": "c"}],
        "imagePullSecrets": [{"name": "pull"}, {"name": "own"}],
        "env": [{"name": "NO_PROXY", "value": "2"}, {"name": "HTTPS_PROXY", "value": "3"}], "resources": {"requests": {"cpu": "1"}},
        "priorityClassName": "high", "securityContext": {"runAsUser": 2, "runAsGroup": 3},
    }  # fmt: skip
    assert merge_layers([below, {"resources": None}, {}]).get("resources") is None


@given(
    st.dictionaries(
        st.sampled_from(["nodeSelector", "podLabels"]), st.dictionaries(st.text(max_size=2), st.text(max_size=2))
    )
)
def test_a_layer_over_itself_is_itself(layer: dict[str, Any]) -> None:
    assert merge_layers([layer, layer]) == layer


def test_defaults_reach_every_job_and_a_connector_says_otherwise() -> None:
    defaults = {
        "imagePullSecrets": [{"name": "pull"}],
        "tolerations": [{"key": "data"}],
        "nodeSelector": {"pool": "data"},
    }
    pod = pod_of(job({"nodeSelector": {"pool": "other"}}, defaults))
    assert (pod["imagePullSecrets"], pod["tolerations"]) == (defaults["imagePullSecrets"], defaults["tolerations"])
    assert pod["nodeSelector"] == {"pool": "other"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "is not YAML"),
        ("- a", "expected a mapping"),
        ("nodeselector: {}", "nodeselector: not a known property"),
        ("terminationGracePeriodSeconds: 3", "set --runner-grace instead"),
        ("imagePullPolicy: Always", "set --runner-pull-policy instead"),
        ("env: [{name: A, value: 1}]", "env[0].value: expected string"),
    ],
)
def test_bad_defaults_are_told_with_their_place(text: str, says: str) -> None:
    with pytest.raises(DefaultsError, match=r"defaults\.yaml") as told:
        parse_defaults(text, "defaults.yaml")
    assert says in str(told.value)


def test_defaults_are_followed_and_bad_ones_are_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "runner.yaml"
    file.write_text("nodeSelector: {pool: a}")
    defaults = InstallationDefaults(str(file))
    defaults.load()
    assert merge_layers(defaults.layers())["nodeSelector"] == {"pool": "a"}
    file.write_text("nodeSelector: {pool: b}")
    assert merge_layers(defaults.layers())["nodeSelector"] == {"pool": "b"}
    file.write_text("nodeSelector: 5")
    for _ in range(3):
        assert merge_layers(defaults.layers())["nodeSelector"] == {"pool": "b"}
    file.unlink()
    assert merge_layers(defaults.layers())["nodeSelector"] == {"pool": "b"}
    assert len([r for r in caplog.records if r.levelname == "ERROR"]) == 2
    file.write_text("")
    assert "nodeSelector" not in merge_layers(defaults.layers())
    assert "fsGroup: 65532" in defaults.describe()
    with pytest.raises(DefaultsError, match="can't be read"):
        InstallationDefaults(str(tmp_path / "absent")).load()


def test_a_folder_is_as_good_as_a_file_and_may_be_empty(tmp_path: Path) -> None:
    defaults = InstallationDefaults(str(tmp_path))
    defaults.load()
    (tmp_path / "a.yaml").write_text("nodeSelector: {pool: a, disk: b}\npriorityClassName: low")
    (tmp_path / "b.yml").write_text(
        "nodeSelector: {pool: c}\npriorityClassName: null\nsecurityContext: {fsGroup: null}"
    )
    (tmp_path / "notes.txt").write_text("{")
    merged = merge_layers(defaults.layers())
    assert merged["nodeSelector"] == {"pool": "c", "disk": "b"}
    assert "priorityClassName" not in merged
    assert "fsGroup" not in merged["securityContext"]


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        ("/", "/x", True),
        ("/etc", "/etc/ca", True),
        ("/etc/ca", "/etc", True),
        ("/etc/cab", "/etc/ca", False),
        ("/a/../b", "/b", True),
    ],
)
def test_paths_meet(one: str, other: str, meets: bool) -> None:
    assert overlaps(one, other) is meets


def test_the_definition_fits_its_bound_and_has_the_fields_of_the_spec() -> None:
    assert all(len(text.encode()) <= 200_000 for text in build_crd_files().values())
    fields = {field.encode_name for field in msgspec.structs.fields(RunnerSpec)}
    assert fields == set(plain_schema(RunnerSpec)["properties"])
    assert fields > FIRST_FIELDS
    jsonschema.Draft202012Validator.check_schema(plain_schema(RunnerSpec))
