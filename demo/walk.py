"""Walks through the story: runs each command as typed, repeats it until its output is right, and reports it."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.story import Step

ROOT = Path(__file__).resolve().parents[1]
PAUSE = 1.0  # seconds between two attempts


class StoryBroken(Exception):  # noqa: N818 - it is about a story, not an error of a program
    """The output of a step is not right; the message has the command, what was expected, and what came."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a step took: seconds from its start until its output was right."""

    step: Step
    seconds: float


def run_command(command: str, environment: Mapping[str, str]) -> str:
    """The output (both streams, in order) of a command in a shell at the top of the checkout."""
    shell = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    return shell.stdout


def walk(steps: Sequence[Step], environment: Mapping[str, str], say: Callable[[str], None]) -> list[Done]:
    """Runs the steps in order.

    Raises:
        StoryBroken: A step did not succeed in time.
    """
    done = []
    for step in steps:
        say(f"\n── {step.title}\n$ {step.command}")
        start = time.monotonic()
        output = run_command(step.command, environment)
        while not re.search(step.expect, output) and time.monotonic() - start < step.within:
            time.sleep(PAUSE)
            output = run_command(step.command, environment)
        seconds = time.monotonic() - start
        say(f"{output.rstrip()}\n({seconds:.1f} s)")
        if not re.search(step.expect, output):
            raise StoryBroken(f"{step.title}: expected /{step.expect}/ from\n$ {step.command}\nbut it was\n{output}")
        done.append(Done(step, seconds))
    return done
