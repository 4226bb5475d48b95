"""A cluster as a whole: up, down, two side by side, killed parents, other users, other ways to see volumes."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.localkube.build import ensure_binary
from tests.localkube.cluster import Image, LocalKube, eventually
from tests.localkube.plugin import ROOT, default_images
from tests.localkube.workloads import PYTHON, container, output, pod, run_json, run_script, running

pytestmark = pytest.mark.usefixtures("local_only")


def processes_of(directory: Path) -> list[str]:
    """The command lines of processes that have a cluster's directory in them, or run from it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in line and int(entry.name) != os.getpid():
            found.append(f"{entry.name} {line}")
    return found


def mounts_of(directory: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(directory) in line]


STUBBORN = "trap '' TERM; (setsid sh -c 'echo $$$$; exec sleep 987654') & echo $$$$; while :; do sleep 0.1; done"


def start_stubborn(cluster: LocalKube) -> list[int]:
    """Starts a pod that does not want to end, and returns its processes."""
    cluster.apply(pod("stubborn", container(STUBBORN), terminationGracePeriodSeconds=600), "default")
    running(cluster, "default", "stubborn")
    lines = eventually(
        lambda: found if len(found := output(cluster, "default", "stubborn").split()) == 2 else None, what="two pids"
    )
    return [int(line) for line in lines]


def all_gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_down_leaves_no_process_and_no_mount(tmp_path: Path) -> None:
    cluster = LocalKube.start(tmp_path / "c", default_images())
    assert "Ready" in cluster.status()
    pids = start_stubborn(cluster)
    supervisor = cluster.supervisor_pid
    assert cluster.run("up").stdout.startswith("ready after ")
    assert cluster.supervisor_pid == supervisor, "up is idempotent"
    with pytest.raises(RuntimeError, match="run `localkube down` first"):
        cluster.run("up", "--audit")
    cluster.stop()
    assert all_gone(pids)
    assert processes_of(tmp_path) == []
    assert mounts_of(tmp_path) == []
    left = {path.name for path in cluster.directory.iterdir()}
    assert left == {"logs", "run", "images.json", "images.lock"}
    assert cluster.run("down").stdout == "not running\n"
    assert cluster.run("status", check=False).returncode == 1


def test_start_keeps_the_images_of_a_running_cluster_and_forgets_those_of_an_ended_one(tmp_path: Path) -> None:
    directory = tmp_path / "c"
    cluster = LocalKube.start(directory, default_images())
    try:
        with ThreadPoolExecutor() as pool:
            names = [f"mapped-{number}:test" for number in range(20)]
            list(pool.map(lambda name: cluster.map_images({name: ["/bin/true"]}), names))
        LocalKube.start(directory, {"sh:test": ["/bin/false"]})
        mapped = json.loads(cluster.images_file.read_text())["images"]
        assert set(mapped) == {*default_images(), *names}
        assert mapped["sh:test"] == {"command": ["/bin/false"]}
        cluster.stop()
        LocalKube.start(directory, {"sh:test": ["/bin/false"]})
        assert set(json.loads(cluster.images_file.read_text())["images"]) == {"sh:test"}
    finally:
        cluster.stop()


def test_two_clusters_side_by_side(tmp_path: Path) -> None:
    def start(name: str) -> LocalKube:
        cluster = LocalKube.start(tmp_path / name, default_images())
        server = "import http.server, os; http.server.HTTPServer((os.environ['IP'], 8080), http.server.SimpleHTTPRequestHandler).serve_forever()"
        ip = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        probe = {"httpGet": {"port": 8080}, "periodSeconds": 1}
        cluster.apply(pod("web", container(server, image=PYTHON, env=[ip], readinessProbe=probe)), "default")
        running(cluster, "default", "web")
        return cluster

    with ThreadPoolExecutor() as pool:
        one, two = pool.map(start, ["one", "two"])
    try:
        ips = {c.read("/api/v1/namespaces/default/pods/web")["status"]["podIP"] for c in (one, two)}
        assert len({ip.split(".")[1] for ip in ips}) == 2
        one.stop()
        assert processes_of(one.directory) == []
        running(two, "default", "web")
        assert two.kubectl("get", "--raw", "/readyz") == "ok"
    finally:
        one.stop()
        two.stop()


def test_up_at_the_same_time_is_one_cluster(tmp_path: Path) -> None:
    command = [str(ensure_binary()), "up", "--dir", str(tmp_path / "c"), "--parent", str(os.getpid())]
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda _: subprocess.run(command, capture_output=True, text=True, check=False), range(3)))
    assert [d.returncode for d in done] == [0, 0, 0], [d.stderr for d in done]
    assert sum("run-component supervisor" in line for line in processes_of(tmp_path)) == 1
    subprocess.run([command[0], "down", "--dir", str(tmp_path / "c")], check=True, capture_output=True)
    assert processes_of(tmp_path) == []


