"""Checks that random tests find faults: faults that were fixed are put back one at a time, and the tests must find each.

`python -m tests.simulators.mutations FOLDER ARGUMENTS…` copies the tree to a temporary folder, applies each `*.patch` of the folder there
alone, and runs pytest with the arguments: a seed that fails has found it (a time-out has not). A patch that no longer applies is an error,
not a success.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("connector_runner", "operator", "tests", "demo", "benchmarks", "pyproject.toml")
EXIT_TESTS_FAILED = 1


@dataclass(frozen=True)
class Verdict:
    """The result for one fault that was put back.

    Attributes:
        name: The patch's, without its ending.
        is_found: Whether a seed failed with it.
        seconds: How long that took.
        evidence: The first seed that failed, from the output of the tests; else pytest's last line.
    """

    name: str
    is_found: bool
    seconds: float
    evidence: str = ""


@contextmanager
def copied_tree() -> Iterator[Path]:
    """The sources as they are now, without what is built."""
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        for name in COPIED:
            source, target = ROOT / name, Path(folder) / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
            else:
                shutil.copy(source, target)
        if (built := ROOT / ".build").exists():  # the servers that tests start
            (Path(folder) / ".build").symlink_to(built.resolve())
        yield Path(folder)


def apply(tree: Path, patch: Path, *, back: bool = False) -> None:
    """Puts a fault into a tree, or takes it out again.

    Raises:
        ValueError: The patch does not fit the sources any more.
    """
    command = [
        "git",
        "apply",
        "--unsafe-paths",
        *(["--reverse"] if back else []),
        "-p1",
        f"--directory={tree}",
        str(patch),
    ]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"{patch.name} does not fit any more: {done.stderr.strip()}")


def run_net(tree: Path, arguments: Sequence[str]) -> tuple[int, str]:
    """The exit code and output of pytest in a tree, whose packages come before the installed ones."""
    paths = f"{tree}{os.pathsep}{tree / 'operator'}"
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "NET_FAILURES": "1"}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def first_seed(output: str) -> str:
    """What a net said of the first seed that failed."""
    found = re.search(r"\bseed \d+: [^\n]*", output)
    return found[0] if found else ""


def last_line(output: str) -> str:
    """What pytest said at its end."""
    return output.strip().rpartition("\n")[2]


def measure(patches: Sequence[Path], arguments: Sequence[str]) -> Iterator[Verdict]:
    """Each fault alone; first the net must pass without any.

    Raises:
        ValueError: It does not, or a patch does not fit, or pytest did not run.
    """
    with copied_tree() as tree:
        for patch in patches:  # known at once, not after an hour
            apply(tree, patch)
            apply(tree, patch, back=True)
        code, output = run_net(tree, arguments)
        if code:
            raise ValueError(
                f"the net fails without any fault (exit code {code}): {first_seed(output) or last_line(output)}"
            )
        for patch in patches:
            apply(tree, patch)
            began = time.monotonic()
            code, output = run_net(tree, arguments)
            apply(tree, patch, back=True)
            if code not in {0, EXIT_TESTS_FAILED}:
                raise ValueError(f"{patch.name}: pytest ended with {code}")
            evidence = first_seed(output) if code == EXIT_TESTS_FAILED else ""
            yield Verdict(patch.stem, bool(evidence), time.monotonic() - began, evidence or last_line(output))


def main() -> int:
    patches = sorted(Path(sys.argv[1]).glob("*.patch"))
    found = 0
    for verdict in measure(patches, sys.argv[2:]):
        found += verdict.is_found
        print(
            f"{'found' if verdict.is_found else 'NOT FOUND':10} {verdict.seconds:6.1f} s  {verdict.name}  {verdict.evidence[:100]}",
            flush=True,
        )
    print(f"{found} of {len(patches)} found")
    return 0 if patches and found >= 0.9 * len(patches) else 1


if __name__ == "__main__":
    sys.exit(main())
