"""The alert rules as Prometheus evaluates them, over series of known values."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.servers.prometheus import promtool

ROOT = Path(__file__).parents[3]
CASES = Path(__file__).with_name("alerts.yaml")
RULES = ROOT / "manifests/monitoring/rules.yaml"


def test_each_alert_is_tried_until_it_fires_and_where_it_must_not() -> None:
    tried = [one for case in yaml.safe_load(CASES.read_text())["tests"] for one in case["alert_rule_test"]]
    groups = yaml.safe_load(RULES.read_text())["spec"]["groups"]
    names = {rule["alert"] for group in groups for rule in group["rules"]}
    assert {one["alertname"] for one in tried if one.get("exp_alerts")} == names
    quiet = {one["alertname"] for one in tried if not one.get("exp_alerts")}
    told_apart = {"DatasetRolloutStopped"}  # beside one that fires, another must not: all alerts of a time are compared
    assert quiet | told_apart == names


@pytest.mark.fault
@pytest.mark.timeout(1800)  # the first run builds promtool
def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    resource = yaml.safe_load(RULES.read_text())
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(resource["spec"]))
    shutil.copy(CASES, tmp_path)
    tested = subprocess.run([promtool(), "test", "rules", tmp_path / "alerts.yaml"], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr
