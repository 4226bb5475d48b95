"""What is generated is as it would be generated now; and what the documents say is all there is."""

from pathlib import Path

import pytest

import connector_runner.sources
from benchmarks.mysql.report import README as RESULTS
from connector_operator.crds.union import UnionError, build_rules, build_union
from connector_operator.decide.inputs import Inputs, Word
from connector_operator.decide.outputs import ReasonFrom
from connector_operator.decide.table import ROWS
from connector_operator.resources.reasons import Reason
from generate.blocks import BlockError, build_block, fill
from generate.files import ROOT, build_files, fill_page, find_blocks, find_pages
from generate.kind_pages import build_fields
from generate.operator_pages import build_states

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
    page = "x\n<!-- begin: spec fields -->\nold\n<!-- end: spec fields -->\ny\n"
    blocks = {"spec fields": lambda: build_fields("dataset", "spec")}
    once = fill(page, blocks)
    assert "`volumeClaim`" in once
    assert "old" not in once
    assert fill(once, blocks) == once


BLOCK = build_block("a", "1")


@pytest.mark.parametrize(
    "page",
    [
        "nothing",
        BLOCK + "\n" + BLOCK,
        BLOCK + "\n" + build_block("unknown", "2"),
        BLOCK + "\n<!-- begin: b -->",
        "<!-- begin: a -->\n1\n",
    ],
)
def test_a_page_whose_markers_do_not_fit_is_refused(page: str) -> None:
    with pytest.raises(BlockError):
        fill(page, {"a": lambda: "2"})


def test_a_source_without_a_reference_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "undescribed").mkdir()
    (tmp_path / "undescribed/__init__.py").touch()
    monkeypatch.setattr(connector_runner.sources, "__path__", [*connector_runner.sources.__path__, str(tmp_path)])
    with pytest.raises(
        BlockError, match=r"sources/undescribed/reference\.py has no BLOCKS; say there .* docs/undescribed\.md"
    ):
        find_blocks("undescribed")


def test_a_page_that_is_missing_or_lacks_a_block_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generate.files.ROOT", tmp_path)
    page = tmp_path / "numbers.md"
    with pytest.raises(BlockError, match=r"no numbers\.md; .* `<!-- begin: a -->` and `<!-- end: a -->`"):
        fill_page(page, {"a": lambda: "2"})
    page.write_text("nothing\n")
    with pytest.raises(BlockError, match=r"^numbers\.md: the page has the blocks none; expected a"):
        fill_page(page, {"a": lambda: "2"})
    page.write_text(BLOCK)
    assert fill_page(page, {"a": lambda: "2"}) == build_block("a", "2")


def test_every_marker_stands_in_a_page_that_is_generated() -> None:
    ours = [path for path in ROOT.iterdir() if not path.name.startswith(".")]
    pages = [page for path in ours for page in ([path] if path.suffix == ".md" else path.rglob("*.md"))]
    marked = {page for page in pages if "\n<!-- begin: " in page.read_text()}
    assert marked - {RESULTS} == {ROOT / name for name in find_pages()}


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
