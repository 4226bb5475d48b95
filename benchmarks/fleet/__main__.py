"""A fleet of connectors on one local cluster, with runners that carry nothing: how long, how much memory, how many requests.

Run by `make bench-fleet` (or `python -m benchmarks.fleet --connectors 300`); README.md holds the last results.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.e2e.kit import OPERATOR_USER, Audit, Kit, find_process, install, operator_pods, restart_operator
from tests.localkube.cluster import LocalKube, eventually
from tests.localkube.plugin import default_images

NAMESPACE, OTHER = "fleet", "newcomer"
PATIENCE = 3600.0


def resident_megabytes(cluster: LocalKube) -> float:
    pod = operator_pods(cluster)[0]["metadata"]["name"]
    status = Path(f"/proc/{find_process(f'POD_NAME={pod}')}/status").read_text()
    return next(int(line.split()[1]) for line in status.split("\n") if line.startswith("VmRSS")) / 1024


def states(kit: Kit) -> list[str]:
    found = kit.api.get(f"/apis/apperate.io/v1/namespaces/{NAMESPACE}/connectors")["items"]
    return [item.get("status", {}).get("state", {}).get("status", "") for item in found]


def versions(kit: Kit) -> dict[str, str]:
    found = kit.api.get(f"/apis/apperate.io/v1/namespaces/{NAMESPACE}/connectors")["items"]
    return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in found}


def apply_fleet(kit: Kit, count: int) -> None:
    """All at once; one hangs, one lacks its Secret, one has a status that is garbage."""
    items = [kit.connector(f"c-{number:04}") for number in range(count)]
    items[0] = kit.connector("c-0000", "ws://null?discover=hang")
    items[1] = kit.connector("c-0001", configFrom=[{"secretRef": {"name": "missing"}}])
    kit.kubectl(
        "apply", "--server-side", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    )


def wait_for(kit: Kit, wanted: set[str], count: int) -> float:
    started = time.monotonic()
    eventually(lambda: sum(s in wanted for s in states(kit)) >= count, timeout=PATIENCE, what=f"{count} {wanted}")
    return time.monotonic() - started


def requests(audit: Audit, count: int) -> dict[str, float]:
    counted = audit.count(NAMESPACE, OPERATOR_USER)
    return {what: round(number / count, 2) for what, number in sorted(counted.items())}


def measure(cluster: LocalKube, count: int) -> dict[str, Any]:
    install(cluster)
    for namespace in (NAMESPACE, OTHER):
        cluster.kubectl("create", "namespace", namespace)
    fleet, newcomer = Kit(cluster, NAMESPACE), Kit(cluster, OTHER)
    result: dict[str, Any] = {"connectors": count, "memory idle, MB": resident_megabytes(cluster)}
    audit, started = Audit(cluster), time.monotonic()
    apply_fleet(fleet, count)
    result["apply, s"] = time.monotonic() - started
    result["then until all have a status, s"] = wait_for(fleet, {"pending", "received"}, count)
    asked = time.monotonic()
    newcomer.apply("new")
    newcomer.wait("new", "received", ready=True, timeout=PATIENCE)
    result["a new connector meanwhile: until its streams are known, s"] = time.monotonic() - asked
    wait_for(fleet, {"received"}, count - 2)
    result["from apply until all streams are known, s"] = time.monotonic() - started
    result["memory with all, MB"] = resident_megabytes(cluster)
    result["requests a connector"] = requests(audit, count)
    before, audit = versions(fleet), Audit(cluster)
    asked = time.monotonic()
    restart_operator(cluster)
    newcomer.patch("new", selectedStream="ticker")
    newcomer.wait("new", "received", timeout=PATIENCE)  # there is no Dataset
    result["restart until the newcomer is served, s"] = time.monotonic() - asked
    time.sleep(5)
    changed = [name for name, version in versions(fleet).items() if before[name] != version]
    result["connectors written by a restart (of those not being retried)"] = len(set(changed) - {"c-0000", "c-0001"})
    result["memory after the restart, MB"] = resident_megabytes(cluster)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connectors", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        cluster = LocalKube.start(Path(folder), default_images(), audit=True)
        try:
            result = measure(cluster, options.connectors)
        finally:
            cluster.stop()
    print(json.dumps(result, indent=2, default=lambda number: round(number, 2)))


if __name__ == "__main__":
    main()
