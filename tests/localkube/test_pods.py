"""What a pod sees, how it ends, and what its status says: the semantics of Kubernetes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.localkube.cluster import Cluster, LocalKube, eventually
from tests.localkube.workloads import (
    PYTHON,
    container,
    events,
    is_gone,
    output,
    phase,
    pod,
    run_json,
    running,
    state,
    terminated,
)

WHAT_I_SEE = """
import json, os, sys
print(json.dumps({"env": dict(os.environ), "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
                  "cwd": os.getcwd(), "argv": sys.argv[1:], "umask": os.umask(0), "session": os.getsid(0) == os.getpid()}))
"""


def test_container_has_only_its_own_environment(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOT_FOR_CONTAINERS", "1")
    field = {"fieldRef": {"fieldPath": "status.podIP"}}
    main = container(
        WHAT_I_SEE, image=PYTHON, env=[{"name": "MINE", "value": "$(POD_IP)/x"}, {"name": "POD_IP", "valueFrom": field}]
    )
    main["args"] += ["$(POD_IP)"]
    main["env"].reverse()
    seen = run_json(cluster, namespace, "env", pod("env", main))

    allowed = {"PATH", "HOME", "HOSTNAME", "PYTHONUNBUFFERED", "MINE", "POD_IP", "LC_CTYPE"}
    assert {name for name in seen["env"] if not name.startswith("KUBERNETES_")} <= allowed
    assert seen["env"]["HOSTNAME"] == "env"
    assert seen["env"]["POD_IP"] == seen["argv"][0]
    assert seen["env"]["MINE"] == seen["env"]["POD_IP"] + "/x"
    assert seen["env"]["POD_IP"].startswith("127.")
    assert seen["umask"] == 0o22
    assert seen["session"]


def test_command_replaces_the_prefix_and_args_follow_it(cluster: Cluster, namespace: str) -> None:
    main = container("", image=PYTHON, command=["/bin/echo", "from", "command"])
    main["args"] = ["and", "args"]
    cluster.apply(pod("command", main), namespace)
    terminated(cluster, namespace, "command")
    assert output(cluster, namespace, "command") == "from command and args\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run containers as somebody else")
def test_root_honours_users_and_groups(localkube: LocalKube, namespace: str) -> None:
    security = {"runAsUser": 4321, "runAsGroup": 8765, "runAsNonRoot": True, "fsGroup": 777, "supplementalGroups": [55]}
    seen = run_json(
        localkube, namespace, "user", pod("user", container(WHAT_I_SEE, image=PYTHON), securityContext=security)
    )
    assert (seen["uid"], seen["gid"]) == (4321, 8765)
    assert {777, 55} <= set(seen["groups"])


def test_root_image_is_refused_when_it_must_not_be_root(localkube: LocalKube, namespace: str) -> None:
    localkube.map_images({"rooted:test": {"command": ["/bin/true"], "user": 0}})
    manifest = pod("root", container("", image="rooted:test"), securityContext={"runAsNonRoot": True})
    localkube.apply(manifest, namespace)
    if os.geteuid() == 0:
        waiting = eventually(lambda: state(localkube, namespace, "root").get("state", {}).get("waiting"))
        eventually(
            lambda: "CreateContainerConfigError" in str(state(localkube, namespace, "root")), what=f"refused: {waiting}"
        )
    else:
        assert terminated(localkube, namespace, "root")["exitCode"] == 0


def test_unmapped_image_fails_as_one_that_cannot_be_pulled(cluster: Cluster, namespace: str) -> None:
    cluster.apply(pod("unmapped", container("", image="nobody/knows:1")), namespace)

    def reason() -> Any:
        return state(cluster, namespace, "unmapped").get("state", {}).get("waiting", {}).get("reason")

    eventually(lambda: reason() in {"ErrImagePull", "ImagePullBackOff"})
    eventually(lambda: reason() == "ImagePullBackOff")
    described = cluster.kubectl("describe", "pod", "unmapped", "-n", namespace)
    assert "connector-runner:dev" in described, "the error names what is mapped"


def test_image_that_is_mapped_later_starts(localkube: LocalKube, namespace: str) -> None:
    localkube.apply(pod("later", container("echo here", image="later:test")), namespace)
    eventually(lambda: "Failed" in events(localkube, namespace, "later"))
    localkube.map_images({"later:test": {"command": ["/bin/sh", "-c"]}})
    assert terminated(localkube, namespace, "later")["exitCode"] == 0


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        ("exit 0", 0, "Completed"),
        ("exit 78", 78, "Error"),
        ("kill -KILL $$$$", 137, "Error"),
        ("kill -TERM $$$$", 143, "Error"),
    ],
)
def test_exit_codes(cluster: Cluster, namespace: str, script: str, code: int, reason: str) -> None:
    cluster.apply(pod("exit", container(script)), namespace)
    ended = terminated(cluster, namespace, "exit")
    assert (ended["exitCode"], ended["reason"]) == (code, reason)
    eventually(lambda: phase(cluster, namespace, "exit") == ("Failed" if code else "Succeeded"))


def test_missing_command_is_a_start_error(cluster: Cluster, namespace: str) -> None:
    cluster.apply(pod("missing", container("", command=["/no/such/program"])), namespace)
    ended = terminated(cluster, namespace, "missing")
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert "/no/such/program" in ended["message"]


def test_termination_messages(cluster: Cluster, namespace: str) -> None:
    written = container("echo from the file > /dev/termination-log; echo in the log; exit 1")
    logged = container("echo in the log; exit 1", terminationMessagePolicy="FallbackToLogsOnError")
    path = container("printf elsewhere > /run/why/message", terminationMessagePath="/run/why/message")
    for name, main in {"written": written, "logged": logged, "path": path}.items():
        cluster.apply(pod(name, main), namespace)
    assert terminated(cluster, namespace, "written")["message"] == "from the file\n"
    assert terminated(cluster, namespace, "logged")["message"] == "in the log\n"
    assert terminated(cluster, namespace, "path")["message"] == "elsewhere"


def test_logs_are_followed_and_kept_apart_by_line(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = (
        f"echo first; echo wrong >&2; while [ ! -e {gate} ]; do sleep 0.05; done; printf %020000d 7; echo; printf last"
    )
    cluster.apply(pod("logs", container(script)), namespace)
    running(cluster, namespace, "logs")
    command, environment = cluster.kubectl_command("logs", "-f", "logs", "-n", namespace)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert {follower.stdout.readline(), follower.stdout.readline()} == {"first\n", "wrong\n"}
        gate.touch()
        rest = follower.stdout.read()
    assert rest == "7".rjust(20000, "0") + "\nlast"
    assert output(cluster, namespace, "logs", "--tail=1") == "last"
    assert output(cluster, namespace, "logs", "--limit-bytes=4") in {"firs", "wron"}


def test_restart_policies(cluster: Cluster, namespace: str) -> None:
    cluster.apply(pod("never", container("exit 1")), namespace)
    cluster.apply(pod("onfailure", container("[ -e /state/second ] || { touch /state/second; exit 1; }", volumeMounts=[{"name": "state", "mountPath": "/state"}]), restartPolicy="OnFailure", volumes=[{"name": "state", "emptyDir": {}}]), namespace)  # fmt: skip
    cluster.apply(pod("always", container("exit 0"), restartPolicy="Always"), namespace)

    assert terminated(cluster, namespace, "never")["exitCode"] == 1
    eventually(lambda: phase(cluster, namespace, "onfailure") == "Succeeded")
    assert state(cluster, namespace, "onfailure")["restartCount"] == 1
    eventually(lambda: state(cluster, namespace, "always")["restartCount"] >= 1)
    assert state(cluster, namespace, "never")["restartCount"] == 0


SERVER = """
import http.server, os, pathlib, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        good = pathlib.Path("/state" + self.path).exists()
        self.send_response(200 if good else 503); self.end_headers()
    def log_message(self, *args): pass
