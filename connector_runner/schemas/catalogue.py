"""The result of a discovery and its transport: one tagged line in a pod's log, verified by the termination message.

A pod's log mixes outputs and may be cut in the middle of a line; the termination message holds only 4,096 bytes. So the line
carries the catalogue, and the message carries its length and hash.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated

import msgspec

from connector_runner.schemas.kinds.declare import described
from connector_runner.schemas.kinds.streams import StreamsSpec
from connector_runner.schemas.selection import Named, resolve

# Keeps status small: 500 streams are about 36 kB of JSON.
MAX_STREAMS = 500
# Patterns, streams and sentences that the summary of one selection has of each.
MAX_LISTED = 20
LINE_TAG = "connector-catalogue:"


class ColumnInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One column in a catalogue: its name, its logical type as text, and whether it may be null."""

    name: str
    type: str
    nullable: bool = True


class StreamInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One stream of a source.

    Attributes:
        id: The value for `selectedStream`.
        key: Columns that identify a row; if empty, only append mode is possible.
        modes: The modes that this source supports for it, e.g. `live`, `LOG_BASED`, `FULL_TABLE`.
        unavailable: Why other modes are not possible, by mode, with the remedy.
        columns: The columns in row order; empty if a cheap listing does not know them.
        rows: Estimated number of rows, if the source knows it.
        description: One sentence.
        parts: What its name consists of, outermost first, by the words that patterns and templates of tables use
            (`database`, `name`); {} if that is its id alone.
        aside: Why only its exact name selects it (a shadow table of a tool); "" for all others.
        obstacle: Why this configuration can't read it, with the remedy; "" if it can.
    """

    id: str
    key: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    unavailable: dict[str, str] = {}
    columns: tuple[ColumnInfo, ...] = ()
    rows: int | None = None
    description: str = ""
    parts: dict[str, str] = {}
    aside: str = ""
    obstacle: str = ""

    @property
    def named(self) -> Named:
        """The stream as selections see it."""
        return Named(self.id, self.parts or {"name": self.id}, self.aside)


class Catalogue(msgspec.Struct, frozen=True):
    """The streams a configuration can have.

    Attributes:
        streams: The streams in the source's order, possibly capped.
        total: The number of all streams.
        identity: The source's identity (see `Opened.identity`); "" if it is not known before opening.
        notes: Sentences for users (a missing privilege that only some streams need).
    """

    streams: tuple[StreamInfo, ...]
    total: int
    identity: str = ""
    notes: tuple[str, ...] = ()


class StreamSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """One stream.

    As the Connector's status shows it: like `StreamInfo`, with the number of columns instead of the columns.
    """

    id: Annotated[str, described("What selectedStream takes.")]
    key: Annotated[
        tuple[Annotated[str, described("A column.")], ...],
        described("The columns that identify a row; none: append mode only."),
    ] = ()
    modes: Annotated[
        tuple[Annotated[str, described("A mode.")], ...], described("What the source can do with the stream.")
    ] = ()
    columns: Annotated[int, described("How many columns it has, where that is known.")] = 0


class ListedStream(StreamSummary, frozen=True, omit_defaults=True):
    """One stream for a person who looks for it: what the status has not the room for.

    Attributes:
        unavailable: Why other modes are not possible, by mode.
        obstacle: Why this configuration can't read it; "" if it can.
        aside: Why only its exact name selects it; "" for all others.
    """

    unavailable: dict[str, str] = {}
    obstacle: str = ""
    aside: str = ""


class SelectionSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a selection of many streams takes of a source, without naming all of it."""

    key: Annotated[str, described("What stands for the selection: a hash of its patterns.")] = ""
    matched: Annotated[int, described("How many streams it takes.")] = 0
    idle: Annotated[
        dict[str, tuple[str, ...]],
        described("Patterns that nothing in the source matches, each with the nearest names; at most 20."),
    ] = {}
    aside: Annotated[
        tuple[Annotated[str, described("A stream.")], ...],
        described("Streams that a pattern matches but that only their exact name selects (shadow tables); at most 20."),
    ] = ()
    problems: Annotated[
        tuple[Annotated[str, described("A sentence.")], ...], described("What is wrong with it at this source.")
    ] = ()


class CatalogueSummary(msgspec.Struct, frozen=True):
    """The content of the discovery line: a capped list that always includes the selected streams.

    Attributes:
        missing: Selected streams of other connectors that the source does not have.
        selections: What each of the manifest's `selections` takes, in their order.
    """

    streams: tuple[StreamSummary, ...]
    total: int
    identity: str = ""
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    selections: tuple[SelectionSummary, ...] = ()


class CatalogueProof(msgspec.Struct, frozen=True):
    """The termination message of a successful discovery, which the tagged line must match (sha256 in hexadecimal)."""

    total: int
    bytes: int
    sha256: str


class StreamsEnd(msgspec.Struct, frozen=True):
    """The last line of `discover -o lines`: how many came before it, and how many the source has."""

    listed: int
    total: int


def list_lines(catalogue: Catalogue) -> Iterator[str]:
    """All streams of a catalogue, each as a line of JSON, and how many they are."""
    for one in catalogue.streams:
        about = (one.id, one.key, one.modes, len(one.columns), one.unavailable, one.obstacle, one.aside)
        yield msgspec.json.encode(ListedStream(*about)).decode()
    yield msgspec.json.encode(StreamsEnd(len(catalogue.streams), catalogue.total)).decode()


