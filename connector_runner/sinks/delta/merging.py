"""An upsert as one commit: a merge that reads only the files which can hold rows of these keys."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable

from connector_runner.sinks.delta.partitions import Layout
from connector_runner.sinks.delta.rows import between, one_of

_EXACT = (pa.int64(), pa.date32())
"""Types whose ranges a table's log states exactly: those of texts, decimals and times may be rounded there."""


def merge(
    table: DeltaTable, layout: Layout, changes: pa.Table, key: Sequence[str], removed: str, properties: CommitProperties
) -> None:
    """Merges changes by key.

    Args:
        table: As it was read last.
        layout: How it is partitioned.
        changes: One row a key, with the operation (the last column).
        key: The columns of the key.
        removed: Which rows are removed before that, as a condition; "" for none.
        properties: Of the commit.
    """
    source, change = layout.derive(changes), changes.column_names[-1]
    values = {ticked(name): f"s.{ticked(name)}" for name in source.column_names if name != change}
    operation = f"s.{ticked(change)}"
    # Ranges of all columns of the key, and less memory, is what deltalake gives for this, and it trusts what the log states.
    streams = bool(removed) or any(source[name].type not in _EXACT for name in key)
    merger = table.merge(
        source,
        condition(layout, source, key, is_anywhere=bool(removed)),
        source_alias="s",
        target_alias="t",
        streamed_exec=streams,
        commit_properties=properties,
    ).when_matched_delete(f"{operation} = 'delete'")
    merger = merger.when_matched_update(values, f"{operation} = 'upsert'")
    merger = merger.when_not_matched_insert(values, f"{operation} <> 'delete'")
    if removed:
        merger = merger.when_not_matched_by_source_delete(removed)
    merger.execute()


def condition(layout: Layout, source: pa.Table, key: Sequence[str], *, is_anywhere: bool) -> str:
    """Which row of the table `t` is which of the changes `s`.

    Constants, which follow from the keys, let deltalake leave files out: it does not see what a join will find.

    Args:
        layout: How the table is partitioned.
        source: The changes.
        key: The columns of the key.
        is_anywhere: Whether rows may be removed anywhere, so that all files are read.
    """
    equal = [f"t.{ticked(name)} = s.{ticked(name)}" for name in key]
    if not is_anywhere:
        equal += one_of({name: pc.unique(source[name]).to_pylist() for name in layout.known_by(key)}, "t.")
        exact = [name for name in key if source[name].type in _EXACT]
        equal += between({name: tuple(pc.min_max(source[name]).as_py().values()) for name in exact}, "t.")
    return " AND ".join(equal)


def ticked(name: str) -> str:
    """The name of a column in a merge."""
    return f"`{name}`"
