"""Turns operations in order into a few set-based steps with the same result.

Within one step each key occurs once, so its sets may be applied in any order after its replacements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any

from connector_runner.protocols.batch import Batch, Operation, Row
from connector_runner.protocols.schema import StreamSchema

UPSERT, DELETE, INSERT, REPLACE = Operation


@dataclass(slots=True)
class Step:
    """The changes of a step, in this order: prefixes removed; then, key by key, rows removed, stored, or stored if absent."""

    replaced: list[Row] = field(default_factory=list)
    deleted: list[Row] = field(default_factory=list)
    upserted: Sequence[Row] = field(default_factory=list)
    inserted: list[Row] = field(default_factory=list)


def key_of(schema: StreamSchema) -> Callable[[Row], Any]:
    """A row's key as a hashable value (the bare value for a key of one column)."""
    return itemgetter(*schema.key_indices)


def operations_of(batches: Iterable[Batch]) -> Iterator[tuple[int, Row, Batch]]:
    """Every single operation, in order."""
    for batch in batches:
        operations = batch.operations if batch.operations is not None else bytes(len(batch.rows))
        for operation, row in zip(operations, batch.rows, strict=True):
            yield operation, row, batch


def plan_upsert(schema: StreamSchema, batches: Sequence[Batch], *, unique: bool = True) -> list[Step]:
    """The steps that lead to the same state by key as applying the operations one after the other.

    Args:
        schema: The schema of all batches.
        batches: The batches, in order.
        unique: False if the sink applies `upserted` row by row: then batches of upserts may repeat a key.
    """
    if all(batch.operations is None for batch in batches):
        rows: Sequence[Row] = (
            batches[0].rows if len(batches) == 1 else list(chain.from_iterable(b.rows for b in batches))
        )
        if unique:
            key = key_of(schema)
            last = {key(row): row for row in rows}
            rows = rows if len(last) == len(rows) else list(last.values())
        return [Step(upserted=rows)] if rows else []
    return _plan_mixed(schema, batches)


def _plan_mixed(schema: StreamSchema, batches: Sequence[Batch]) -> list[Step]:
    key = key_of(schema)
    steps: list[Step] = []
    replaced: list[Row] = []
    state: dict[Any, tuple[int, Row]] = {}
    for operation, row, _ in operations_of(batches):
        if operation == REPLACE:
            if state:
                steps.append(_step(replaced, state))
                replaced, state = [], {}
            replaced.append(row)
            continue
        at = key(row)
        if operation == INSERT and (before := state.get(at)) is not None:
            if before[0] == DELETE:
                state[at] = (UPSERT, row)
            continue
        state[at] = (operation, row)
    if state or replaced:
        steps.append(_step(replaced, state))
    return steps


def _step(replaced: list[Row], state: dict[Any, tuple[int, Row]]) -> Step:
    by_operation: dict[int, list[Row]] = {UPSERT: [], DELETE: [], INSERT: []}
    for operation, row in state.values():
        by_operation[operation].append(row)
    return Step(replaced, by_operation[DELETE], by_operation[UPSERT], by_operation[INSERT])


@dataclass(slots=True)
class History:
    """What append mode writes, in order: retractions of the live rows of prefixes, then rows in their order.

    Attributes:
        replaced: Prefixes whose live rows get a retraction, each with its batch.
        rows: (name of the operation, row, batch), appended after that.
    """

    replaced: list[tuple[Row, Batch]] = field(default_factory=list)
    rows: list[tuple[str, Row, Batch]] = field(default_factory=list)


NAMES = {int(operation): operation.name.lower() for operation in Operation}


def plan_append(batches: Sequence[Batch]) -> list[History]:
    """The steps of append mode: a replacement starts a new step, unless the present one has no rows yet."""
    steps = [History()]
    for operation, row, batch in operations_of(batches):
        if operation == REPLACE:
            if steps[-1].rows:
                steps.append(History())
            steps[-1].replaced.append((row, batch))
        else:
            steps[-1].rows.append((NAMES[operation], row, batch))
    return [step for step in steps if step.rows or step.replaced]
