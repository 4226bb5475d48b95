"""What a claim and the first batch would find in a dataset, by reading alone. Pure.

The checks are those of a run: the same functions decide (`fit_table`, `require_alone`), only nothing is made, altered or held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from connector_runner.datasets.fencing import Holder, find_taken, require_alone
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.ledger_schemas import bare, read_all_owners
from connector_runner.datasets.ledger_statements import LedgerStatements
from connector_runner.datasets.names import check_column_names, require_key
from connector_runner.datasets.procedure import Procedure, Statement
from connector_runner.datasets.row_dialect import RowDialect
from connector_runner.datasets.schema_evolution import Alteration, fit_table
from connector_runner.datasets.stream_ledger import StreamLedger
from connector_runner.protocols.check import Check, Part, Result, failed, ok, unknown
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import SinkContext

DATASET = Part.DATASET


@dataclass(frozen=True, slots=True)
class Fit:
    """What would be done to the table of a stream.

    Attributes:
        check: Whether it fits.
        is_new: Whether it does not exist.
        alteration: What would be altered.
    """

    check: Check
    is_new: bool = False
    alteration: Alteration = field(default_factory=Alteration)


FitOne = Callable[[StreamLedger, StreamSchema, bool], Procedure[Fit]]
"""The ledger of a stream, its schema, whether a connector has filled the table → what would be done; raises `ActionRequiredError`."""
ReadRights = Callable[[Ledger, Mapping[str, Fit]], Procedure[Sequence[Check]]]
"""The ledger, what would be done to the tables by stream → the answers to `rights`."""


def examine(
    ledger: Ledger, context: SinkContext, schemas: Mapping[str, StreamSchema], fit: FitOne, read_rights: ReadRights
) -> Procedure[list[Check]]:
    """All answers of a dataset with a ledger.

    Args:
        ledger: Located; nothing of it needs to exist.
        context: Of who would run.
        schemas: See `Examiner.examine`.
        fit: Looks at the table of one stream.
        read_rights: Looks at what this user may do.
    """
    owners = yield from _read_owners(ledger)
    checks = [failed(DATASET, "table", error, stream) for stream, error in ledger.failures.items()]
    fits: dict[str, Fit] = {}
    for stream in ledger.streams.values():
        holders = _holders_of(ledger, stream, owners)
        checks.append(_check_owner(ledger, context, stream, holders))
        schema = schemas.get(stream.stream) or (
            next(iter(schemas.values())) if len(schemas) == len(ledger.streams) == 1 else None
        )
        if schema is None:
            text = f"whether table {stream.names.text} fits can't be said before the source reports the columns of the stream"
            fits[stream.stream] = Fit(unknown(DATASET, "table", text, stream.stream))
            continue
        fits[stream.stream] = yield from _fit(stream, schema, fit, any(holder.schema_version for holder in holders))
    shared = list(_check_shared(ledger, schemas))
    return [*(yield from read_rights(ledger, fits)), *checks, *(one.check for one in fits.values()), *shared]


def _read_owners(ledger: Ledger) -> Procedure[Mapping[tuple[str, str], list[Holder]]]:
    """All that fill the tables, from the checkpoint tables that exist."""
    present: dict[str, LedgerStatements] = {}
    for schema, sql in {ledger.home.schema: ledger.sql, **ledger.foreign}.items():
        found = (yield Statement(ledger.dialect.find, [replace(ledger.home, schema=schema).checkpoints])).rows
        present |= {schema: sql} if found else {}
    return (yield from read_all_owners(ledger, present))


def _holders_of(
    ledger: Ledger, stream: StreamLedger, owners: Mapping[tuple[str, str], list[Holder]]
) -> Sequence[Holder]:
    found = list(owners.get((ledger.home.schema, stream.key[2]), ()))
    if stream.names.schema in ledger.foreign:
        found += owners.get((stream.names.schema, bare(ledger, stream)), ())
    return found


def _check_owner(ledger: Ledger, context: SinkContext, stream: StreamLedger, holders: Sequence[Holder]) -> Check:
    """Whether this connector may fill the table."""
    name, table = stream.stream, stream.names.text
    try:
        taken = find_taken(holders, context.take_over, *stream.owner, append=ledger.append)
        others = [holder for holder in holders if taken is None or holder is not taken.holder]
        require_alone(others, *stream.owner, table, context.take_over, append=ledger.append)
    except ActionRequiredError as error:
        return failed(DATASET, "owner", error, name)
    if taken is not None:
        how = "at its position" if taken.keeps_position else "from the beginning; the rows stay"
        text = f"table {table} is taken over from connector {taken.holder.connector}, as spec.takeOver says, and continued {how}"
        return ok(DATASET, "owner", text, name)
    own = next((holder for holder in holders if (holder.connector, holder.stream) == stream.owner), None)
    if own is not None and not own.is_reset:
        return ok(DATASET, "owner", f"table {table} belongs to this connector (epoch {own.epoch})", name)
    beside = sorted({holder.connector for holder in others if not holder.is_reset})
    more = f"; beside {', '.join(beside)} (writeMode append)" if beside else ""
    return ok(
        DATASET,
        "owner",
        f"no other connector fills table {table}{more}" if not more else f"table {table} is shared{more}",
        name,
    )


def _fit(stream: StreamLedger, schema: StreamSchema, fit: FitOne, own: bool) -> Procedure[Fit]:
    try:
        return (yield from fit(stream, schema, own))
    except ActionRequiredError as error:
        return Fit(failed(DATASET, "table", error, stream.stream))


def fit_rows(rows: RowDialect, *, append: bool) -> FitOne:
    """Looks at tables of a database (see `row_dialect.ensure_table`)."""

    def fit(stream: StreamLedger, schema: StreamSchema, own: bool) -> Procedure[Fit]:
        names, longest = stream.names, rows.dialect.longest_name
        require_fitting_columns(
            schema, append=append, is_case_sensitive=rows.dialect.is_case_sensitive, longest=longest
        )
        types = rows.column_types(schema, append=append)
        found = yield from rows.read(names, types)
        if found is None:
            return Fit(ok(DATASET, "table", f"table {names.text} does not exist and will be made", stream.stream), True)
        alteration = fit_table(schema, found, types, table=names.text, own=own, widens=rows.widens, append=append)
        changes = [f"column {name} will be added" for name in alteration.added]
        changes += [f"column {name} will be widened to {types[name]}" for name in alteration.widened]
        text = "; ".join([f"table {names.text} fits", *changes])
        return Fit(ok(DATASET, "table", text, stream.stream), False, alteration)

    return fit


def require_fitting_columns(
    schema: StreamSchema, *, append: bool, is_case_sensitive: bool = True, longest: int | None = None
) -> None:
    """Checks what a run checks before it looks at the table.

    Raises:
        SchemaConflictError: There is no key (upsert mode), or the names of columns can't be used.
    """
    if not append:
        require_key(schema)
    check_column_names(schema, append=append, case_sensitive=is_case_sensitive)
    if longest and (long := [name for name in schema.names if len(name.encode()) > longest]):
        raise ActionRequiredError(f"column names over {longest} bytes: {', '.join(long)}", reason="SchemaConflict")


def _check_shared(ledger: Ledger, schemas: Mapping[str, StreamSchema]) -> Iterator[Check]:
    """Streams that share a table must have the same columns (append mode)."""
    first: dict[str, tuple[str, str]] = {}
    for stream in ledger.streams.values():
        if (schema := schemas.get(stream.stream)) is None:
            continue
        other, version = first.setdefault(stream.names.text, (stream.stream, schema.version))
        if version != schema.version:
            text = (
                f"streams {other} and {stream.stream} share table {stream.names.text}, but their schemas differ; give one of them "
                "another table"
            )
            yield Check(DATASET, "table", Result.FAILED, text, "SchemaConflict", stream.stream)
