"""What a row of the tables means stands in its fields: nothing outside of the tables asks for its name. Run by `make lint`, too."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CODE = Path(__file__).parents[3] / "operator/connector_operator"
TABLES = CODE / "decide/table.py"
ROW_TYPES = {"Row", "ListingRow"}
ROW_SOURCES = {"ROWS", "LISTING_ROWS", "find_row", "find_listing_row"}


def rows_in(tree: ast.AST) -> set[str]:
    """Names of variables that hold a row: called so, annotated so, or taken from the tables."""
    names = {"row", "listing_row"}
    for node in ast.walk(tree):
        match node:
            case ast.arg(arg=name, annotation=ast.Name(id=kind)) if kind in ROW_TYPES:
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id=kind)) if kind in ROW_TYPES:
                names.add(name)
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id=source)))
                | ast.For(target=ast.Name(id=name), iter=ast.Name(id=source))
                | ast.comprehension(target=ast.Name(id=name), iter=ast.Name(id=source))
            ) if source in ROW_SOURCES:
                names.add(name)
    return names


def names_asked_for(source: str) -> Iterator[int]:
    """Lines where a row's name is more than handed on as a label: of a metric, of a line in the log."""
    tree = ast.parse(source)
    rows = rows_in(tree)
    labels = set[int]()
    for node in ast.walk(tree):
        labels |= {id(node.value)} if isinstance(node, ast.keyword) else set()
        labels |= {id(value) for value in node.values} if isinstance(node, ast.Dict) else set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr="name", value=ast.Name(id=holder) | ast.Attribute(attr=holder)) if (
                holder in rows and id(node) not in labels
            ):
                yield node.lineno


def test_no_row_is_told_by_its_name_outside_of_the_tables() -> None:
    found = {
        f"{path.relative_to(CODE)}:{line}"
        for path in CODE.rglob("*.py")
        if path != TABLES
        for line in names_asked_for(path.read_text(encoding="utf-8"))
    }
    assert found == set(), "give the row a field for it instead"


@pytest.mark.parametrize(
    "source",
    [
        'if row.name == "stop": pass',
        'busy = decision.listing_row.name in {"begin", "line"}',
        "LEAVES.get(case.row.name)",
        "match row.name:\n    case 'stop': pass",
        "LEAVES[row.name]",
        "def say(held: Row) -> str:\n    return held.name",
        "held = find_row(inputs)\nname = held.name",
        'names = [one for one in ROWS if one.name.startswith("st")]',
    ],
)
def test_each_way_to_ask_for_a_name_is_found(source: str) -> None:
    assert list(names_asked_for(source))


@pytest.mark.parametrize(
    "source",
    [
        "DECISIONS.labels(row=decision.row.name).inc()",
        'log.info("x", extra={"row": case.row.name})',
        "key.name == job.name",
    ],
)
def test_labels_and_other_names_are_free(source: str) -> None:
    assert not list(names_asked_for(source))