pathlib.Path("/state/healthz").touch()
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Handler).serve_forever()
"""


def server(name: str) -> dict[str, Any]:
    """A pod with probes, whose answers are files in a volume."""
    probe = {"periodSeconds": 1, "failureThreshold": 1}
    main = container(
        SERVER,
        image=PYTHON,
        env=[{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        volumeMounts=[{"name": "state", "mountPath": "/state"}],
        startupProbe={**probe, "failureThreshold": 60, "tcpSocket": {"port": 8080}},
        readinessProbe={**probe, "httpGet": {"path": "/readyz", "port": 8080}},
        livenessProbe={**probe, "exec": {"command": ["/bin/sh", "-c", "test -e /state/healthz"]}},
    )
    return pod(name, main, restartPolicy="Always", volumes=[{"name": "state", "emptyDir": {}}])


def test_probes_on_the_pods_own_address(localkube: LocalKube, namespace: str) -> None:
    for name in ("one", "two"):  # both listen on port 8080
        localkube.apply(server(name), namespace)
    for name in ("one", "two"):
        eventually(lambda name=name: state(localkube, namespace, name).get("started"), what=f"{name} started")
    assert not state(localkube, namespace, "one")["ready"]
    uid = localkube.get("pod", "one", "-n", namespace)["metadata"]["uid"]
    volume = localkube.directory / "node" / "kubelet" / "pods" / uid / "volumes" / "kubernetes.io~empty-dir" / "state"

    (volume / "readyz").touch()
    running(localkube, namespace, "one")
    assert not state(localkube, namespace, "two").get("ready")
    (volume / "readyz").unlink()
    eventually(lambda: not state(localkube, namespace, "one")["ready"], what="not ready any more")

    (volume / "healthz").unlink()
    eventually(lambda: state(localkube, namespace, "one")["restartCount"] == 1, what="restarted by its liveness probe")
    assert "Unhealthy" in events(localkube, namespace, "one")


def test_grace_then_the_whole_group_is_killed(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    log.chmod(0o666)
    child = "trap '' TERM; while :; do sleep 0.1; done"
    script = (
        f'(setsid sh -c "{child}") & echo $! >> {log}; sh -c "{child}" & echo $! >> {log}; '
        f"trap 'echo asked >> {log}' TERM; echo $$$$ >> {log}; while :; do sleep 0.1; done"
    )
    cluster.apply(pod("stubborn", container(script), terminationGracePeriodSeconds=5), namespace)
    running(cluster, namespace, "stubborn")
    eventually(lambda: len(log.read_text().splitlines()) == 3)
    pids = [int(line) for line in log.read_text().splitlines()]
    cluster.kubectl("delete", "pod", "stubborn", "-n", namespace)
    assert "asked" in log.read_text()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_graceful_end_is_not_cut_short(cluster: Cluster, namespace: str) -> None:
    script = "trap 'sleep 1; echo committed; exit 143' TERM; echo up; while :; do sleep 0.1; done"
    cluster.apply(pod("graceful", container(script), terminationGracePeriodSeconds=30), namespace)
    running(cluster, namespace, "graceful")
    eventually(lambda: output(cluster, namespace, "graceful") == "up\n")
    command, environment = cluster.kubectl_command("logs", "-f", "graceful", "-n", namespace)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as follower:
        cluster.kubectl("delete", "pod", "graceful", "-n", namespace)
        assert follower.stdout is not None
        assert follower.stdout.read() == "up\ncommitted\n"


def test_hooks_run_after_the_start_and_before_the_end(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    log.chmod(0o666)
    hooks = {
        when: {"exec": {"command": ["/bin/sh", "-c", f"echo {when} >> {log}"]}} for when in ("postStart", "preStop")
    }
    script = f"trap 'echo asked >> {log}; exit 0' TERM; while :; do sleep 0.05; done"
    cluster.apply(pod("hooked", container(script, lifecycle=hooks), terminationGracePeriodSeconds=30), namespace)
    running(cluster, namespace, "hooked")
    assert log.read_text() == "postStart\n"
    cluster.kubectl("delete", "pod", "hooked", "-n", namespace)
    assert log.read_text() == "postStart\npreStop\nasked\n"


def test_eviction_honours_budgets(cluster: Cluster, namespace: str) -> None:
    cluster.apply(pod("held", container("sleep 600")), namespace)
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "held"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "held"}}},
    }
    cluster.apply(budget, namespace)
    running(cluster, namespace, "held")
    path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/held"
    eventually(lambda: cluster.read(path)["status"].get("currentHealthy") == 1)
    eviction = json.dumps(
        {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "held", "namespace": namespace}}
    )
    path = f"/api/v1/namespaces/{namespace}/pods/held/eviction"
    refused = cluster.kubectl("create", "--raw", path, "-f", "-", input=eviction, check=False)
    assert "Success" not in refused
    cluster.kubectl("delete", "pdb", "held", "-n", namespace)
    cluster.kubectl("create", "--raw", path, "-f", "-", input=eviction)
    eventually(lambda: is_gone(cluster, f"/api/v1/namespaces/{namespace}/pods/held"), what="evicted")
