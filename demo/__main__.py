"""`python -m demo`: brings up a Kubernetes, installs the operator on it, and walks through a connector's life.

On a terminal it keeps running afterwards, and says how to try more; without a terminal it ends, with exit code 0 only
if every step succeeded. With KUBECONFIG and `--on-my-cluster` (`make demo ON_MY_CLUSTER=1`) it runs on that cluster,
in a namespace of its own, with the images in the variables OPERATOR_IMAGE, RUNNER_IMAGE and SIMULATOR_IMAGE.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from demo.figures import describe_memory, describe_seconds
from demo.stage import DEFAULT_FOLDER, Stage, prepare_given_cluster, prepare_own_cluster
from demo.story import STOP
from demo.walk import StoryBroken, run_command, walk

DIAGNOSIS = (
    "kubectl get connectors,datasets,jobs,pods -o wide; kubectl describe connectors; "
    "kubectl get events --sort-by=.lastTimestamp | tail -30; "
    "kubectl logs -n connector-operator deployment/connector-operator --tail=40"
)


def say(text: str) -> None:
    """Prints one part of the story at once."""
    print(text, flush=True)  # noqa: T201 - the demo's output


def main() -> int:
    """Returns the exit code: 0 when every step succeeded, 130 after Ctrl-C before the end."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--on-my-cluster", action="store_true", help="use the cluster of KUBECONFIG")
    parser.add_argument("--dir", type=Path, default=DEFAULT_FOLDER, help="where the demo's files lie while it runs")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # A shell that starts jobs in the background makes them ignore Ctrl-C, and Python then keeps it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    prepare = prepare_given_cluster if arguments.on_my_cluster else prepare_own_cluster
    try:
        with prepare(say, arguments.dir.resolve()) as stage:
            print_stage(stage)
            if sys.stdin.isatty() and sys.stdout.isatty():
                linger(stage)
    except StoryBroken as broken:
        say(f"\nThe story broke: {broken}")
        return 1
    except KeyboardInterrupt:
        say("\ninterrupted")
        return 130
    return 0


def print_stage(stage: Stage) -> None:
    """Runs the installation and the story, then prints how long they took.

    Raises:
        StoryBroken: A step failed; helpful information has been printed.
    """
    start = time.monotonic()
    try:
        done = walk(stage.install, stage.environment, say)
        story = stage.story()
        stop = next(number for number, step in enumerate(story) if step.title == STOP)
        done += walk(story[:stop], stage.environment, say)
        memory = describe_memory(stage)
        done += walk(story[stop:], stage.environment, say)
    except StoryBroken:
        say(run_command(DIAGNOSIS, stage.environment))
        raise
    say(f"\nEach of {len(done)} steps showed what it should, in {time.monotonic() - start:.0f} s.")
    say(f"{describe_seconds(done)}\n{memory}".rstrip())


def linger(stage: Stage) -> None:
    """Keeps the cluster up until Ctrl-C."""
    try:
        say(stage.how_to_play)
        signal.pause()
    except KeyboardInterrupt:
        say("\ncleaning up …")


if __name__ == "__main__":
    sys.exit(main())
