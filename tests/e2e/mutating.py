"""Is the adversary a net? Puts known faults back into a copy of the operator, one at a time: `python -m tests.e2e.mutating`.

A fault is data (`faults/*.json`): texts of the source that are replaced. One cluster serves for all; a line each says which seed
found it, and by what.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.e2e.adversary import Adversary
from tests.e2e.test_adversary import run_seed
from tests.kit.cluster import OPERATOR_NAMESPACE, Kit, install, restart_operator
from tests.localkube.cluster import KubectlError, LocalKube
from tests.localkube.plugin import default_images

ROOT = Path(__file__).parents[2]
FAULTS = Path(__file__).parent / "faults"
OPERATOR = "connector-operator:dev"
START = """
import sys
sys.path[:0] = [{root!r}, {operator!r}]
import connector_operator
print("runs from", connector_operator.__path__[0], flush=True)
from connector_operator.cli import main
sys.exit(main())
"""
NO_FAULT: dict[str, Any] = {"name": "none", "edits": []}
"""A find counts only where the operator as it is passes with the same seed."""


def read_faults() -> list[dict[str, Any]]:
    """All of them, by file name."""
    return [json.loads(path.read_text()) for path in sorted(FAULTS.glob("*.json"))]


def apply(fault: dict[str, Any], root: Path) -> None:
    """Puts it into the copy at `root`.

    Raises:
        LookupError: The source has changed: a text is not there, or more than once.
    """
    for edit in fault["edits"]:
        path = root / edit["file"]
        text = path.read_text()
        if text.count(edit["find"]) != 1:
            raise LookupError(f"{fault['name']}: {edit['file']} has {text.count(edit['find'])} times {edit['find']!r}")
        path.write_text(text.replace(edit["find"], edit["replace"]))


def copy_operator(folder: Path) -> Path:
    """The operator's packages in a folder that anybody may read."""
    folder.chmod(0o755)
    for name in ("operator", "connector_runner"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def try_fault(cluster: LocalKube, fault: dict[str, Any], seeds: list[int], seconds: float) -> str:
    """What the first seed that fails says, with its number; "" when none does."""
    whole = default_images()[OPERATOR]
    # Not below /tmp: a pod has one of its own there.
    with tempfile.TemporaryDirectory(prefix="adversary-", dir=ROOT / ".build") as name:
        root = copy_operator(Path(name))
        apply(fault, root)
        start = START.format(root=str(root), operator=str(root / "operator"))
        cluster.map_images({OPERATOR: {**whole, "command": [sys.executable, "-c", start]}})
        try:
            restart_operator(cluster)
            require_copy(cluster, root)
            for seed in seeds:
                if found := try_seed(cluster, seed, seconds):
                    return f"seed {seed}: {found}"
        finally:
            cluster.map_images({OPERATOR: whole})
            restart_operator(cluster)
    return ""


def require_copy(cluster: LocalKube, root: Path) -> None:
    """The operator that runs is the copy, not the checkout.

    Raises:
        RuntimeError: It is not.
    """
    told = cluster.kubectl("-n", OPERATOR_NAMESPACE, "logs", "deployment/connector-operator")
    if f"runs from {root / 'operator'}" not in told:
        raise RuntimeError(f"the operator does not run from {root}: {told[:500]}")


def try_seed(cluster: LocalKube, seed: int, seconds: float) -> str:
    """What went wrong; "" for nothing."""
    namespace = f"net-{secrets.token_hex(3)}"
    cluster.kubectl("create", "namespace", namespace)
    made: list[Adversary] = []
    try:
        run_seed(Kit(cluster, namespace), cluster, made, seed, seconds)
    except (AssertionError, LookupError, TimeoutError) as error:
        return str(error).rpartition("\n")[2] or repr(error)
    finally:
        for one in made:
            one.close()
        cluster.kubectl("delete", "namespace", namespace, "--wait=false", check=False)
    return ""


def main() -> int:
    """Prints a line a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--faults", default="", help="names, by commas; empty: all, and none first, which is the operator as it is"
    )
    parser.add_argument("--seeds", default="1,2,3", help="by commas; each fault is tried with one after the other")
    parser.add_argument("--seconds", type=float, default=30, help="how long the adversary acts")
    given = parser.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    known = {fault["name"]: fault for fault in (NO_FAULT, *read_faults())}
    chosen = [known[name] for name in given.faults.split(",") if name] or list(known.values())
    with tempfile.TemporaryDirectory(prefix="adversary-") as name:
        Path(name).chmod(0o755)
        cluster = LocalKube.start(Path(name) / "cluster", default_images(), audit=True)
        try:
            install(cluster)
            for fault in chosen:
                begun = time.monotonic()
                try:
                    found = try_fault(cluster, fault, fault.get("seeds", seeds), given.seconds) or "NOT FOUND"
                except (AssertionError, KubectlError, LookupError, RuntimeError) as error:  # it is the cluster's
                    found = f"NOT MEASURED: {error}"
                print(f"{fault['name']}: {found} ({time.monotonic() - begun:.0f} s)", flush=True)
        finally:
            cluster.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
