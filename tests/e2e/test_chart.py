"""What the Helm chart renders, by a real Helm: what kustomize builds, and what its values add."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector_operator.settings import OPTIONS, read_settings
from generate.chart.files import CHART
from tests.e2e.test_install_files import by_identity
from tests.kit.cluster import OPERATOR_NAMESPACE, ROOT
from tests.localkube.build import ensure_binary
from tests.localkube.cluster import LocalKube
from tests.servers.helm import HelmError, helm, run_helm

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1800)]  # the first run builds Helm
OF_A_RELEASE = {
    f"app.kubernetes.io/{label}" for label in ("instance", "managed-by", "part-of", "version")
} | {"helm.sh/chart"}  # fmt: skip
Objects = dict[str, dict[str, Any]]


def render(home: Path, *arguments: str, namespace: str = OPERATOR_NAMESPACE, **values: Any) -> Objects:
    """The chart's objects by identity, without those that exist only while Helm installs."""
    path = home / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    options = ("--namespace", namespace, "--kube-version", "1.33.0", "--no-hooks", "--values", str(path))
    return by_identity(run_helm("template", "release", str(CHART), *options, *arguments, home=home))


def kustomize(folder: Path, text: str) -> Objects:
    """What kubectl builds from a kustomization next to the checkout's manifests."""
    for name in ("manifests", "crds"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "install").mkdir()
    (folder / "install/kustomization.yaml").write_text(text)
    kubectl = LocalKube(folder, binary=ensure_binary()).kubectl
    return by_identity(kubectl("kustomize", str(folder / "install")))


def comparable(objects: Objects) -> Objects:
    """Without what only one of both has: definitions, the namespace itself, the labels of a release, a default written out."""
    kept = {name: one for name, one in objects.items() if one["kind"] not in {"CustomResourceDefinition", "Namespace"}}
    for one in kept.values():
        labels = one["metadata"].get("labels", {})
        one["metadata"]["labels"] = {name: text for name, text in labels.items() if name not in OF_A_RELEASE}
        if one["kind"] == "Deployment":
            (container,) = one["spec"]["template"]["spec"]["containers"]
            assert container.pop("imagePullPolicy", "IfNotPresent") == "IfNotPresent"
    return kept


@pytest.mark.parametrize(
    ("install", "values"),
    [
        ("cluster-wide", {}),
        ("namespaced", {"clusterWide": False}),
    ],
)
def test_the_chart_is_what_kustomize_builds(tmp_path: Path, install: str, values: dict[str, Any]) -> None:
    resources = [f"../manifests/{part}" for part in (install, "api", "monitoring")]
    text = {"namespace": OPERATOR_NAMESPACE, "resources": resources, "components": ["../manifests/extras"]}
    built = comparable(kustomize(tmp_path, yaml.safe_dump(text)))
    if install == "namespaced":
        for name in (
            "connector-operator",
            "connector-runners",
        ):  # the chart narrows down what a namespaced install may not see
            built[f"PodMonitor/{OPERATOR_NAMESPACE}/{name}"]["spec"]["namespaceSelector"] = {
                "matchNames": [OPERATOR_NAMESPACE]
            }
    # wherever the rights end: the chart knows which namespaces get an API
    selector = built[f"PodMonitor/{OPERATOR_NAMESPACE}/connectors-api"]["spec"]
    selector["namespaceSelector"] = {"matchNames": [OPERATOR_NAMESPACE]}
    names = ("api", "podMonitor", "prometheusRule", "grafanaDashboard", "networkPolicy", "podDisruptionBudget")
    enabled: dict[str, Any] = {name: {"enabled": True} for name in names}
    rendered = comparable(render(tmp_path, **values, **enabled))
    assert rendered.keys() == built.keys()
    for name, one in built.items():
        assert rendered[name] == one, name


def test_nothing_is_there_that_is_off(tmp_path: Path) -> None:
    kinds = {one["kind"] for one in render(tmp_path).values()}
    assert kinds == {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "Deployment"}
    kinds = {one["kind"] for one in render(tmp_path, clusterWide=False).values()}
    assert kinds == {"ServiceAccount", "Role", "RoleBinding", "Deployment"}


def environment_of(deployment: dict[str, Any]) -> dict[str, Any]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    names = [variable["name"] for variable in container["env"]]
    assert len(names) == len(set(names))
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container["env"]}


def test_the_operator_reads_the_settings_that_the_values_say(tmp_path: Path) -> None:
    settings = {
        "serviceAccounts": ["a", "b"], "metricsNames": False, "workers": 3, "requestsPerSecond": 10000, "runnerAllow": [],
        "resync": 86400, "logLevel": "debug",
    }  # fmt: skip
    objects = render(tmp_path, settings=settings, namespaces=["x", "z"])
    environment = environment_of(objects[f"Deployment/{OPERATOR_NAMESPACE}/connector-operator"])
    read = read_settings({}, {name: text for name, text in environment.items() if isinstance(text, str)})
    assert (read.service_accounts, read.metrics_names, read.workers) == (("a", "b"), False, 3)
    assert (read.requests_per_second, read.resync, read.log_level) == (10000, 86400, "debug")
    assert (read.namespaces, read.runner_image, read.runner_allow) == (("x", "z"), "connector-runner:0.1.0", ())
    assert {name for name in environment if name.startswith("CONNECTOR_OPERATOR")} <= {one.variable for one in OPTIONS}


