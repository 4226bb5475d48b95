"""An adversary with cluster rights: random legal things to every object of a namespace, drawn from a seed; and what must hold.

The draws of a seed are always the same; what they meet depends on the cluster's pace, as with people.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from random import Random
from typing import Any, NamedTuple

import urllib3

from tests.e2e.acts import ACTS, CONFIG, PLAIN
from tests.e2e.gambits import GAMBITS
from tests.kit.cluster import OPERATOR_NAMESPACE, Kit, find_process
from tests.localkube.cluster import KubectlError, LocalKube, eventually

NAMES = ("c0", "c1", "c2", "c3")
TWICE = "c3"
"""Its source lists a stream twice, as some do."""
FOREIGN = ("foreign-job", "foreign-over", "foreign-pod", "foreign-map")
URL = "ws://null?lock=/data&term=3"
"""Runners take as long to end as real ones may, so that two can overlap."""
PULL = 1.0
"""Seconds between two acts."""


class Act(NamedTuple):
    """What was done, to which connector, from when to when by the monotonic clock; also if it met nothing."""

    name: str
    target: str
    begun: float
    ended: float


class Adversary:
    """One run of a seed in one namespace; `log` has every act, `drawn` how often each was drawn, `done` how often its object existed."""

    kit: Kit
    random: Random

    def __init__(self, kit: Kit, cluster: LocalKube, seed: int) -> None:
        self.kit = kit
        self.cluster = cluster
        self.random = Random(seed)
        self.log: list[str] = []
        self.drawn: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.acts: list[Act] = []
        self._obstacles: dict[str, ExitStack] = {}
        self._statuses: list[tuple[str, Any]] = []
        self._begun = time.monotonic()

    # What it is done to.

    def set_up(self) -> None:
        """A claim, Datasets, a Secret, connectors that run, and objects of other people."""
        kit = self.kit
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
        self._apply("v1", "PersistentVolumeClaim", "rows", spec=claim)
        kit.kubectl("create", "secret", "generic", "key", "--from-literal=key=k")
        self._dataset()
        label = {"apperate.io/connector": "c0", "apperate.io/role": "runner"}
        pod = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "x", "image": "sh:test", "args": ["exec sleep 3600"]}],
        }
        template = {"metadata": {"labels": label}, "spec": pod}
        self._apply("batch/v1", "Job", "foreign-job", labels=label, spec={"template": template, "backoffLimit": 0})
        soon = {**pod, "containers": [{"name": "x", "image": "sh:test", "args": ["exec sleep 3"]}]}
        over = {"template": {**template, "spec": soon}, "backoffLimit": 0}
        self._apply("batch/v1", "Job", "foreign-over", labels=label, spec=over)
        self._apply("v1", "Pod", "foreign-pod", labels={"app": "x"}, spec=pod)
        self._apply("v1", "ConfigMap", "foreign-map", labels=label)
        for name in NAMES:
            self._connector(name)

    def _apply(self, version: str, kind: str, name: str, labels: dict[str, str] | None = None, **rest: Any) -> None:
        meta = {"name": name, "namespace": self.kit.namespace, "labels": labels or {}}
        self.kit.kubectl(
            "apply", "-f", "-", input=json.dumps({"apiVersion": version, "kind": kind, "metadata": meta, **rest})
        )

    def _dataset(self) -> None:
        self.kit.dataset("rows", url="sqlite:///rows.db", volumeClaim="rows")

    def _connector(self, name: str) -> None:
        spec = {"selectedStream": "ticker", "status": "running", "configFrom": [{"secretRef": {"name": "key"}}]}
        url = f"{URL}&twice=ticker" if name == TWICE else URL
        self.kit.apply(name, url, **spec, runner={"terminationGracePeriodSeconds": 5})

    # What it does.

    def act(self) -> None:
        """Draws one act and one target, and does it; a missing object is not a failure."""
        (name,) = self.random.choices(list(ACTS), weights=[weight for weight, _ in ACTS.values()])
        target = self.random.choice(NAMES)
        self.drawn[name] += 1
        told, begun = "done", time.monotonic()
        try:
            ACTS[name][1](self, target)
            self.done[name] += 1
        except (KubectlError, LookupError, OSError, RuntimeError, urllib3.exceptions.HTTPError) as error:
            told = f"met nothing: {str(error)[:120]}"
        self.acts.append(Act(name, target, begun, time.monotonic()))
        self.log.append(f"{time.monotonic() - self._begun:6.1f} {name} {target}: {told}")

    def play(self, name: str) -> None:
        """Plays a gambit with a connector that is drawn for it.

        Raises:
            AssertionError: What must hold does not.
        """
        target = self.random.choice(NAMES)
        self.drawn[f"gambit {name}"] += 1
        self.log.append(f"{time.monotonic() - self._begun:6.1f} plays {name} with {target}")
        GAMBITS[name](self, target)
        self.done[f"gambit {name}"] += 1

    def stop(self, *, heals: bool) -> None:
        """Ends; `heals`: takes its obstacles (quotas, policies, cordons, missing Secrets and Datasets) away, too."""
        self._surely("--namespace=default", "uncordon", "localhost")
        if heals:
            for name in list(self._obstacles):
                with contextlib.suppress(KubectlError):  # what is left is taken away below
                    self._obstacles.pop(name).close()
            for resource in ("jobs", "pods"):
                for kind, verb in (("validating", "refuse"), ("mutating", "mutate")):
                    kinds = f"{kind}admissionpolicybinding,{kind}admissionpolicy"
                    self._surely("delete", kinds, f"{verb}-{resource}-{self.kit.namespace}", "--ignore-not-found")
            self._surely("delete", "resourcequota", "--all")
            self._secret("key", "k")
            self._dataset()

    def mend(self, name: str) -> bool:
        """What a person does who wants a connector to run and reads what it says: a good spec, and orphaned pods ended.

        Returns:
            True, as a failure raises.
        """
        self._connector(name)
        now = str(time.time())
        self.patch(
            name,
            status="running",
            selectedStream="ticker",
            runner=PLAIN,
            restartedAt=now,
            rediscoverAt=now,
            config=CONFIG,
        )
        for pod in self.kit.pods(name, ""):
            meta = pod["metadata"]
            if not meta.get("ownerReferences") and not meta["name"].startswith("foreign"):
                self._surely("delete", "pod", meta["name"], "--wait=false", "--ignore-not-found")
        return True

    def _surely(self, *arguments: str) -> None:
        """A command that must succeed, whichever component is on its way back."""
        eventually(lambda: bool(self.kit.kubectl(*arguments) or True), what=" ".join(arguments))

    def close(self) -> None:
        """Leaves the cluster as it was."""
        self.stop(heals=True)

    def patch(self, name: str, **spec: Any) -> None:
        path = f"/apis/apperate.io/v1/namespaces/{self.kit.namespace}/connectors/{name}"
        self.kit.api.merge(path, {"spec": spec})

    def _job(self, name: str) -> str:
        jobs = sorted(j["metadata"]["name"] for j in self.kit.jobs(name, "") if j["metadata"]["name"] not in FOREIGN)
        if not jobs:
            raise LookupError(f"{name} has no Job")
        return str(self.random.choice(jobs))

    def _pod(self, name: str) -> str:
        pods = sorted(
            p["metadata"]["name"] for p in self.kit.pods(name, "") if not p["metadata"]["name"].startswith("foreign")
        )
        if not pods:
            raise LookupError(f"{name} has no pod")
        return str(self.random.choice(pods))

    def edit_job(self, name: str, body: dict[str, Any]) -> None:
        self.kit.api.merge(f"/apis/batch/v1/namespaces/{self.kit.namespace}/jobs/{self._job(name)}", body)

    def delete_job(self, name: str, cascade: str) -> None:
        self.kit.kubectl("delete", "job", self._job(name), f"--cascade={cascade}", "--wait=false")

    def delete_pod(self, name: str) -> None:
        self.kit.kubectl("delete", "pod", self._pod(name), "--wait=false")

    def evict(self, name: str) -> None:
        pod = self._pod(name)
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        path = f"/api/v1/namespaces/{self.kit.namespace}/pods/{pod}/eviction"
        self.kit.kubectl("create", "--raw", path, "-f", "-", input=json.dumps(body))

    def kill(self, name: str) -> None:
        os.kill(find_process(f"POD_IP={self.live_pod(name)['status']['podIP']}"), signal.SIGKILL)

    def live_pod(self, name: str) -> dict[str, Any]:
        """The one that runs and belongs to this connector.

        Raises:
            LookupError: There is none, or more than one.
        """
        pods = [p for p in self.kit.pods(name) if p["status"].get("phase") == "Running"]
        mine = [p for p in pods if not p["metadata"]["name"].startswith("foreign")]
        if len(mine) != 1:
            raise LookupError(f"{name} has {len(mine)} running pods")
        return mine[0]

    def mark(self, name: str) -> None:
        self.kit.kubectl("label", "pod", self._pod(name), f"other={self.random.randrange(9)}", "--overwrite")

    def delete(self, name: str, cascade: str) -> None:
        self.kit.kubectl("delete", "connector", name, f"--cascade={cascade}", "--wait=false")

    def again(self, name: str) -> None:
        self._connector(name)

    def remember(self, name: str) -> None:
        self._statuses.append((name, self.kit.status(name)))

    def restore(self, name: str) -> None:
        told = [status for of, status in self._statuses if of == name]
        if not told:
            raise LookupError(f"no status of {name} is remembered")
        self._write_status(name, self.random.choice(told))

    def exaggerate(self, name: str) -> None:
        self._write_status(name, {**self.kit.status(name), "run": 2**63 - 1})

    def wipe(self, name: str) -> None:
        self._write_status(name, {"observedGeneration": -1})

    def _write_status(self, name: str, status: Any) -> None:
        body = {**self.kit.get(name), "status": status}
        path = f"/apis/apperate.io/v1/namespaces/{self.kit.namespace}/connectors/{name}/status"
        self.kit.kubectl("replace", "--raw", path, "-f", "-", input=json.dumps(body))

    def toggle(self, obstacle: str, raising: Callable[[], Any]) -> None:
        """Puts an obstacle there, or takes it away."""
        if obstacle in self._obstacles:
            self._obstacles.pop(obstacle).close()
            return
        stack = ExitStack()
        stack.enter_context(raising())
        self._obstacles[obstacle] = stack

    def quota(self, _: str) -> None:
        if self.random.random() < 0.5:
            self.kit.kubectl("delete", "resourcequota", "--all")
        else:
            hard = self.random.choice(["pods=0", "pods=3", "count/jobs.batch=1", "count/jobs.batch=6"])
            self.kit.kubectl("delete", "resourcequota", "--all")
            self.kit.kubectl("create", "quota", "q", f"--hard={hard}")

    def _secret(self, name: str, value: str) -> None:
        self._apply("v1", "Secret", name, stringData={"key": value})

    def rotate(self, _: str) -> None:
        if self.random.random() < 0.4:
            self.kit.kubectl("delete", "secret", "key")
        else:
            self._secret("key", f"k{self.random.randrange(9)}")

    def move(self, _: str) -> None:
        kind = self.random.randrange(3)
        if kind == 0:
            self.kit.kubectl("delete", "dataset", "rows")
        elif kind == 1:
            self._dataset()
        else:
            self.kit.dataset("rows", url=f"sqlite:///rows{self.random.randrange(3)}.db", volumeClaim="rows")

    def cordon(self, _: str) -> None:
        self.kit.cluster.kubectl("cordon" if self.random.random() < 0.5 else "uncordon", "localhost")

    def crash(self, _: str) -> None:
        part = self.random.choice(["kubelet", "kube-scheduler", "kube-controller-manager", "kube-apiserver"])
        self.cluster.component(part).crash()

    def kill_operator(self, _: str) -> None:
        how = self.random.choice([["--wait=false"], ["--force", "--grace-period=0", "--wait=false"]])
        self.kit.cluster.kubectl("-n", OPERATOR_NAMESPACE, "delete", "pods", "--all", *how)

    def drop_lease(self, _: str) -> None:
        self.kit.cluster.kubectl("-n", OPERATOR_NAMESPACE, "delete", "lease", "connector-operator")

    def drop_events(self, _: str) -> None:
        self.kit.kubectl("delete", "events", "--all")
