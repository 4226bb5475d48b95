"""What it costs that the operator reads the progress of running connectors: requests, its CPU time and memory, on and off in turn.

Run by `python -m benchmarks.fleet.progress --running 200`; README.md holds the last results. Each runner carries nothing and writes one line a minute that
differs from the one before, so each read is followed by a status write: the dearest case.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.fleet.__main__ import PATIENCE, audit_of, resident_megabytes
from tests.kit.cluster import OPERATOR_NAMESPACE, Kit, find_process, install, operator_pods, wait_operator
from tests.localkube.cluster import LocalKube, eventually
from tests.localkube.plugin import default_images

NAMESPACE = "running"
INTERVAL = 60
"""Seconds, as by default."""


def processor_seconds(cluster: LocalKube) -> float:
    """What the operator's process has used so far."""
    pod = operator_pods(cluster)[0]["metadata"]["name"]
    fields = Path(f"/proc/{find_process(f'POD_NAME={pod}')}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def set_interval(kit: Kit, seconds: int) -> None:
    """Replaces the operator by one that reads progress so often; its Lease is as long as by default."""
    variables = {"PROGRESS_SECONDS": seconds, "LEASE_DURATION": 15}
    given = [f"CONNECTOR_OPERATOR_{name}={value}" for name, value in variables.items()]
    kit.cluster.kubectl("set", "env", "-n", OPERATOR_NAMESPACE, "deployment/connector-operator", *given)
    wait_operator(kit.cluster)
    eventually(lambda: len(operator_pods(kit.cluster)) == 1, timeout=PATIENCE, what="only the new operator")


def start(kit: Kit, running: int) -> None:
    url = f"ws://null?tell={INTERVAL}"
    items = [
        kit.connector(f"r-{number:04}", url, selectedStream="ticker", status="running") for number in range(running)
    ]
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    kit.cluster.kubectl("apply", "--server-side", "-f", "-", input=body)
    for number in range(running):
        kit.wait(f"r-{number:04}", "running", ready=True, timeout=PATIENCE)


def count_told(kit: Kit) -> int:
    """How many connectors show progress."""
    found = kit.api.get(f"/apis/apperate.io/v1/namespaces/{NAMESPACE}/connectors")["items"]
    return sum(1 for item in found if item["status"].get("progress", {}).get("rows", 0) > 0)


def sample(kit: Kit, seconds: float) -> dict[str, Any]:
    """What the operator does while nothing else happens, a minute."""
    assert isinstance(kit.cluster, LocalKube)
    audit, began, used = audit_of(kit), time.monotonic(), processor_seconds(kit.cluster)
    time.sleep(seconds)
    minutes = (time.monotonic() - began) / 60
    requests = {what: round(number / minutes, 1) for what, number in sorted(audit.count(NAMESPACE).items())}
    return {
        "requests a minute": requests,
        "operator's CPU time a minute, s": round((processor_seconds(kit.cluster) - used) / minutes, 2),
        "operator's memory, MB": round(resident_megabytes(kit.cluster), 1),
    }


def measure(cluster: LocalKube, running: int, minutes: float) -> dict[str, Any]:
    install(cluster)
    cluster.kubectl("create", "namespace", NAMESPACE)
    kit = Kit(cluster, NAMESPACE)
    kit.dataset()
    start(kit, running)
    result: dict[str, Any] = {"running": running}
    set_interval(kit, 0)
    time.sleep(20)  # what a start asks for once is over
    result["off"] = sample(kit, minutes * 60)
    set_interval(kit, INTERVAL)
    eventually(lambda: count_told(kit) == running, timeout=PATIENCE, what="all show progress")
    time.sleep(20)
    result["on"] = sample(kit, minutes * 60)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--running", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=2.0, help="of each sample")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        cluster = LocalKube.start(Path(folder), default_images(), audit=True)
        try:
            result = measure(cluster, options.running, options.minutes)
        finally:
            cluster.stop()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
