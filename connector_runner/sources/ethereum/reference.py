"""The part of docs/ethereum.md that is generated from the streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connector_runner.protocols.schema import StreamSchema
from connector_runner.sources.ethereum.fetch.plan import StreamPlan
from connector_runner.sources.ethereum.settings import Endpoint, Settings
from connector_runner.sources.ethereum.streams import build_plans
from connector_runner.sources.ethereum.verify.families import FAMILIES

# For each stream: what the dataset has after its orphaned rows were removed.
_AFTER = {
    "blocks": "each height has the row of the new branch's block.",
    "transactions": "a transaction that the new branch has again is a row with the new block's hash, perhaps at another height or index; one that "
    "it does not have (yet) is gone.",
    "receipts": "as for `transactions`; the result of a transaction (status, gas, contract) is that of the new branch.",
    "logs": "a log that is emitted again is a row with the new block's hash, perhaps with another `log_index`; one that is not is gone.",
    "token_transfers": "as for `logs`; sums over the table are those of the new branch.",
    "withdrawals": "the new branch assigns the numbers (`withdrawal_index`) again, usually to the same withdrawals.",
    "traces": "the calls are those that the transactions made in the new branch.",
}


class _Silent:
    """A report that ignores everything."""

    def count(self, name: str, amount: int = 1) -> None:
        """Does nothing."""


def build_streams() -> str:
    """Describes all streams, with their columns and what a reorganisation does to them."""
    silent: Any = _Silent()
    plans = build_plans(Settings((Endpoint("http://localhost"),)), silent)
    return "\n".join(map(_section, plans.values()))


def build_families() -> str:
    """Describes the families of chains, and what can't be proven on each."""
    rows = ["| family | chains | not provable there | because |", "|---|---|---|---|"]
    for family, chains in FAMILIES:
        listed = ", ".join(f"{name} ({chain})" for chain, name in chains.items())
        rows.append(f"| {family.name} | {listed} | {'; '.join(family.lacks) or 'all is'} | {family.why} |")
    return "\n".join(rows)


def _section(plan: StreamPlan) -> str:
    key = ", ".join(f"`{name}`" for name in plan.schema.key)
    needs = ", ".join(plan.methods)
    after = _AFTER[plan.schema.stream]
    return (
        f"### {plan.schema.stream}\n{plan.description} Key: {key}. Needs: {needs}.\n"
        f"After a reorganisation: {after}\n\n{_table(plan.schema)}\n"
    )


def _table(schema: StreamSchema) -> str:
    rows = [
        f"| `{column.name}` | {column.type}{' or null' if column.nullable else ''} | {column.description} |"
        for column in schema.columns
    ]
    return "\n".join(["| column | type | meaning |", "|---|---|---|", *rows])


STREAM_PARTS = {"name": "the stream"}
"""What a stream's name consists of, by the words that templates of tables use."""
BLOCKS: dict[str, Callable[[], str]] = {"families": build_families, "streams": build_streams}
