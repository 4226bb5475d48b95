"""What prevents the operator from starting is reported in sentences: missing or unexpected custom resources, missing permissions."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from connector_operator.crds.release import ANNOTATION
from tests.kit.cluster import ROOT
from tests.localkube.cluster import LocalKube
from tests.localkube.plugin import default_images


@pytest.fixture(scope="module")
def bare(local_only: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    """A cluster of its own, without our custom resources."""
    cluster = LocalKube.start(tmp_path_factory.mktemp("bare"), default_images())
    yield cluster
    cluster.stop()


def check(kubeconfig: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("connector-operator")), "check", "--runner-image=x", *flags]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_from_nothing_to_a_good_start(bare: LocalKube, tmp_path: Path) -> None:
    missing = check(bare.kubeconfig)
    assert missing.returncode == 1
    assert "connectors.apperate.io is missing; install it with kubectl apply --server-side -f crds/" in missing.stderr
    assert "Traceback" not in missing.stderr

    crd = yaml.safe_load((ROOT / "crds/connectors.yaml").read_text())
    del crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["retry"]
    bare.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump(crd))
    bare.kubectl("apply", "--server-side", "-f", str(ROOT / "crds/datasets.yaml"))
    bare.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    older = eventually_check(bare, "of another version than this operator, it lacks status.retry")
    assert older.returncode == 1

    bare.kubectl("apply", "--server-side", "-f", str(ROOT / "crds/connectors.yaml"))
    assert eventually_check(bare, "as they should be").returncode == 0

    defaults = tmp_path / "runner.yaml"
    defaults.write_text("nodeSelector: {pool: data}\n")
    shown = check(bare.kubeconfig, f"--runner-defaults={defaults}")
    assert shown.returncode == 0
    assert "nodeSelector:\n  pool: data\n" in shown.stdout
    assert "runAsNonRoot: true" in shown.stdout
    defaults.write_text("nodeselector: {pool: data}\n")
    refused = check(bare.kubeconfig, f"--runner-defaults={defaults}")
    assert refused.returncode == 1
    assert f"--runner-defaults {defaults}: nodeselector: not a known property" in refused.stderr

    bare.kubectl("create", "serviceaccount", "weak")
    token = bare.kubectl("create", "token", "weak").strip()
    weak = check(as_account(bare, token, tmp_path), "--namespaces=default")
    assert weak.returncode == 1
    assert "lacks rights in namespace 'default'" in weak.stderr
    assert "patch connectors/status.apperate.io" in weak.stderr
    assert token not in weak.stderr


def eventually_check(bare: LocalKube, says: str) -> subprocess.CompletedProcess[str]:
    """The API server publishes a changed schema a moment later."""
    for _ in range(30):
        done = check(bare.kubeconfig)
        if says in done.stderr:
            return done
    raise AssertionError(f"never said {says!r}: {done.stderr}")


def as_account(cluster: LocalKube, token: str, folder: Path) -> Path:
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    path = folder / "weak"
    path.write_text(yaml.safe_dump(config))
    return path


def test_an_unreachable_api_server_and_no_credentials_are_told(tmp_path: Path) -> None:
    nothing = check(tmp_path / "none")
    assert nothing.returncode == 1
    assert "neither a pod's service account nor a usable KUBECONFIG was found" in nothing.stderr
    assert "Traceback" not in nothing.stderr


def apply_definitions(kubeconfig: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("connector-operator")), "crds", "--apply"]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_definitions_are_brought_to_this_release_and_never_back(bare: LocalKube) -> None:
    names = ("connectors.apperate.io", "datasets.apperate.io")
    bare.kubectl("delete", "crd", *names, "--ignore-not-found")
    fresh = apply_definitions(bare.kubeconfig)
    assert (fresh.stderr, fresh.stdout) == ("", f"applied and served: {', '.join(names)}\n")
    bare.kubectl("get", "connectors,datasets", "-A")

    def fields() -> tuple[str, set[str]]:
        found = bare.get("crd", names[0])
        schema = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        return found["metadata"]["annotations"][ANNOTATION], set(schema["properties"]["status"]["properties"])

    whole = fields()
    older = yaml.safe_load((ROOT / "crds/connectors.yaml").read_text())
    older["metadata"]["annotations"] = {ANNOTATION: "0.0.9"}
    del older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["retry"]
    bare.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=yaml.safe_dump(older))
    assert fields() == ("0.0.9", whole[1] - {"retry"})
    assert apply_definitions(bare.kubeconfig).returncode == 0
    assert fields() == whole

    bare.kubectl("annotate", "--overwrite", "crd", names[1], f"{ANNOTATION}=9.0.0")
    bare.kubectl("annotate", "--overwrite", "crd", names[0], f"{ANNOTATION}=0.0.9")
    refused = apply_definitions(bare.kubeconfig)
    assert refused.returncode == 1
    assert f"{names[1]} is of release 9.0.0, newer than" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert fields()[0] == "0.0.9", "neither is changed when one can't be"
