"""Which table each stream of a selection goes into, and which streams can have none. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.names import TableNames
from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.schemas.catalogue import StreamInfo
from connector_runner.schemas.selection import Named, assign_tables, parse_template

DEFAULT_TEMPLATE = "{stream}"
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_ANOTHER = "name another table for it in spec.streams.tables"


@dataclass(frozen=True, slots=True)
class TableChoice:
    """The tables of a selection.

    Attributes:
        tables: Stream → its table, for streams that have one of their own (in append mode, one that they may share).
        problems: Stream → why it can have none, in a sentence.
        meetings: Stream → with which other it meets in a table that neither has filled yet, in a sentence.
    """

    tables: Mapping[str, str]
    problems: Mapping[str, str]
    meetings: Mapping[str, str]


def choose_tables(
    streams: Sequence[StreamInfo], template: str, named: Mapping[str, str], kept: Mapping[str, str], dialect: Dialect,
    *, append: bool,
) -> TableChoice:  # fmt: skip
    """Chooses a table for each stream: the one that was named for it, else the one that it has, else that of the template.

    Args:
        streams: The selected streams.
        template: The Dataset's `table`; "" for the default.
        named: Tables by stream, as the selection names them.
        kept: Tables by stream, as the ledger has them.
        dialect: How the dataset distinguishes names.
        append: Whether streams of equal columns may share a table.

    Raises:
        InvalidConfigError: The template can't be read, or uses a word that the streams do not have.
    """
    wanted, problems = _want(streams, template, named, kept, dialect)
    parsed: dict[str, TableNames] = {}
    for stream, text in wanted.items():
        try:
            parsed[stream] = dialect.parse_table(text)
        except InvalidConfigError as error:
            problems[stream] = f"{'; '.join(error.problems)}; {_ANOTHER}"
    columns = {stream.id: stream.columns for stream in streams}
    holders = [stream for stream in parsed if kept.get(stream) == wanted[stream]]
    taken: dict[str, str] = {}
    meetings: dict[str, str] = {}
    tables: dict[str, str] = {}
    for stream in [*holders, *(stream for stream in parsed if stream not in set(holders))]:
        names = names_beside(parsed[stream], dialect)
        other = next((taken[name] for name in names if name in taken), None)
        if other is None or (append and names[0] in taken and columns[taken[names[0]]] == columns[stream]):
            tables[stream] = wanted[stream]
            taken |= {name: stream for name in names if name not in taken}
            continue
        problem = _meeting(stream, other, parsed, columns, append=append)
        if other in holders:
            problems[stream] = f"{problem}; {_ANOTHER}"
        else:
            meetings[stream] = problem
    return TableChoice({stream.id: tables[stream.id] for stream in streams if stream.id in tables}, problems, meetings)


def _want(
    streams: Sequence[StreamInfo], template: str, named: Mapping[str, str], kept: Mapping[str, str], dialect: Dialect
) -> tuple[dict[str, str], dict[str, str]]:
    """The name of each stream's table, and why some have none."""
    problems: dict[str, str] = {}
    try:
        fill = parse_template(strip_quotes(template or DEFAULT_TEMPLATE))
        own = {**kept, **{stream: table for stream, table in named.items() if table}}
        tables = assign_tables([stream.named for stream in streams], fill, own).names
        for stream in streams if dialect.has_schemas else ():
            if stream.id in own:
                continue
            parts = {word: value.replace(".", "") for word, value in stream.named.parts.items()}
            plain = fill(Named(stream.id, parts))
            if plain.count(".") != tables[stream.id].count("."):
                problems[stream.id] = (
                    f"dataset.table: {tables[stream.id]!r} would name a schema, because the stream's own name has a dot; {_ANOTHER}"
                )
    except ValueError as error:
        raise InvalidConfigError([f"dataset.table: {error}"], reason="InvalidDataset") from None
    return {stream: table for stream, table in tables.items() if stream not in problems}, problems


def strip_quotes(template: str) -> str:
    """A template without the quotes around its parts: all names are quoted anyway."""
    return _QUOTED.sub(lambda found: found[1].replace('""', '"'), template)


def names_beside(names: TableNames, dialect: Dialect) -> tuple[str, ...]:
    """The table and the tables beside it, as the database distinguishes them."""
    return tuple(
        f"{names.schema}\0{dialect.table_key(TableNames(names.schema, f'{names.table}{suffix}'))}"
        for suffix in ("", "_dead_letters", "_incidents")
    )


def _meeting(
    stream: str, other: str, parsed: Mapping[str, TableNames], columns: Mapping[str, object], *, append: bool
) -> str:
    mine, theirs = parsed[stream].text, parsed[other].text
    if mine.lower() != theirs.lower():
        how = f"with the tables {theirs} and {mine}: each has its _dead_letters and _incidents beside it"
    elif append and columns[stream] != columns[other]:
        how = f"in table {mine}, but their columns differ"
    else:
        how = f"in table {mine}" + ("" if mine == theirs else f" ({theirs} is the same to the dataset)")
    return f"streams {other} and {stream} meet {how}"
