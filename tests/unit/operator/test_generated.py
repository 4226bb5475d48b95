"""What is generated is as it would be generated now; and what the documents say is all there is."""

import pytest

from connector_operator.crds.union import UnionError, build_rules, build_union
from connector_operator.decide.inputs import Inputs, Word
from connector_operator.decide.outputs import ReasonFrom
from connector_operator.decide.table import ROWS
from connector_operator.resources.reasons import Reason
from generate.files import ROOT, build_files
from generate.operator_pages import build_states, fill_blocks

FILES = build_files()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_has_drifted(path: object) -> None:
    for file, text in FILES.items():
        if file == path:
            assert file.read_text(encoding="utf-8") == text, "run `make generate`"


def test_every_reason_that_the_operator_gives_is_one_with_a_meaning_and_a_remedy() -> None:
    """What gives a reason takes a `Reason`, or one that is marked as the runner's: mypy checks it."""
    for reason in Reason:
        assert reason.value.isalnum(), reason
        assert reason.meaning.endswith("."), reason
        assert reason.remedy.endswith("."), reason
    assert {row.reason for row in ROWS} <= {*Reason, *ReasonFrom, None}


def test_each_word_of_the_tables_says_what_it_means() -> None:
    page = build_states()
    for word in (value for kind in Word.__subclasses__() for value in kind):
        assert f"| `{word}` | {word.meaning} |" in page


def test_the_installed_operator_listens_where_port_forward_comes_from() -> None:
    manifest = (ROOT / "manifests/base/deployment.yaml").read_text()
    assert "LISTEN" not in manifest, (
        "its default is all addresses; kubectl port-forward comes from the pod's own loopback"
    )


def test_every_row_is_in_the_states_page() -> None:
    page = build_states()
    assert all(f"**{row.name}**" in page for row in ROWS)
    assert Inputs.__doc__


def test_blocks_are_filled_again_and_again() -> None:
    page = "x\n<!-- fields: Dataset spec -->\nold\n<!-- end -->\ny\n"
    once = fill_blocks(page)
    assert "`volumeClaim`" in once
    assert "old" not in once
    assert fill_blocks(once) == once


def union(**properties: dict[str, object]) -> dict[str, object]:
    schemas = {kind: {"properties": {"shared": {"description": "d", **p}}} for kind, p in properties.items()}
    return {"union": build_union(schemas), "rules": build_rules(schemas)}


def test_a_shared_name_must_have_one_shape() -> None:
    with pytest.raises(UnionError, match=r"config\.shared: A and B"):
        union(A={"type": "string"}, B={"type": "integer"})


def test_limits_that_differ_become_rules() -> None:
    made = union(A={"type": "string", "pattern": "^a"}, B={"type": "string", "minLength": 3})
    assert "pattern" not in str(made["union"])
    text = str(made["rules"])
    assert '.matches("^a")' in text
    assert ") >= 3" in text


def test_no_default_and_no_required_reach_the_crd() -> None:
    made = union(A={"type": "object", "default": {}, "required": ["x"], "properties": {"x": {"type": "string"}}})
    assert "'required'" not in str(made["union"])
    assert "'default'" not in str(made["union"])
