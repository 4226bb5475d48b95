"""The part of docs/ethereum.md that follows from the streams."""

from __future__ import annotations

import re
from typing import Any

from connector_runner.protocols.schema import StreamSchema
from connector_runner.sources.ethereum.settings import Endpoint, Settings
from connector_runner.sources.ethereum.streams import StreamPlan, build_plans

BEGIN, END = "<!-- streams: begin (make generate) -->", "<!-- streams: end -->"


class _Silent:
    """A report that nothing is told to."""

    def count(self, name: str, amount: int = 1) -> None:
        """Nothing."""


def fill_page(text: str) -> str:
    """The page with its streams as they are.

    Raises:
        ValueError: The page has no place for them.
    """
    silent: Any = _Silent()
    plans = build_plans(Settings((Endpoint("http://localhost"),)), silent)
    block = "\n".join([BEGIN, *map(_section, plans.values()), END])
    filled, count = re.subn(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: block, text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"the page needs one block {BEGIN} … {END}")
    return filled


def _section(plan: StreamPlan) -> str:
    key = ", ".join(f"`{name}`" for name in plan.schema.key)
    needs = ", ".join(plan.methods)
    return f"### {plan.schema.stream}\n{plan.description} Key: {key}. Needs: {needs}.\n\n{_table(plan.schema)}\n"


def _table(schema: StreamSchema) -> str:
    rows = [
        f"| `{column.name}` | {column.type}{' or null' if column.nullable else ''} | {column.description} |"
        for column in schema.columns
    ]
    return "\n".join(["| column | type | meaning |", "|---|---|---|", *rows])
