"""Which streams a run carries and into which tables, from the selection, the source's streams and the ledger. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.recorded import newest_table
from connector_runner.datasets.table_choice import choose_tables
from connector_runner.protocols.errors import (
    ActionRequiredError,
    InvalidConfigError,
    SchemaConflictError,
    UnknownStreamError,
)
from connector_runner.protocols.sink import StoredStream, StoredStreams
from connector_runner.protocols.source import WriteMode
from connector_runner.schemas.catalogue import Catalogue, StreamInfo
from connector_runner.schemas.kinds.streams import StreamsSpec
from connector_runner.schemas.selection import Resolved, Selection, may_take, parse_selection, resolve

MOST_NAMED = 5
"""Streams that one message names; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the rows of a selection go.

    Attributes:
        template: The Dataset's `table`; "" for the default.
        dialect: How the dataset distinguishes names of tables.
        write_mode: How it stores rows.
        stored: What its ledger knows of the connector.
    """

    template: str
    dialect: Dialect
    write_mode: WriteMode
    stored: StoredStreams


@dataclass(frozen=True, slots=True)
class Choice:
    """What a run carries.

    Attributes:
        tables: Stream → table; those that have a position come first, so they keep a table that another wants too.
        left_out: Stream → why this run does not carry it.
        notes: What a person should know besides.
        record: JSON for the ledger (`SinkContext.selection`).
        spec: The selection that was asked for.
        listed: All streams of the source.
    """

    tables: Mapping[str, str]
    left_out: Mapping[str, str]
    notes: Sequence[str]
    record: str
    spec: StreamsSpec
    listed: Collection[str]

    def change(self, present: Mapping[str, str]) -> dict[str, str]:
        """Stream → table of a running selection after this choice.

        What is carried stays if it is still asked for, even if the source does not list it now or it could not be added any more.

        Args:
            present: What is carried now.
        """
        selection = self.spec.parse()
        kept = {
            stream: self.spec.tables.get(stream) or table
            for stream, table in present.items()
            if stream in self.tables
            or stream in self.left_out
            or (stream not in self.listed and may_take(selection, stream))
        }
        return kept | {stream: table for stream, table in self.tables.items() if stream not in kept}


def read_selection(spec: StreamsSpec) -> Selection:
    """The patterns of a selection.

    Raises:
        InvalidConfigError: Some can't be read.
    """
    try:
        return spec.parse()
    except ValueError as error:
        raise InvalidConfigError(str(error).split("\n")) from None


def exact_names(spec: StreamsSpec) -> tuple[str, ...]:
    """The streams that are included by name; a source looks for them also where it would not list them."""
    patterns = read_selection(spec).include
    return tuple(dict.fromkeys(".".join(pattern.name) for pattern in patterns if pattern.name))


def choose(spec: StreamsSpec, catalogue: Catalogue, target: Target, *, isolates: bool) -> Choice:
    """Chooses the streams of a run.

    Args:
        spec: The selection.
        catalogue: All streams of the source.
        target: Where the rows go.
        isolates: Whether streams that can't be carried are left out; if not, they are refused.

    Raises:
        UnknownStreamError: Nothing is selected.
        SchemaConflictError: Streams meet in one table (when a selection runs for the first time), or all lack a key.
        ActionRequiredError: No stream can be carried, or (without `isolates`) one can't.
    """
    selection = read_selection(spec)
    infos = {stream.id: stream for stream in reversed(catalogue.streams)}
    resolved = resolve(selection, [stream.named for stream in infos.values()][::-1])
    gone = _gone(selection, target.stored, infos)
    if not resolved.streams and not gone:
        raise UnknownStreamError(_explain_nothing(spec, resolved, catalogue))
    known = _Known.of(spec, target.stored)
    taken = [infos[stream.id] for stream in resolved.streams if known.has(infos[stream.id])]
    later = [stream.id for stream in resolved.streams if stream.id not in {info.id for info in taken}]
    if not taken and not gone:
        raise UnknownStreamError(
            f"spec.streams: {_names(later)} match, but were made after the connector first ran and added is ignore; set it to "
            "follow, or name them in include"
        )
    problems = {stream.id: problem for stream in taken if (problem := _obstacle(stream, target.write_mode))}
    kept = _kept_tables(target.stored)
    chosen = choose_tables(
        [stream for stream in taken if stream.id not in problems], target.template, spec.tables, kept, target.dialect,
        append=target.write_mode is WriteMode.APPEND,
    )  # fmt: skip
    is_later = isolates and any(stream.is_member for stream in target.stored.streams)
    if chosen.meetings and not is_later:
        raise SchemaConflictError(
            f"{_few(list(chosen.meetings.values()))}; give one of them another table: by spec.streams.tables, or by dataset.table with more "
            "words of the stream in it; nothing was written"
        )
    problems |= {**chosen.problems, **chosen.meetings}
    _require_some(problems, chosen.tables, taken, isolates=isolates)
    tables = {stream: table for stream, table in chosen.tables.items() if stream in kept} | gone | dict(chosen.tables)
    notes = list(_notes(spec, resolved, later, tables, target.stored, infos))
    return Choice(
        tables, problems, notes, known.record(spec, [stream.id for stream in taken], infos), spec, infos.keys()
    )


def _gone(selection: Selection, stored: StoredStreams, infos: Mapping[str, StreamInfo]) -> dict[str, str]:
    """Stream → table of what was carried when the connector ran last, is still selected, and is not in the source any more.

    It is opened like the others: the source may still have changes from before it went, and says by name that it is not there.
    """
    excluded = Selection(selection.exclude)
    return {
        stream.stream: stream.table
        for stream in stored.streams
        if stream.is_member and stream.has_position and stream.stream not in infos
        and may_take(selection, stream.stream) and not may_take(excluded, stream.stream)
    }  # fmt: skip


def _obstacle(stream: StreamInfo, mode: WriteMode) -> str:
    if stream.obstacle:
        return stream.obstacle
    if mode is WriteMode.UPSERT and not stream.key:
        return "it has no key, so its rows can't be stored by key; set writeMode: append on the Dataset"
    return ""


def _kept_tables(stored: StoredStreams) -> dict[str, str]:
    """The table that each stream has, as far as the ledger knows one with a position."""
    by_stream: dict[str, list[StoredStream]] = {}
    for stream in stored.streams:
        by_stream.setdefault(stream.stream, []).append(stream)
    found = {stream: newest_table(rows) for stream, rows in by_stream.items()}
    return {stream: table for stream, table in found.items() if table}


@dataclass(frozen=True, slots=True)
class _Known:
    """The streams that were there when the selection began, for `added: ignore`; None where all count.

    Attributes:
        streams: Their ids.
        before: The selection with which they were found.
        new: What the present selection includes that the earlier one did not.
    """

    streams: frozenset[str] | None
    before: Selection
    new: Selection

    @classmethod
    def of(cls, spec: StreamsSpec, stored: StoredStreams) -> _Known:
        """Reads it from the ledger."""
        recorded = json.loads(stored.selection) if stored.selection else None
        if spec.added != "ignore" or recorded is None:
            return cls(None, Selection(()), Selection(()))
        include, exclude = tuple(recorded["include"]), tuple(recorded["exclude"])
        members = {stream.stream for stream in stored.streams if stream.is_member}
        new = tuple(pattern for pattern in spec.include if pattern not in include)
        return cls(
            frozenset(members | set(recorded["streams"])),
            parse_selection(include, exclude),
            parse_selection(new, spec.exclude),
        )

    def has(self, stream: StreamInfo) -> bool:
        """Whether the stream counts: it was there, or only a change of the selection takes it in."""
        if self.streams is None or stream.id in self.streams:
            return True
        return self.new.takes(stream.named) or not self.before.takes(stream.named)

    def record(self, spec: StreamsSpec, taken: Iterable[str], present: Mapping[str, StreamInfo]) -> str:
        """What the next run must know; streams that the source does not show now still count."""
        away = [stream for stream in self.streams or () if stream not in present]
        document = {"include": spec.include, "exclude": spec.exclude, "streams": sorted({*taken, *away})}
        return json.dumps(document, separators=(",", ":"))


def _require_some(
    problems: Mapping[str, str], tables: Mapping[str, str], taken: Sequence[StreamInfo], *, isolates: bool
) -> None:
    if not problems or (isolates and tables):
        return
    obstacles = {stream.id for stream in taken if stream.obstacle}
    reason = "Preflight" if problems.keys() <= obstacles else "SchemaConflict"
    said = _few([f"{stream}: {problem}" for stream, problem in problems.items()])
    cure = "" if isolates else "; exclude them, or set onStreamFailure: isolate to carry the others"
    raise ActionRequiredError(f"spec.streams: {said}{cure}", reason=reason)


def _explain_nothing(spec: StreamsSpec, resolved: Resolved, catalogue: Catalogue) -> str:
    near = list(dict.fromkeys(name for names in resolved.idle.values() for name in names))[:MOST_NAMED]
    names = near or [stream.id for stream in catalogue.streams[:MOST_NAMED]]
    hint = f"did you mean {', '.join(names)}?" if near else f"it has {', '.join(names) or 'no stream'}"
    if resolved.left_aside:
        first = resolved.left_aside[0]
        hint = f"{first.id} ({first.aside}) is selected only by its exact name"
    elif len(resolved.idle) < len(spec.include):
        hint = "what include takes in, exclude leaves out"
    include = ", ".join(spec.include)
    return f"spec.streams: nothing that the source has ({catalogue.total} streams) is selected by {include}; {hint}"


def _notes(
    spec: StreamsSpec, resolved: Resolved, later: Sequence[str], tables: Mapping[str, str], stored: StoredStreams,
    infos: Mapping[str, StreamInfo],
) -> Iterable[str]:  # fmt: skip
    for pattern, near in resolved.idle.items():
        yield f"spec.streams: nothing matches {pattern}" + (f"; did you mean {', '.join(near)}?" if near else "")
    if resolved.left_aside:
        said = _few([f"{stream.id} ({stream.aside})" for stream in resolved.left_aside])
        yield f"left aside, because only their exact names select them: {said}"
    if later:
        yield f"ignored, because they were made later and added is ignore: {_names(later)}"
    if unused := [stream for stream in spec.tables if stream not in tables]:
        yield f"spec.streams.tables names streams that are not carried: {_names(unused)}"
    if away := [stream for stream in tables if stream not in infos]:
        yield (
            f"the source does not have any more what was carried before: {_names(away)}; what is left of its changes is read, then "
            "it is paused; exclude it to end this"
        )
    members = [stream.stream for stream in stored.streams if stream.is_member and stream.stream not in tables]
    if gone := [stream for stream in members if stream not in infos]:
        yield f"the source does not have any more what was carried before: {_names(gone)}; their rows and positions stay"
    if let_go := [stream for stream in members if stream in infos]:
        yield f"not selected any more; their rows and positions stay: {_names(let_go)}"


def _names(streams: Sequence[str]) -> str:
    return _few(streams, ", ")


def _few(texts: Sequence[str], between: str = "; ") -> str:
    more = len(texts) - MOST_NAMED
    return between.join(texts[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