def read_listed(line: str | bytes) -> ListedStream | StreamsEnd | None:
    """What a line of such a list says; None for what the runner logs meanwhile."""
    text = line if isinstance(line, bytes) else line.encode()
    try:
        if text.startswith(b'{"id":'):
            return msgspec.json.decode(text, type=ListedStream)
        if text.startswith(b'{"listed":'):
            return msgspec.json.decode(text, type=StreamsEnd)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return None


def read_lines(log: Iterable[str]) -> tuple[ListedStream, ...] | None:
    """The streams among the lines of a log; None if not all are there, or none were listed in this form."""
    found: list[ListedStream] = []
    for line in log:
        said = read_listed(line)
        if isinstance(said, ListedStream):
            found.append(said)
        elif said is not None:
            return tuple(found) if said.listed == len(found) else None
    return None


def with_unique_streams(summary: CatalogueSummary) -> CatalogueSummary:
    """The same with only the first of each id, and a note about duplicates: users select a stream by its id."""
    first = {stream.id: stream for stream in reversed(summary.streams)}
    if len(first) == len(summary.streams):
        return summary
    counts = Counter(stream.id for stream in summary.streams)
    twice = ", ".join(f"{name!r} ({count} times)" for name, count in counts.items() if count > 1)
    note = f"The source lists streams more than once under one name; the first of each counts: {twice}."
    unique = tuple(stream for stream in summary.streams if first[stream.id] is stream)
    total = max(len(unique), summary.total - len(summary.streams) + len(unique))
    return msgspec.structs.replace(summary, streams=unique, total=total, notes=(*summary.notes, note))


def summarise(
    catalogue: Catalogue,
    selected: str | None,
    also: Collection[str] = (),
    limit: int = MAX_STREAMS,
    *,
    selections: Sequence[StreamsSpec] = (),
) -> CatalogueSummary:
    """Caps a catalogue to `limit` streams in order; selected streams that would be cut off replace the last ones.

    Args:
        catalogue: The source's streams.
        selected: The selected stream; it has precedence over those that others have selected.
        also: The streams that others have selected.
        limit: The largest number of streams in the list.
        selections: The selections that are answered, each by what it takes of the whole catalogue.
    """
    places = {stream.id: place for place, stream in reversed(list(enumerate(catalogue.streams)))}
    wanted = dict.fromkeys([*([] if selected is None else [selected]), *also])
    chosen = set([place for name in wanted if (place := places.get(name)) is not None][:limit])
    first = (place for place in range(len(catalogue.streams)) if place not in chosen)
    chosen |= set(islice(first, limit - len(chosen)))
    short = tuple(
        StreamSummary(s.id, s.key, s.modes, len(s.columns)) for s in (catalogue.streams[i] for i in sorted(chosen))
    )
    missing = tuple(name for name in also if name not in places)
    return with_unique_streams(
        CatalogueSummary(
            short,
            max(catalogue.total, len(short)),
            catalogue.identity,
            catalogue.notes,
            missing,
            summarise_selections(catalogue, selections),
        )
    )


def summarise_selections(catalogue: Catalogue, selections: Sequence[StreamsSpec]) -> tuple[SelectionSummary, ...]:
    """What each selection takes; a stream that has another's id counts once."""
    known = [stream.named for stream in {stream.id: stream for stream in reversed(catalogue.streams)}.values()][::-1]
    obstacles = {stream.id: stream.obstacle for stream in reversed(catalogue.streams) if stream.obstacle}
    return tuple(_summarise_selection(spec, known, obstacles) for spec in selections)


def _summarise_selection(spec: StreamsSpec, known: Sequence[Named], obstacles: Mapping[str, str]) -> SelectionSummary:
    try:
        resolved = resolve(spec.parse(), known)
    except ValueError as error:
        return SelectionSummary(key=spec.key, problems=tuple(str(error).split("\n"))[:MAX_LISTED])
    blocked = [f"{stream.id}: {obstacles[stream.id]}" for stream in resolved.streams if stream.id in obstacles]
    return SelectionSummary(
        key=spec.key,
        matched=len(resolved.streams),
        idle=dict(islice(resolved.idle.items(), MAX_LISTED)),
        aside=tuple(stream.id for stream in resolved.left_aside[:MAX_LISTED]),
        problems=tuple(blocked[:MAX_LISTED]),
    )


def encode_line(summary: CatalogueSummary) -> tuple[str, str]:
    """The tagged log line (without newline) and the termination message that verifies it."""
    payload = msgspec.json.encode(summary)
    proof = CatalogueProof(summary.total, len(payload), hashlib.sha256(payload).hexdigest())
    return f"{LINE_TAG} {payload.decode()}", msgspec.json.encode(proof).decode()


def parse_line(log: str, termination_message: str) -> CatalogueSummary | None:
    """Finds the catalogue in a pod's log; None if no line matches the proof (cut or mixed up: read it again)."""
    try:
        proof = msgspec.json.decode(termination_message, type=CatalogueProof)
    except msgspec.MsgspecError:
        return None
    for line in log.split("\n"):  # not splitlines: a name may contain U+2028
        _, tag, text = line.partition(f"{LINE_TAG} ")
        payload = text.encode()
        if tag and len(payload) == proof.bytes and hashlib.sha256(payload).hexdigest() == proof.sha256:
            return msgspec.json.decode(payload, type=CatalogueSummary)
    return None
