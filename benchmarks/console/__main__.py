"""`python -m benchmarks.console`: a fleet of 5,000 connectors with 100 streams each in a real Chromium; no operator is needed for it."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes import client, config

from tests.kit.cluster import ROOT
from tests.kit.console_fleet import build_fleet
from tests.kit.http_api import CONNECTORS, make_account, resident_mebibytes, serving
from tests.localkube.cluster import LocalKube
from tests.localkube.plugin import default_images
from tests.servers.chromium import build_environment

NAMESPACE = "market-data"
LIMITS = {"first, ms": 1500, "renderer, MiB": 150}
AT_ONCE = 24


def build_many(count: int, streams: int) -> Iterator[dict[str, Any]]:
    """The fleet, each connector with so many streams in its status, as the operator lists them."""
    listed = [
        {"id": f"shop.table_{number:04d}", "key": ["id"], "modes": ["append", "upsert"], "columns": 12}
        for number in range(streams)
    ]
    for one in build_fleet(count, datetime.now(UTC)):
        if "status" in one:
            one["status"] |= {"streams": listed, "streamsTotal": streams}
        yield one


async def create(cluster: LocalKube, fleet: list[dict[str, Any]]) -> None:
    """Writes specs and statuses, many at once."""
    settings = client.Configuration()
    config.load_kube_config(str(cluster.kubeconfig), client_configuration=settings)  # type: ignore[no-untyped-call]
    secure = ssl.create_default_context(cafile=str(settings.ssl_ca_cert))
    secure.load_cert_chain(str(settings.cert_file), str(settings.key_file))
    path = f"{settings.host}/apis/apperate.io/v1/namespaces/{NAMESPACE}/connectors"
    room = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=secure, limit=AT_ONCE)) as session:

        async def write(one: dict[str, Any]) -> None:
            async with room:
                async with session.post(path, json={key: one[key] for key in one if key != "status"}) as answer:
                    made = await answer.json()
                    answer.raise_for_status()
                if "status" in one:
                    body = {**made, "status": one["status"]}
                    async with session.put(f"{path}/{one['metadata']['name']}/status", json=body) as answer:
                        answer.raise_for_status()

        await asyncio.gather(*map(write, fleet))


@contextmanager
def large_cluster(folder: Path, count: int, streams: int) -> Iterator[LocalKube]:
    """A cluster without an operator that has the fleet."""
    cluster = LocalKube.start(folder / "cluster", default_images(), parent=os.getpid())
    try:
        cluster.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
        cluster.kubectl("wait", "--for=condition=Established", "crd/connectors.apperate.io", "--timeout=60s")
        cluster.kubectl("create", "namespace", NAMESPACE)
        begin = time.monotonic()
        asyncio.run(create(cluster, list(build_many(count, streams))))
        print(
            f"{count} connectors written in {time.monotonic() - begin:.0f} s; load {os.getloadavg()[0]:.1f}", flush=True
        )
        yield cluster
    finally:
        cluster.stop()


def measure(api: str, token: str, count: int) -> dict[str, Any]:
    """What the script in the browser has measured."""
    script = Path(__file__).with_name("scale.mjs")
    environment = {**build_environment(), "API": api, "TOKEN": token, "COUNT": str(count)}
    done = subprocess.run(["node", str(script)], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def show(found: dict[str, Any], count: int, api_mebibytes: int) -> bool:
    """Prints the figures as a table; returns whether they are within the limits."""
    frames = found["frames"]
    figures = {
        "first rows after sign-in, ms": f"{found['first']:.0f}",
        f"all {count:,} rows, ms": f"{found['whole']:.0f}",
        "requests: pages, watches": f"{found['pages']}, {found['watches']}",
        "bytes of all pages, MB": f"{found['bytes'] / 1e6:.1f}",
        "JavaScript heap, MiB: empty page, whole fleet": f"{found['empty']['heap']:.1f}, {found['full']['heap']:.1f}",
        "renderer process, MiB: empty page, whole fleet": f"{found['empty']['renderer']:.0f}, {found['full']['renderer']:.0f}",
        "API process at its peak, MiB": str(api_mebibytes),
        "search, ms": f"{found['searched']:.0f}",
        "frames at rest, ms: median, p99": ", ".join(f"{value:.0f}" for value in frames["still"]),
        "frames while scrolling, ms: median, p95, p99": ", ".join(f"{value:.0f}" for value in frames["moving"]),
    }
    print("\n| measure | |\n|---|---|")
    for name, value in figures.items():
        print(f"| {name} | {value} |")
    measured = {"first, ms": found["first"], "renderer, MiB": found["full"]["renderer"]}
    over = {name: value for name, value in measured.items() if value > LIMITS[name]}
    print(f"\nover the limit: {over}" if over else "\nwithin the limits")
    return not over and found["watches"] == 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--connectors", type=int, default=5000)
    parser.add_argument("--streams", type=int, default=100, help="of each connector")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with (
            large_cluster(folder, asked.connectors, asked.streams) as cluster,
            serving(cluster.kubeconfig, NAMESPACE, folder, "--cluster-timeout", "120") as api,
        ):
            found = measure(api.url, make_account(cluster, NAMESPACE, "you", [CONNECTORS]), asked.connectors)
            return 0 if show(found, asked.connectors, resident_mebibytes(api.pid)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
