"""The release: one number everywhere, and a definition that is never replaced by an older one."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml

from connector_operator.cluster.definitions import is_established
from connector_operator.crds.definitions import build_connector_crd, build_dataset_crd
from connector_operator.crds.release import ANNOTATION, RELEASE, explain_refusal, read_release
from generate.files import ROOT


def test_the_release_is_the_same_everywhere() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == RELEASE
    chart = yaml.safe_load((ROOT / "charts/connector-operator/Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (RELEASE, RELEASE)
    used = set()
    for path in ("base", "api"):
        used |= set(re.findall(r"connector-\w+:([\d.]+)", (ROOT / f"manifests/{path}/deployment.yaml").read_text()))
    assert used == {RELEASE}


@pytest.mark.parametrize(
    "definition", [build_connector_crd(), build_dataset_crd()], ids=lambda one: one["metadata"]["name"]
)
def test_each_definition_says_of_which_release_it_is(definition: dict[str, Any]) -> None:
    assert definition["metadata"]["annotations"] == {ANNOTATION: RELEASE}
    assert explain_refusal(definition) == ""


def definition_of(release: str | None) -> dict[str, Any]:
    annotations = {"annotations": {ANNOTATION: release}} if release is not None else {}
    return {"metadata": {"name": "connectors.apperate.io", **annotations}}


@pytest.mark.parametrize("release", ["0.1.1", "0.2.0", "0.10.0", "1.0.0", "10.0.0"])
def test_a_newer_definition_stays(release: str) -> None:
    told = explain_refusal(definition_of(release))
    assert f"connectors.apperate.io is of release {release}, newer than {RELEASE}" in told


@pytest.mark.parametrize("release", [None, "0.0.9", "0.0.10", RELEASE])
def test_an_older_one_is_replaced(release: str | None) -> None:
    assert explain_refusal(definition_of(release)) == ""


@pytest.mark.parametrize("text", ["", "1", "v1.2.3", "1.2.3-rc1", "1.2.3\n", "a.b.c"])
def test_what_is_no_release_is_named_and_nothing_changed(text: str) -> None:
    assert read_release(text) is None
    assert repr(text) in explain_refusal(definition_of(text))


def test_releases_are_compared_by_number() -> None:
    ordered = ["0.1.0", "0.2.0", "0.10.0", "1.0.0", "1.0.2", "1.0.10", "2.0.0"]
    assert sorted(ordered, key=lambda text: read_release(text) or (0, 0, 0)) == ordered


@pytest.mark.parametrize("status", [None, {}, {"conditions": None}, {"conditions": []}])
def test_what_the_api_server_has_not_looked_at_is_not_served_yet(status: dict[str, Any] | None) -> None:
    assert not is_established({"status": status})
    assert not is_established({})
    assert not is_established(None)


@pytest.mark.parametrize(("word", "is_served"), [("True", True), ("False", False)])
def test_it_is_served_when_the_api_server_says_so(word: str, is_served: bool) -> None:
    conditions = [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": word}]
    assert is_established({"status": {"conditions": conditions}}) is is_served
