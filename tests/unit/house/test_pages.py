"""Pages that say what other places know: figures of sizing.md stand where they were measured, messages of troubleshooting.md are said somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from generate.message_pages import GAP, Said, find_errors
from generate.rights_pages import build_rights

ROOT = Path(__file__).parents[3]
SIZING = (ROOT / "docs/sizing.md").read_text()
MEASURED = [line for line in SIZING.splitlines() if line.startswith("| ") and "](" in line]
_FIGURE = re.compile(r"\d[\d,.]*\d|\d")
_LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def figures(text: str) -> set[str]:
    """The numbers of a text; 12,349 and 394k as they are written."""
    return set(_FIGURE.findall(text))


@pytest.mark.parametrize("line", MEASURED, ids=lambda line: line.split("|")[1].strip()[:40])
def test_each_figure_of_sizing_is_in_the_page_that_it_names(line: str) -> None:
    _, _, figure, _ = line.split("|")[:4]
    named = "".join((ROOT / "docs" / target).resolve().read_text() for target in _LINK.findall(line))
    assert named, line
    assert figures(figure)
    assert figures(figure) - {"0"} <= figures(named), f"{figure} is not in {_LINK.findall(line)}"


def test_sizing_has_figures() -> None:
    assert len(MEASURED) > 15


def test_the_versions_that_the_install_page_names_are_those_of_the_chart_the_test_cluster_and_the_packages() -> None:
    line = next(
        line for line in (ROOT / "docs/install.md").read_text().splitlines() if line.startswith("It works with")
    )
    said = {
        "charts/connector-operator/Chart.yaml": (r">=(\d\.\d+)\.0-0", "Kubernetes from {}"),
        "tests/localkube/go.mod": (r"k8s\.io/kubernetes v(\d\.\d+)", "(tested on {})"),
        "tests/servers/kafka.py": (r'"(\d+\.\d+)\.\d+"', "[Kafka](kafka.md) (tested on {})"),
        "pyproject.toml": (r'requires-python = ">=(\d\.\d+)"', "Python from {}"),
    }
    for path, (pattern, words) in said.items():
        (version, *_) = re.findall(pattern, (ROOT / path).read_text())
        assert words.format(version) in line, path


def test_messages_are_found_where_they_are_made() -> None:
    source = (
        "raise ActionRequiredError(f'the table {name} is gone; '\n 'copy it again', reason='TableGone')\n"
        "raise InvalidConfigError([f'config.{key}: is required here'])\n"
        "raise TransientError('the server is away for a while')\n"
        "raise ActionRequiredError(message)\n"
    )
    assert list(find_errors(source)) == [
        Said(f"the table {GAP} is gone; copy it again", "TableGone"),
        Said(f"config.{GAP}: is required here", "InvalidConfig"),
    ]


def test_the_page_has_messages_of_each_part() -> None:
    """Each part says at least a few; a change of how errors are made must not empty the page."""
    page = (ROOT / "docs/troubleshooting.md").read_text()
    blocks = dict(re.findall(r"<!-- begin: (\w+) -->\n(.*?)\n<!-- end", page, flags=re.DOTALL))
    assert set(blocks) == {"ready", "refusals", "coinbase", "ethereum", "mysql", "dataset", "runner"}
    for name, block in blocks.items():
        assert block.count("\n") > 4, name
    assert "has already claimed" in blocks["dataset"] or "is too late" in blocks["dataset"]


def test_the_rights_are_those_of_the_role() -> None:
    block = build_rights()
    assert "secrets" not in block
    assert "| `jobs` | batch | get, list, watch, create, delete |" in block


def test_metrics_that_pages_name_are_listed() -> None:
    listed = (ROOT / "docs/monitoring.md").read_text() + (ROOT / "docs/runner.md").read_text()
    for page in ("troubleshooting", "sizing", "security", "backup"):
        for name in re.findall(r"`(connectors?_(?!runner)[a-z_]+)`", (ROOT / f"docs/{page}.md").read_text()):
            assert name in listed, f"{page}.md names {name}"


def test_a_part_of_a_manifest_is_a_part_of_its_objects() -> None:
    """A block without `kind` shows some fields, each in its place: a reader who pastes it puts them in the right place."""
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]:
        for block in re.findall(r"^```ya?ml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
            for part in yaml.safe_load_all(block):
                assert not part or "kind" in part or set(part) <= {"metadata", "spec"}, f"{page.name}: {block}"
