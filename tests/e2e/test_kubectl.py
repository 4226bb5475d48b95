"""What a person gets from kubectl without knowing the project: explain, columns, fields to select by."""

import pytest

from tests.kit.cluster import Kit


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("connectors", "stream"),
        ("connectors.spec", "What you ask for."),
        ("connectors.spec.selectedStream", "stream"),
        ("connectors.spec.config.productId", "product"),
        ("connectors.status.lastExecution.exitCode", "exit"),
        ("datasets.spec.urlFrom", "Secret"),
        ("datasets.status.conditions", "aspect by aspect"),
    ],
)
def test_explain_says_what_a_field_is(kit: Kit, path: str, says: str) -> None:
    text = kit.kubectl("explain", path)
    description = text.partition("DESCRIPTION:")[2].partition("FIELDS:")[0].strip()
    assert says.lower() in description.lower()
    assert "<empty>" not in description


def test_columns_and_fields_to_select_by(kit: Kit) -> None:
    kit.run("runs")
    kit.apply("idle", datasetId="other")
    kit.wait("idle", "received")
    wide = kit.kubectl("get", "connectors", "-o", "wide").split("\n")
    columns = ["NAME", "TYPE", "STREAM", "DATASET", "STATUS", "READY", "REASON", "EXECUTION", "MESSAGE", "AGE"]
    assert sorted(wide[0].split()) == sorted(columns)
    row = next(line for line in wide if line.startswith("runs "))
    assert kit.jobs("runs")[0]["metadata"]["name"] in row
    assert "Stream ticker runs into table rows." in row
    for selector, names in {
        "status.state.status=running": ["runs"],
        "spec.datasetId=other": ["idle"],
        "spec.connectorType=COINBASE": ["idle", "runs"],
        "spec.connectorType=MYSQL": [],
    }.items():
        found = kit.kubectl("get", "connectors", f"--field-selector={selector}", "-o", "name").split()
        assert [name.rpartition("/")[2] for name in found] == names, selector