def test_killed_parent_and_killed_supervisor_leave_nothing(tmp_path: Path) -> None:
    script = f"""
        import sys, time
        from pathlib import Path
        from tests.localkube.cluster import LocalKube
        from tests.localkube.plugin import default_images
        from tests.localkube.test_lifecycle import start_stubborn
        cluster = LocalKube.start(Path({str(tmp_path / "c")!r}), default_images())
        print(*start_stubborn(cluster), flush=True)
        time.sleep(600)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.kill()
    parent.communicate()
    eventually(lambda: processes_of(tmp_path) == [], what="everything ends with its parent")
    assert all_gone(pids)
    assert mounts_of(tmp_path) == []

    cluster = LocalKube.start(tmp_path / "c", default_images())
    assert cluster.get("pods", "-n", "default")["items"] == [], "up starts anew"
    pids = start_stubborn(cluster)
    os.kill(cluster.supervisor_pid, signal.SIGKILL)
    eventually(lambda: processes_of(tmp_path) == [] and all_gone(pids), what="all of it is gone")
    cluster.stop()


def test_foreground_ends_with_the_signal(tmp_path: Path) -> None:
    command = [str(ensure_binary()), "up", "--foreground", "--dir", str(tmp_path / "c")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline(), process.stdout.readline()]
        while "Ctrl-C" not in told[-1]:
            told.append(process.stdout.readline())
            assert told[-1], told
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert processes_of(tmp_path) == []


TOKEN = """
import json, os
from kubernetes import client, config
config.load_config()
print(json.dumps({"version": client.VersionApi().get_code().git_version, "data": open(os.environ["DATA"]).read(),
                  "uid": os.getuid(), "argument": open(__import__("sys").argv[1]).read()}))
"""


def reads_its_volumes(cluster: LocalKube) -> dict[str, Any]:
    """Runs a pod that reads a Secret by a path in a variable and in an argument, and asks the API server who it is."""
    cluster.kubectl("create", "secret", "generic", "key", "--from-literal=user=ada", "-n", "default")
    main = container(
        TOKEN,
        image=PYTHON,
        env=[{"name": "DATA", "value": "/etc/connector/key/user"}],
        volumeMounts=[{"name": "key", "mountPath": "/etc/connector/key"}],
    )
    main["args"].append("/etc/connector/key/user")
    volumes = [{"name": "key", "secret": {"secretName": "key"}}]
    manifest = pod(
        "token", main, volumes=volumes, automountServiceAccountToken=True, securityContext={"runAsUser": 65532}
    )
    seen: dict[str, Any] = run_json(cluster, "default", "token", manifest)
    return seen


def check_broken_mapping(cluster: LocalKube) -> None:
    """A mistake in the mapping is reported where the pod's user looks. The test leaves the mapping broken."""
    cluster.images_file.write_text("images: {x: {comand: [sh]}}")
    cluster.apply(pod("broken", container("true", image="x")), "default")
    path = "/api/v1/namespaces/default/pods/broken"
    eventually(lambda: "comand" in (text := str(cluster.read(path)["status"])) and "unknown field" in text)


def test_paths_are_translated_where_namespaces_are_not_allowed(tmp_path: Path) -> None:
    cluster = LocalKube.start(tmp_path / "c", default_images(), mounts="paths")
    try:
        assert "paths are translated" in cluster.status()
        seen = reads_its_volumes(cluster)
        assert seen["version"].startswith("v1.")
        assert (seen["data"], seen["argument"]) == ("ada", "ada")
        check_broken_mapping(cluster)
    finally:
        cluster.stop()


@pytest.fixture
def nobodys(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory that an ordinary user can enter; pytest's own are closed to others."""
    path = Path(tempfile.mkdtemp(prefix="localkube-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a cluster as somebody else")
@pytest.mark.parametrize("mounts", ["auto", "paths"])
def test_ordinary_user(nobodys: Path, mounts: str) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    # The binary as a user without rights to this checkout finds it.
    binary = nobodys / "localkube"
    shutil.copy(ensure_binary().resolve(), binary)
    images: dict[str, Image] = {"sh:test": {"command": ["/bin/sh", "-c"]}}
    cluster = LocalKube.start(nobodys / "c", images, mounts=mounts, user=nobody, binary=binary)
    try:
        script = "id -u; cat $FILE; cat /data/f 2>/dev/null || echo translated; kill -0 1 2>/dev/null || echo powerless"
        main = container(
            script, env=[{"name": "FILE", "value": "/cfg/text"}], volumeMounts=[{"name": "cfg", "mountPath": "/cfg"}]
        )
        cluster.kubectl("create", "configmap", "cfg", "-n", "default", "--from-literal=text=configured\n")
        security = {"runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532, "runAsNonRoot": True}
        manifest = pod(
            "user", main, securityContext=security, automountServiceAccountToken=True,
            volumes=[{"name": "cfg", "configMap": {"name": "cfg"}}],
        )  # fmt: skip
        text = run_script(cluster, "default", "user", manifest)
        assert text == f"{nobody}\nconfigured\ntranslated\npowerless\n"
        assert cluster.kubectl("get", "events", "-n", "default", "--field-selector", "reason=Started")
        cluster.apply(pod("stop", container("sleep 600")), "default")
        running(cluster, "default", "stop")
        cluster.kubectl("delete", "pod", "stop", "-n", "default")
    finally:
        cluster.stop()
    assert processes_of(nobodys) == []
