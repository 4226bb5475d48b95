"""`python -m benchmarks.api`: reads a second and their 99th percentile through the HTTP API, beside the API server itself and kubectl.

A cluster of its own, one connector that is read again and again; the same client, token and server for the first two. They take turns in
short rounds, so that both meet the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import ssl
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import aiohttp
from kubernetes import client, config

from tests.kit.cluster import ROOT
from tests.kit.http_api import make_account, serving
from tests.localkube.cluster import LocalKube
from tests.localkube.plugin import default_images

ROUNDS = 5
SUMMARY: list[str] = []
RESOURCE = "/apis/apperate.io/v1/namespaces/default/connectors/read-me"


async def measure(url: str, token: str, authority: str, callers: int, seconds: float) -> list[float]:
    """Seconds of each read; `callers` read at a time, each as fast as it can."""
    secure = ssl.create_default_context(cafile=authority) if authority else True
    took: list[float] = []
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=secure, limit=callers), headers={"Authorization": f"Bearer {token}"}
    ) as session:
        end = time.monotonic() + seconds

        async def call() -> None:
            while (start := time.monotonic()) < end:
                async with session.get(url) as answer:
                    await answer.read()
                    if answer.status != 200:
                        raise RuntimeError(f"{url}: {answer.status}")
                took.append(time.monotonic() - start)

        await asyncio.gather(*(call() for _ in range(callers)))
    return took


class Target(NamedTuple):
    """What is read: a URL, and the file of the authority that signs its certificate ("" for plain HTTP)."""

    url: str
    authority: str


def compare(through: Target, direct: Target, token: str, callers: int, seconds: float, pid: int) -> None:
    """Prints a line for each, and what the API adds; `pid` is its process."""
    took: dict[Target, list[float]] = {through: [], direct: []}
    spent, share = 0.0, seconds / ROUNDS
    for _ in range(ROUNDS):
        for target in (through, direct):
            before = cpu_seconds(pid)
            took[target] += asyncio.run(measure(target.url, token, target.authority, callers, share))
            spent += cpu_seconds(pid) - before if target is through else 0
    tell("HTTP API", callers, seconds, took[through])
    tell("API server, the same client", callers, seconds, took[direct])
    added = statistics.median(took[through]) - statistics.median(took[direct])
    SUMMARY.append(
        f"{callers} callers: {added * 1e3:.2f} ms added at the median; {len(took[through]) / len(took[direct]):.2f} of the API server's reads; "
        f"{spent / len(took[through]) * 1e3:.2f} ms of the API's CPU a read"
    )


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_kubectl(cluster: LocalKube, seconds: float) -> list[float]:
    """Seconds of each `kubectl get --raw`, one after the other."""
    command, environment = cluster.kubectl_command("get", "--raw", RESOURCE)
    took: list[float] = []
    end = time.monotonic() + seconds
    while (start := time.monotonic()) < end:
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        took.append(time.monotonic() - start)
    return took


def tell(what: str, callers: int, seconds: float, took: list[float]) -> None:
    ordered = sorted(took)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    median = statistics.median(ordered)
    print(f"| {what} | {callers} | {len(took) / seconds:.0f} | {median * 1e3:.1f} | {p99 * 1e3:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="for each line")
    seconds: float = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        cluster = LocalKube.start(folder / "cluster", default_images())
        try:
            cluster.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
            cluster.kubectl("wait", "--for=condition=Established", "crd/connectors.apperate.io")
            token = make_account(cluster, "default", "reader")
            settings = client.Configuration()
            config.load_kube_config(str(cluster.kubeconfig), client_configuration=settings)  # type: ignore[no-untyped-call]
            server = json.loads(cluster.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
            versions = f"Python {platform.python_version()}, aiohttp {aiohttp.__version__}, Kubernetes {server}"
            print(
                f"{versions}; load before: {os.getloadavg()[0]:.1f}\n\n| reads by | callers | a second | median, ms | p99, ms |"
            )
            print("|---|---|---|---|---|")
            with serving(cluster.kubeconfig, "default", folder) as api:
                raise_if_bad(api.as_caller(token).create("read-me").status)
                through = Target(f"{api.url}/v1/connectors/connector/read-me", "")
                direct = Target(settings.host + RESOURCE, str(settings.ssl_ca_cert))
                for callers in (1, 32):
                    compare(through, direct, token, callers, seconds, api.pid)
            tell("`kubectl get --raw`", 1, seconds, measure_kubectl(cluster, seconds))
            print("", *SUMMARY, sep="\n")
        finally:
            cluster.stop()


def raise_if_bad(status: int) -> None:
    if status != 200:
        raise RuntimeError(f"the connector could not be created: {status}")


if __name__ == "__main__":
    main()
