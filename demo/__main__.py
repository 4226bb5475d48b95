"""`python -m demo`: brings up a Kubernetes, installs the operator on it, and walks through a connector's life.

On a terminal it stays up afterwards, and says how to play with it; without one it ends with exit code 0 only if every
step was true. With KUBECONFIG and `--on-my-cluster` it runs on that cluster, with the images that the variables
OPERATOR_IMAGE, RUNNER_IMAGE and SIMULATOR_IMAGE name.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from demo.stage import DEFAULT_FOLDER, Stage, prepare_given_cluster, prepare_own_cluster
from demo.story import STORY
from demo.walk import StoryBroken, run_command, walk

DIAGNOSIS = (
    "kubectl get connectors,datasets,jobs,pods -o wide; kubectl describe connectors; "
    "kubectl get events --sort-by=.lastTimestamp | tail -30; "
    "kubectl logs -n connector-operator deployment/connector-operator --tail=40"
)


def say(text: str) -> None:
    """One piece of the tale, at once."""
    print(text, flush=True)  # noqa: T201 - the demo's voice


def main() -> int:
    """The exit code: 0 when every step was true."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--on-my-cluster", action="store_true", help="use the cluster of KUBECONFIG")
    parser.add_argument("--dir", type=Path, default=DEFAULT_FOLDER, help="where the demo's cluster lies while it runs")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    start = time.monotonic()
    prepare = prepare_given_cluster if arguments.on_my_cluster else prepare_own_cluster
    with prepare(say, arguments.dir.resolve()) as stage:
        try:
            steps = [replace(step, command=stage.adapt(step.command)) for step in STORY]
            told = walk(steps, stage.environment, say)
        except StoryBroken as broken:
            say(run_command(DIAGNOSIS, stage.environment))
            say(f"\nThe story broke: {broken}")
            return 1
        say(f"\nEvery step was true. {len(told)} steps, {time.monotonic() - start:.0f} s in all.")
        if sys.stdin.isatty() and sys.stdout.isatty():
            linger(stage)
    return 0


def linger(stage: Stage) -> None:
    """Stays up until Ctrl-C."""
    # A shell that starts its jobs in the background has them ignore Ctrl-C, and Python then leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        say(stage.how_to_play)
        signal.pause()
    except KeyboardInterrupt:
        say("\ncleaning up …")


if __name__ == "__main__":
    sys.exit(main())
