"""What the story needs around it: a cluster, the operator installed on it, and a Coinbase to talk to."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.walk import ROOT, StoryBroken, run_command

FOLDER = ROOT / ".build" / "demo"
LOCALKUBE = ROOT / ".build" / "localkube" / "bin"
IMAGES = ("connector-operator:dev", "connector-runner:dev", "coinbase-simulator:dev")


@dataclass(frozen=True, slots=True)
class Stage:
    """A cluster that is ready for the story.

    Attributes:
        environment: For the commands: KUBECONFIG, PATH with kubectl.
        how_to_play: What to tell a person who wants to go on by hand.
    """

    environment: Mapping[str, str]
    how_to_play: str
