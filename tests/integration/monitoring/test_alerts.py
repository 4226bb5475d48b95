"""The alert rules as Prometheus evaluates them, over series of known values."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.servers.go_program import build_go_program

ROOT = Path(__file__).parents[3]
VERSION = "v0.316.0"


@pytest.mark.fault
@pytest.mark.timeout(1800)  # the first run builds promtool
def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    promtool = build_go_program("promtool", "github.com/prometheus/prometheus", VERSION)
    resource = yaml.safe_load((ROOT / "manifests/monitoring/rules.yaml").read_text())
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(resource["spec"]))
    shutil.copy(Path(__file__).with_name("alerts.yaml"), tmp_path)
    tested = subprocess.run([promtool, "test", "rules", tmp_path / "alerts.yaml"], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr
