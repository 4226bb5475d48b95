"""What the adversary may do, and how often: every act is legal for somebody with cluster rights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.e2e import policies

if TYPE_CHECKING:
    from tests.e2e.adversary import Adversary

BAD_LABEL = {"podLabels": {"a": "b c"}, "terminationGracePeriodSeconds": 5}
NOWHERE = {"nodeSelector": {"no": "node"}, "terminationGracePeriodSeconds": 5}
CONFIG = {"productId": ["BTC-USD"]}
BARE = {"metadata": {"annotations": {f"apperate.io/{what}-hash": None for what in ("spec", "dataset", "config")}}}
PLAIN = {"podLabels": None, "nodeSelector": None}
ON_JOBS = (policies.SUSPEND, policies.SUSPEND, policies.STRIP_LABELS)
ON_PODS = (policies.SIDECAR, policies.SIDECAR, policies.GATE)
Act = Callable[["Adversary", str], None]
ACTS: dict[str, tuple[int, Act]] = {
    "ask-running": (6, lambda a, c: a.patch(c, status="running")),
    "ask-stopped": (3, lambda a, c: a.patch(c, status="stopped")),
    "ask-nothing": (1, lambda a, c: a.patch(c, status=None)),
    "restart": (3, lambda a, c: a.patch(c, restartedAt=str(a.random.random()))),
    "rediscover": (2, lambda a, c: a.patch(c, rediscoverAt=str(a.random.random()))),
    "select": (2, lambda a, c: a.patch(c, selectedStream=a.random.choice(["ticker", "matches", "nonsense"]))),
    "reconfigure": (2, lambda a, c: a.patch(c, config={"productId": [a.random.choice(["A-B", "C-D"])]})),
    "bad-label": (2, lambda a, c: a.patch(c, runner=BAD_LABEL)),
    "nowhere": (2, lambda a, c: a.patch(c, runner=NOWHERE)),
    "plain-runner": (4, lambda a, c: a.patch(c, runner=PLAIN)),
    "job-suspend": (3, lambda a, c: a.edit_job(c, {"spec": {"suspend": True}})),
    "job-resume": (2, lambda a, c: a.edit_job(c, {"spec": {"suspend": False}})),
    "job-scale": (1, lambda a, c: a.edit_job(c, {"spec": {"parallelism": 0}})),
    "job-unlabel": (2, lambda a, c: a.edit_job(c, {"metadata": {"labels": {"apperate.io/connector": None}}})),
    "job-annotate": (2, lambda a, c: a.edit_job(c, {"metadata": {"annotations": {"x": str(a.random.random())}}})),
    "job-bare": (2, lambda a, c: a.edit_job(c, BARE)),
    "job-disown": (1, lambda a, c: a.edit_job(c, {"metadata": {"ownerReferences": None}})),
    "job-delete": (3, lambda a, c: a.delete_job(c, a.random.choice(["background", "foreground"]))),
    "job-orphan": (1, lambda a, c: a.delete_job(c, "orphan")),
    "pod-delete": (3, lambda a, c: a.delete_pod(c)),
    "pod-evict": (3, lambda a, c: a.evict(c)),
    "pod-kill": (3, lambda a, c: a.kill(c)),
    "pod-label": (1, lambda a, c: a.mark(c)),
    "delete": (2, lambda a, c: a.delete(c, a.random.choice(["background", "foreground"]))),
    "delete-orphan": (1, lambda a, c: a.delete(c, "orphan")),
    "create-again": (5, lambda a, c: a.again(c)),
    "status-remember": (4, lambda a, c: a.remember(c)),
    "status-restore": (3, lambda a, c: a.restore(c)),
    "status-absurd": (1, lambda a, c: a.exaggerate(c)),
    "status-wipe": (2, lambda a, c: a.wipe(c)),
    "quota": (3, lambda a, c: a.quota(c)),
    "suspend-policy": (
        2,
        lambda a, c: a.toggle("suspend", lambda: policies.mutate(a.kit, "jobs", a.random.choice(ON_JOBS), waits=False)),
    ),
    "refuse-jobs": (
        2,
        lambda a, c: a.toggle("jobs", lambda: policies.refuse(a.kit, "jobs", "no Jobs today", waits=False)),
    ),
    "refuse-pods": (
        1,
        lambda a, c: a.toggle("pods", lambda: policies.refuse(a.kit, "pods", "no pods today", waits=False)),
    ),
    "mesh": (
        2,
        lambda a, c: a.toggle("mesh", lambda: policies.mutate(a.kit, "pods", a.random.choice(ON_PODS), waits=False)),
    ),
    "secret": (3, lambda a, c: a.rotate(c)),
    "dataset": (3, lambda a, c: a.move(c)),
    "cordon": (2, lambda a, c: a.cordon(c)),
    "component": (1, lambda a, c: a.crash(c)),
    "operator": (2, lambda a, c: a.kill_operator(c)),
    "lease": (1, lambda a, c: a.drop_lease(c)),
    "events": (1, lambda a, c: a.drop_events(c)),
}
"""Weight and act, by name."""
