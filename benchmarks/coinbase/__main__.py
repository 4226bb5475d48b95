"""`make bench-coinbase`: every measurement of README.md in one run, each in a process of its own; prints a table as Markdown."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.servers.postgresql import PostgresServer
from tests.simulators.coinbase.process import Simulator

ROOT = Path(__file__).parents[2]
PEER = ROOT / ".build" / "peers" / "cryptofeed"
SQLITE = "sqlite:///TEMPORARY/bench.db"


def measure(what: str, count: int, url: str = "", rate: float = 0.0) -> dict[str, Any]:
    """One measurement against a feed of its own."""
    feed = [sys.executable, "-m", "benchmarks.coinbase.blaster", "ticker", str(count), str(rate)]
    with subprocess.Popen(feed, cwd=ROOT, stdout=subprocess.PIPE, text=True) as blaster:
        assert blaster.stdout is not None
        port = blaster.stdout.readline().strip()
        try:
            script = str(ROOT / "benchmarks" / "coinbase" / "peer.py")
            command = (
                [str(PEER / "bin" / "python"), script, port, str(count)]
                if what == "peer"
                else [sys.executable, "-m", "benchmarks.coinbase.measure", what, port, str(count), url or "x"]
            )
            output = subprocess.run(
                command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=300
            ).stdout
            return dict(json.loads(output.splitlines()[0]))
        finally:
            blaster.kill()


def install_peer() -> None:
    if not (PEER / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEER)], check=True)
    subprocess.run([PEER / "bin" / "pip", "install", "--quiet", "cryptofeed==2.4.0", "websockets==13.1"], check=True)


def resident_with_many_products(count: int, seconds: float) -> float:
    """Peak megabytes of `connector-runner run` with so many products on a busy feed."""
    import tempfile

    with Simulator(products=count, rate=500, connection_limit=0) as simulator, tempfile.TemporaryDirectory() as folder:
        dataset = {"kind": "Dataset", "metadata": {"name": "market"}, "spec": {"url": f"sqlite:///{folder}/a.db"}}
        spec = {"connectorType": "COINBASE", "datasetId": "market", "config": simulator.config("*")}
        connector = {"kind": "Connector", "metadata": {"name": "bench"}, "spec": spec | {"selectedStream": "matches"}}
        version = {"apiVersion": "apperate.io/v1"}
        manifest = Path(folder) / "manifest.yaml"
        manifest.write_text("\n---\n".join(json.dumps(version | document) for document in (dataset, connector)))
        command = [sys.executable, "-m", "connector_runner.cli", "run", "-f", str(manifest)]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as runner:
            time.sleep(seconds)
            status = Path(f"/proc/{runner.pid}/status").read_text()
            runner.terminate()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--without-peer", action="store_true")
    options = parser.parse_args()
    count: int = options.messages
    figures: dict[str, dict[str, Any]] = {}
    decoding = measure("decode", count)
    for name, what in (
        ("msgspec alone, in memory", "bare"),
        ("msgspec alone, messages kept", "kept"),
        ("typed rows, in memory", "rows"),
    ):
        figures[name] = {"seconds": decoding[what], "processor": decoding[what]}
    figures["(a) websockets, receive only"] = measure("receive", count)
    figures["(b) websockets, plus msgspec"] = measure("receive-decode", count)
    figures["the source, typed rows in batches"] = measure("source", count)
    figures["(c) end to end, null sink"] = measure("engine", count, "null")
    figures["(c) end to end, SQLite"] = measure("engine", count, SQLITE)
    figures["bare sink, SQLite"] = measure("bare-sink", count, SQLITE)
    with PostgresServer() as server:
        server.execute("CREATE DATABASE pipeline", "CREATE DATABASE bare")
        figures["(c) end to end, PostgreSQL"] = measure("engine", count, server.url("pipeline"))
        figures["bare sink, PostgreSQL"] = measure("bare-sink", count, server.url("bare"))
    if not options.without_peer:
        install_peer()
        figures["(d) cryptofeed 2.4.0, into a callback"] = measure("peer", count)
    latency = measure("latency", 10_000, SQLITE, 1000.0)
    print("| measured | messages/s, wall clock | messages/s of processor time |\n|---|---:|---:|")
    for name, figure in figures.items():
        print(f"| {name} | {count / figure['seconds']:,.0f} | {count / figure['processor']:,.0f} |")
    print(
        f"\nLatency from sending to committed row, 1,000 messages/s: p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms"
    )
    print(f"Peak resident memory with 400 products: {resident_with_many_products(400, 25.0):.0f} MB")


if __name__ == "__main__":
    main()
