"""Volumes of each kind, at the paths that the pod asks for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.localkube.cluster import ROOT, Cluster, LocalKube, eventually
from tests.localkube.workloads import (
    PYTHON,
    container,
    is_gone,
    output,
    pod,
    run_json,
    run_script,
    running,
    terminated,
)

SOURCES = """
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {user: ada, password: s3cret}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {mode: fast, nested.yaml: "a: 1"}
"""

READ = """
import json, os, pathlib, stat
def tree(top):
    paths = [pathlib.Path(d, f) for d, _, files in os.walk(top, followlinks=True) for f in files if '..' not in d]
    return {str(p): p.read_text() for p in paths}
print(json.dumps({"files": tree('/etc/connector') | tree('/var/run/own'), "tmp": os.listdir('/tmp'),
                  "host": os.path.exists('/etc/hostname'), "mode": oct(stat.S_IMODE(os.stat('/etc/connector/key/user').st_mode)),
                  "hosts": open('/etc/hosts').read()}))
"""


def mount(path: str, source: dict[str, Any], **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A volume and where it is mounted."""
    name = path.strip("/").replace("/", "-").replace(".", "-") or "root"
    return {"name": name, **source}, {"name": name, "mountPath": path, **fields}


def with_volumes(main: dict[str, Any], *mounts: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    """The fields of a pod with those volumes."""
    return {
        "main": {**main, "volumeMounts": [m for _, m in mounts]},
        "volumes": list({v["name"]: v for v, _ in mounts}.values()),
    }


def test_every_kind_is_at_its_path(cluster: Cluster, namespace: str) -> None:
    cluster.apply(SOURCES, namespace)
    projected = {
        "sources": [
            {"secret": {"name": "key", "items": [{"key": "user", "path": "deep/name"}]}},
            {"configMap": {"name": "settings"}},
            {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        ]
    }
    fields = with_volumes(
        container(READ, image=PYTHON),
        mount("/etc/connector/key", {"secret": {"secretName": "key", "defaultMode": 0o444}}, readOnly=True),
        mount(
            "/etc/connector/settings", {"configMap": {"name": "settings", "items": [{"key": "mode", "path": "mode"}]}}
        ),
        mount("/var/run/own", {"projected": projected}),
        mount("/tmp", {"emptyDir": {}}),
        mount("/scratch", {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}),
    )
    seen = run_json(cluster, namespace, "kinds", pod("kinds", **fields))
    assert seen["files"] == {
        "/etc/connector/key/user": "ada",
        "/etc/connector/key/password": "s3cret",
        "/etc/connector/settings/mode": "fast",
        "/var/run/own/deep/name": "ada",
        "/var/run/own/mode": "fast",
        "/var/run/own/nested.yaml": "a: 1",
        "/var/run/own/labels": 'app="kinds"',
    }
    assert seen["mode"] == "0o444"
    own = {ROOT.relative_to("/tmp").parts[0]} if ROOT.is_relative_to("/tmp") else set()
    assert set(seen["tmp"]) == own, "an emptyDir is empty, but for the way to the checkout"
    assert seen["host"], "what is not mounted is the host's"
    assert "kinds" in seen["hosts"]
    assert not Path("/etc/connector").exists()
    assert not Path("/scratch").exists()


def test_secret_that_changes_reaches_the_file(cluster: Cluster, namespace: str) -> None:
    cluster.apply(SOURCES, namespace)
    fields = with_volumes(
        container("while :; do cat /key/user; echo; sleep 0.2; done"), mount("/key", {"secret": {"secretName": "key"}})
    )
    cluster.apply(pod("watch", **fields), namespace)
    running(cluster, namespace, "watch")
    cluster.kubectl("patch", "secret", "key", "-n", namespace, "-p", '{"stringData":{"user":"grace"}}')
    eventually(lambda: output(cluster, namespace, "watch", "--tail=1") == "grace\n", timeout=120)


def test_sub_paths_read_only_and_nested_mounts(cluster: Cluster, namespace: str) -> None:
    cluster.apply(SOURCES, namespace)
    data: dict[str, Any] = {"emptyDir": {}}
    script = (
        "echo kept > /data/file; mkdir -p /data/inner; cat /etc/one.conf; ls /data /data/inner; cat /data/inner/user;"
        " { echo > /ro/x; } 2>/dev/null || echo refused; echo 1 > /part/y; cat /data/sub/y"
    )
    volume, whole = mount("/data", data)
    fields = with_volumes(
        container(script),
        (volume, whole),
        (volume, {"name": volume["name"], "mountPath": "/ro", "readOnly": True}),
        (volume, {"name": volume["name"], "mountPath": "/part", "subPath": "sub"}),
        mount("/data/inner", {"secret": {"secretName": "key"}}),
        mount("/etc/one.conf", {"configMap": {"name": "settings"}}, subPath="mode"),
    )
    text = run_script(cluster, namespace, "paths", pod("paths", **fields))
    assert text == "fast/data:\nfile\ninner\nsub\n\n/data/inner:\npassword\nuser\nadarefused\n1\n"


def claim(name: str) -> dict[str, Any]:
    """A claim on the default StorageClass."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def test_claim_outlives_pods_and_is_found_on_the_host(localkube: LocalKube, namespace: str) -> None:
    localkube.apply(claim("data"), namespace)
    source = {"persistentVolumeClaim": {"claimName": "data"}}
    security = {"runAsUser": 65532, "runAsNonRoot": True}
    for name in ("first", "second"):
        fields = with_volumes(container(f"echo {name} >> /data/log; cat /data/log"), mount("/data", source))
        text = run_script(localkube, namespace, name, pod(name, **fields, securityContext=security))
    assert text == "first\nsecond\n"
    directory = localkube.volume_path(namespace, "data")
    assert (directory / "log").read_text() == "first\nsecond\n"

    volume = localkube.get("pvc", "data", "-n", namespace)["spec"]["volumeName"]
    localkube.kubectl("delete", "pod", "--all", "-n", namespace)
    localkube.kubectl("delete", "pvc", "data", "-n", namespace)
    eventually(lambda: is_gone(localkube, f"/api/v1/persistentvolumes/{volume}"))
    assert not directory.exists()


def test_missing_secret_is_waited_for(cluster: Cluster, namespace: str) -> None:
    fields = with_volumes(container("cat /key/user"), mount("/key", {"secret": {"secretName": "key"}}))
    cluster.apply(pod("waits", **fields), namespace)
    eventually(lambda: "FailedMount" in cluster.kubectl("get", "events", "-n", namespace))
    cluster.apply(SOURCES, namespace)
    assert terminated(cluster, namespace, "waits")["exitCode"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a directory that is only root's")
def test_other_users_read_the_toolchain_but_write_only_their_own(
    localkube: LocalKube, namespace: str, tmp_path: Path
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "text").write_text("toolchain")
    (private / "text").chmod(0o600)
    script = f"cat {private}/text; {{ echo x > {private}/new; }} 2>/dev/null || echo refused; echo x > /tmp/mine && echo written"
    fields = with_volumes(container(script), mount("/tmp", {"emptyDir": {}}))
    manifest = pod("reader", **fields, securityContext={"runAsUser": 4321})
    # Its own /tmp hides the host's: the private directory must lie elsewhere.
    if private.is_relative_to("/tmp"):
        manifest["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] = "/var/tmp"
        manifest["spec"]["containers"][0]["args"] = [script.replace("/tmp/mine", "/var/tmp/mine")]
    assert run_script(localkube, namespace, "reader", manifest) == "toolchainrefused\nwritten\n"


def test_read_only_root_holds_where_the_kernel_can(cluster: Cluster, namespace: str) -> None:
    script = "{ echo x > /etc/localkube-test; } 2>/dev/null || echo refused; echo y > /data/y && echo written"
    main = container(script, securityContext={"readOnlyRootFilesystem": True})
    fields = with_volumes(main, mount("/data", {"emptyDir": {}}))
    assert run_script(cluster, namespace, "ro", pod("ro", **fields)) == "refused\nwritten\n"
    assert not Path("/etc/localkube-test").exists()


def test_what_an_image_runs_from_stays_in_sight_below_a_volume(cluster: Cluster, namespace: str) -> None:
    """A checkout may lie below /tmp, and pods like to have an emptyDir there."""
    above = str(ROOT.parent)
    main = container(f"print(open({str(ROOT / 'LICENSE')!r}).read(200))", image=PYTHON)
    cluster.apply(pod("below", **with_volumes(main, mount(above, {"emptyDir": {}}))), namespace)
    assert terminated(cluster, namespace, "below")["exitCode"] == 0
    assert "Apache License" in output(cluster, namespace, "below")
