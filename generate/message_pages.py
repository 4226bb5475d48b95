"""docs/troubleshooting.md: the messages that people see, taken from the tables and the sources that say them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from connector_operator.crds.files import build_crd_files
from connector_operator.decide.outputs import ReasonFrom
from connector_operator.decide.table import ROWS
from connector_runner.protocols import errors
from generate.blocks import Blocks, table

ROOT = Path(__file__).parents[1]
GAP = "…"
"""What stands for a name or a figure in a message."""
SHORTEST = 12
"""Letters that a message must have beside its gaps to be of any use to somebody who looks for it."""


class Said(NamedTuple):
    """A message in the sources, with its reason."""

    message: str
    reason: str


def _build_rows() -> str:
    """What the condition Ready says, from the table of decisions."""
    rows = []
    for row in ROWS:
        message = re.sub(r"\{\w+\}", GAP, row.message or "")
        if isinstance(row.reason, ReasonFrom) or row.reason is None or not _is_of_use(message):
            continue
        reason = row.reason
        rows.append((message, f"[`{reason}`](reasons.md#{reason.lower()})", row.state))
    return table(["message", "reason and remedy", "state"], list(dict.fromkeys(rows)))


def _build_refusals() -> str:
    """What the API server says to `kubectl apply`, from the rules of the definitions."""
    rows = []
    for text in build_crd_files().values():
        definition = yaml.safe_load(text)
        if definition.get("kind") == "CustomResourceDefinition":
            kind = definition["spec"]["names"]["kind"]
            found = _rules(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "")
            rows += [[message, kind, f"`{place}`"] for place, message in sorted(set(found))]
    return table(["message", "kind", "field"], rows)


def _rules(schema: Any, place: str) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        if "message" in rule:
            yield place + rule.get("fieldPath", "") or ".", " ".join(rule["message"].split())
    for name, part in schema.get("properties", {}).items():
        yield from _rules(part, f"{place}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(schema.get(key), dict):
            yield from _rules(schema[key], place + mark)


def _build_errors(*folders: str) -> str:
    """The messages with which a runner ends (exit 78), of all modules of some folders below `connector_runner`."""
    paths = [path for folder in folders for path in sorted((ROOT / "connector_runner" / folder).rglob("*.py"))]
    found = {one for path in paths for one in find_errors(path.read_text())}
    rows = [
        [_quote(one.message), f"`{one.reason}`"]
        for one in sorted(found, key=lambda one: (one.message.lstrip(f"{GAP}: "), one.reason))
    ]
    return table(["message", "reason"], rows)


def _quote(message: str) -> str:
    return re.sub(r"([<>*_`])", r"\\\1", message)


def find_errors(source: str) -> Iterator[Said]:
    """Each error of a module that needs a person: where it is made, its text is a literal."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or not call.args:
            continue
        kind = getattr(errors, call.func.id, None)
        if not (isinstance(kind, type) and issubclass(kind, errors.ActionRequiredError)):
            continue
        message = " ".join(_text_of(call.args[0]).split())
        reasons = [part.value for part in call.keywords if part.arg == "reason"]
        reason = str(reasons[0].value) if reasons and isinstance(reasons[0], ast.Constant) else kind.reason
        if _is_of_use(message):
            yield Said(message, reason)


def _text_of(node: ast.expr) -> str:
    """The text of a literal, with gaps where values are put in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return re.sub(f"{GAP}+", GAP, "".join(_text_of(part) for part in node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text_of(node.left) + _text_of(node.right)
    if isinstance(node, ast.List | ast.Tuple) and len(node.elts) == 1:
        return _text_of(node.elts[0])
    return GAP


def _is_of_use(message: str) -> bool:
    return len(message.replace(GAP, "").strip(" .:;")) >= SHORTEST


BLOCKS: Blocks = {
    "ready": _build_rows,
    "refusals": _build_refusals,
    "coinbase": partial(_build_errors, "sources/coinbase"),
    "ethereum": partial(_build_errors, "sources/ethereum"),
    "mysql": partial(_build_errors, "sources/mysql"),
    "dataset": partial(_build_errors, "sinks", "datasets"),
    "runner": partial(_build_errors, "pipeline", "commands"),
}
