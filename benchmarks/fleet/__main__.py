"""A fleet of connectors on one local cluster, with runners that carry nothing: how long, how much memory, how many requests.

Run by `make bench-fleet` (or `python -m benchmarks.fleet --connectors 300 --running 30`); README.md holds the last results.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.kit.cluster import OPERATOR_USER, Audit, Kit, find_process, install, operator_pods, restart_operator
from tests.localkube.cluster import Cluster, LocalKube
from tests.localkube.plugin import default_images

IDLE, BUSY, OTHER = "fleet", "busy", "newcomer"
"""Namespaces: of those that only list their streams, of those that run later, of the one that comes meanwhile."""
PATIENCE = 3600.0
CALM_SECONDS = 10.0
"""After the first newcomer was served; what a restart would write is written by then."""


def resident_megabytes(cluster: Cluster) -> float:
    pod = operator_pods(cluster)[0]["metadata"]["name"]
    status = Path(f"/proc/{find_process(f'POD_NAME={pod}')}/status").read_text()
    return next(int(line.split()[1]) for line in status.split("\n") if line.startswith("VmRSS")) / 1024


CONNECTORS = "/apis/apperate.io/v1/connectors"
TROUBLED = 3


def count(kit: Kit, selector: str) -> int:
    """How many connectors have a state; only those are sent, so that looking costs little when few are left."""
    return len(kit.api.get(f"{CONNECTORS}?fieldSelector=status.state.status{selector}")["items"])


def versions(kit: Kit) -> dict[str, str]:
    found = [item["metadata"] for item in kit.api.get(CONNECTORS)["items"]]
    return {f"{meta['namespace']}/{meta['name']}": meta["resourceVersion"] for meta in found}


def apply_fleet(idle: Kit, busy: Kit, connectors: int, running: int, configurations: int) -> None:
    """All at once, with so many different configurations; one source hangs, one Secret is missing, one asks for what this installation does not allow."""
    items = [
        idle.connector("hangs", "ws://null?discover=hang"),
        idle.connector("lacks", configFrom=[{"secretRef": {"name": "missing"}}]),
        idle.connector("forbidden", runner={"serviceAccountName": "not-allowed"}),
        *(
            idle.connector(f"c-{number:04}", f"ws://null?config={number % configurations}")
            for number in range(connectors - running - TROUBLED)
        ),
        *(busy.connector(f"r-{number:04}") for number in range(running)),
    ]
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    idle.cluster.kubectl("apply", "--server-side", "-f", "-", input=body)


def wait_for(kit: Kit, selector: str, most: int) -> float:
    """Seconds until at most so many connectors have a state."""
    started = time.monotonic()
    while True:
        left = count(kit, selector)
        if left <= most:
            return time.monotonic() - started
        if time.monotonic() - started > PATIENCE:
            raise TimeoutError(f"{left} connectors still have status.state.status{selector}")
        time.sleep(0.5)


def requests(audit: Audit, namespace: str, connectors: int) -> dict[str, float]:
    counted = audit.count(namespace, OPERATOR_USER)
    return {what: round(number / connectors, 2) for what, number in sorted(counted.items())}


def count_discoveries(kit: Kit) -> int:
    """How many discoveries the connectors of a namespace have made."""
    found = kit.api.get(f"/apis/apperate.io/v1/namespaces/{kit.namespace}/connectors")["items"]
    made = {item["metadata"]["name"]: item["status"].get("discovery", {}).get("attempts", 0) for item in found}
    return sum(number for name, number in made.items() if name.startswith("c-"))


def measure_creation(
    idle: Kit, busy: Kit, newcomer: Kit, connectors: int, running: int, configurations: int
) -> dict[str, Any]:
    result: dict[str, Any] = {"memory idle, MB": resident_megabytes(idle.cluster)}
    audit, started = audit_of(idle), time.monotonic()
    apply_fleet(idle, busy, connectors, running, configurations)
    result["apply, s"] = time.monotonic() - started
    result["then until all have a status, s"] = wait_for(idle, "=", 0)
    asked = time.monotonic()
    newcomer.apply("new")
    newcomer.wait("new", "received", ready=True, timeout=PATIENCE)
    result["a new connector meanwhile: until its streams are known, s"] = time.monotonic() - asked
    wait_for(idle, "!=received", TROUBLED)
    result["from apply until all streams are known, s"] = time.monotonic() - started
    result["discoveries"] = count_discoveries(idle)
    result["memory with all, MB"] = resident_megabytes(idle.cluster)
    result["requests a connector with the default configuration, create to received"] = requests(audit, BUSY, running)
    result["requests a connector, create to received"] = requests(audit, IDLE, connectors - running)
    return result


def change(kit: Kit, names: list[str], **spec: Any) -> float:
    """Seconds until all of them are as asked, each patched at once."""
    started = time.monotonic()
    for name in names:
        kit.api.merge(f"/apis/apperate.io/v1/namespaces/{kit.namespace}/connectors/{name}", {"spec": spec})
    for name in names:
        kit.wait(name, spec["status"], ready=True, timeout=PATIENCE)
    return time.monotonic() - started


def measure_running(busy: Kit, running: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    names = [f"r-{number:04}" for number in range(running)]
    for verb, status in (("start", "running"), ("stop", "stopped")):
        audit, what = audit_of(busy), {"selectedStream": "ticker", "status": status}
        result[f"{verb} of one alone, s"] = change(busy, names[:1], **what)
        result[f"{verb} of {running - 1} at once, s"] = change(busy, names[1:], **what)
        result[f"requests a {verb}"] = requests(audit, BUSY, running)
    change(busy, names, status="running")
    result[f"memory with {running} running, MB"] = resident_megabytes(busy.cluster)
    return result


def measure_restart(idle: Kit, newcomer: Kit) -> dict[str, Any]:
    before, audit, asked = versions(idle), audit_of(idle), time.monotonic()
    restart_operator(idle.cluster)
    newcomer.patch("new", selectedStream="ticker")
    newcomer.wait("new", "received", timeout=PATIENCE)  # there is no Dataset
    result: dict[str, Any] = {"restart until the newcomer is served, s": time.monotonic() - asked}
    time.sleep(CALM_SECONDS)
    retried = ("new", "hangs", "lacks")
    changed = {name for name, version in versions(idle).items() if before[name] != version}
    result["connectors written by a restart"] = sorted(n for n in changed if n.partition("/")[2] not in retried)
    writes = [what for namespace in (IDLE, BUSY) for what in audit.writes(namespace)]
    result["writes by a restart"] = [w for w in writes if not w.split()[-1].startswith(retried)]
    result["requests by a restart"] = {space: requests(audit, space, 1) for space in (IDLE, BUSY, OTHER)}
    result["memory after the restart, MB"] = resident_megabytes(idle.cluster)
    return result


def audit_of(kit: Kit) -> Audit:
    assert isinstance(kit.cluster, LocalKube)
    return Audit(kit.cluster)


def measure(cluster: LocalKube, connectors: int, running: int, configurations: int) -> dict[str, Any]:
    install(cluster)
    for namespace in (IDLE, BUSY, OTHER):
        cluster.kubectl("create", "namespace", namespace)
    idle, busy, newcomer = (Kit(cluster, namespace) for namespace in (IDLE, BUSY, OTHER))
    for kit in (idle, busy):
        kit.dataset()
    result: dict[str, Any] = {"connectors": connectors, "configurations": configurations}
    result |= measure_creation(idle, busy, newcomer, connectors, running, configurations)
    result |= measure_running(busy, running)
    return result | measure_restart(idle, newcomer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connectors", type=int, default=1000)
    parser.add_argument("--running", type=int, default=50, help="how many of them are started")
    parser.add_argument(
        "--configurations", type=int, default=10, help="how many different ones those have that only list their streams"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        cluster = LocalKube.start(Path(folder), default_images(), audit=True)
        try:
            result = measure(cluster, options.connectors, options.running, options.configurations)
        finally:
            cluster.stop()
    print(json.dumps({what: round(v, 1) if isinstance(v, float) else v for what, v in result.items()}, indent=2))


if __name__ == "__main__":
    main()