def test_roles_in_each_of_the_namespaces(tmp_path: Path) -> None:
    objects = render(tmp_path, clusterWide=False, namespaces=["x", "z"])
    for namespace in ("x", "z"):
        assert f"Role/{namespace}/connector-operator" in objects
        (subject,) = objects[f"RoleBinding/{namespace}/connector-operator"]["subjects"]
        assert subject["namespace"] == OPERATOR_NAMESPACE
    assert f"Role/{OPERATOR_NAMESPACE}/connector-operator" not in objects
    assert f"Role/{OPERATOR_NAMESPACE}/connector-operator-lease" in objects


def test_what_pods_get_from_the_values(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "podAnnotations": {"prometheus.io/scrape": "false", "own": "1"},
        "podLabels": {"app.kubernetes.io/name": "never", "team": "data"},
        "nodeSelector": {"pool": "system"}, "priorityClassName": "system-cluster-critical",
        "tolerations": [{"operator": "Exists"}], "imagePullSecrets": [{"name": "registry"}],
        "runnerDefaults": {"nodeSelector": {"pool": "data"}}, "image": {"repository": "r.example/o", "tag": "1"},
        "api": {"enabled": True, "namespaces": ["x", "z"], "settings": {"maxBody": 1_500_000}, "replicas": 2},
    }  # fmt: skip
    objects = render(tmp_path, **values)
    pod = objects[f"Deployment/{OPERATOR_NAMESPACE}/connector-operator"]["spec"]["template"]
    assert pod["metadata"]["labels"] == {"app.kubernetes.io/name": "connector-operator", "team": "data"}
    assert pod["metadata"]["annotations"] == {"prometheus.io/scrape": "false", "prometheus.io/port": "8080", "own": "1"}
    assert (
        values.items()
        >= {name: pod["spec"][name] for name in ("nodeSelector", "tolerations", "priorityClassName")}.items()
    )
    assert pod["spec"]["containers"][0]["image"] == "r.example/o:1"
    defaults = objects[f"ConfigMap/{OPERATOR_NAMESPACE}/connector-runner-defaults"]["data"]["runner.yaml"]
    assert yaml.safe_load(defaults) == values["runnerDefaults"]
    for namespace in ("x", "z"):
        deployment = objects[f"Deployment/{namespace}/connectors-api"]
        assert environment_of(deployment)["CONNECTORS_API_MAX_BODY"] == "1500000"
        assert deployment["spec"]["replicas"] == 2


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"replica": 2}, "replica"),
        ({"replicas": "two"}, "replicas"),
        ({"settings": {"discoveryDeadlines": 3}}, "discoveryDeadlines"),
        ({"settings": {"workers": "many"}}, "workers"),
        ({"settings": {"namespaces": ["a"]}}, "namespaces"),
        ({"crds": {"instal": False}}, "instal"),
        ({"api": {"namespaces": ["Not A Name"]}}, "namespaces"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_a_value_that_is_not_known_is_refused(tmp_path: Path, values: dict[str, Any], told: str) -> None:
    with pytest.raises(HelmError, match=re.escape(told)):
        render(tmp_path, **values)


def test_an_older_kubernetes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HelmError, match=r"1\.32\.0"):
        run_helm("template", "release", str(CHART), "--kube-version", "1.32.0", home=tmp_path)


def test_helm_finds_nothing_to_say(tmp_path: Path) -> None:
    said = run_helm("lint", "--strict", str(CHART), home=tmp_path)
    assert "0 chart(s) failed" in said
    assert "[WARNING]" not in said


def test_the_commands_of_the_documentation(tmp_path: Path) -> None:
    """The block as it is, but that Helm renders instead of installing."""
    (block,) = re.findall(r"```sh\n(cat > values.yaml.*?)```", (ROOT / "docs/install.md").read_text(), flags=re.DOTALL)
    script, labelling = block.replace("helm install", "helm template").split("kubectl label")
    assert "pod-security.kubernetes.io/enforce=restricted" in labelling
    (tmp_path / "charts").symlink_to(ROOT / "charts")
    environment = {**os.environ, "PATH": f"{helm().parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    typed = subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert typed.returncode == 0, typed.stderr
    deployment = by_identity(typed.stdout)[f"Deployment/{OPERATOR_NAMESPACE}/connector-operator"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("registry.example.org/connector-operator:")
    assert environment_of(deployment)["CONNECTOR_OPERATOR_RUNNER_IMAGE"].startswith(
        "registry.example.org/connector-runner:"
    )
