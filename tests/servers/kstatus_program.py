"""What Flux makes of objects: kstatus, the Go module that its controllers use."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.servers.go_program import build_go_source

MODULE = "github.com/fluxcd/cli-utils@v1.2.2"
SOURCE = Path(__file__).with_name("kstatus")


def compute_statuses(objects: Sequence[dict[str, Any]]) -> list[str]:
    """For each object Current, InProgress, Failed, Terminating or Unknown; the first call builds the program."""
    program = build_go_source(SOURCE, "v1.2.2", [MODULE])
    done = subprocess.run([program], input=json.dumps(objects), capture_output=True, text=True, check=True)
    return [found["status"] for found in json.loads(done.stdout)]
