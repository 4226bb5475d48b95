"""What a discovery answers, and how it travels: one tagged line in a pod's log, proven whole by the termination message.

A pod's log mixes outputs and may be cut in mid-line; the termination message holds only 4,096 bytes. So the line carries
the catalogue and the message its length and hash.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection
from itertools import islice
from typing import Annotated

import msgspec

from connector_runner.schemas.kinds.declare import described

# Where status stays small: 500 streams are about 36 kB of JSON.
MAX_STREAMS = 500
LINE_TAG = "connector-catalogue:"


class ColumnInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One column as a catalogue shows it: its name, logical type as text, and whether it may be null."""

    name: str
    type: str
    nullable: bool = True


class StreamInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One stream of a source.

    Attributes:
        id: What `selectedStream` takes.
        key: Columns that identify a row; empty: append mode only.
        modes: What this source can do with it, e.g. `live`, `LOG_BASED`, `FULL_TABLE`.
        unavailable: Why other modes are not possible, by mode, with the cure.
        columns: In row order; empty where a cheap listing does not know them.
        rows: Estimated number of rows, where the source knows.
        description: One sentence.
    """

    id: str
    key: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    unavailable: dict[str, str] = {}
    columns: tuple[ColumnInfo, ...] = ()
    rows: int | None = None
    description: str = ""


class Catalogue(msgspec.Struct, frozen=True):
    """The streams a configuration can have.

    Attributes:
        streams: In the source's order, possibly capped.
        total: How many there are in all.
        identity: Of the source (see `Opened.identity`), "" where it is not known before opening.
        notes: Sentences a person should read (a missing right that only some streams need).
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


class CatalogueSummary(msgspec.Struct, frozen=True):
    """What the discovery line carries: capped, the selected streams always among them.

    Attributes:
        missing: Selected streams of other connectors that the source does not have.
    """

    streams: tuple[StreamSummary, ...]
    total: int
    identity: str = ""
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class CatalogueProof(msgspec.Struct, frozen=True):
    """The termination message of a discovery that succeeded: what the tagged line must match (sha256 in hexadecimal)."""

    total: int
    bytes: int
    sha256: str


def with_unique_streams(summary: CatalogueSummary) -> CatalogueSummary:
    """The same with the first of each id, and a note for those that came more than once: an id is what a person selects by."""
    first = {stream.id: stream for stream in reversed(summary.streams)}
    if len(first) == len(summary.streams):
        return summary
    counts = Counter(stream.id for stream in summary.streams)
    twice = ", ".join(f"{name!r} ({count} times)" for name, count in counts.items() if count > 1)
    note = f"The source lists streams more than once under one name; the first of each counts: {twice}."
    unique = tuple(stream for stream in summary.streams if first[stream.id] is stream)
    total = max(len(unique), summary.total - len(summary.streams) + len(unique))
    return CatalogueSummary(unique, total, summary.identity, (*summary.notes, note), summary.missing)


def summarise(
    catalogue: Catalogue, selected: str | None, also: Collection[str] = (), limit: int = MAX_STREAMS
) -> CatalogueSummary:
    """Caps a catalogue to `limit` streams in order; those selected, if they exist, take the last places when they would be cut off.

    Args:
        catalogue: What the source has.
        selected: The selected stream; it comes before those that others have selected.
        also: Those.
        limit: The most that are listed.
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
        CatalogueSummary(short, max(catalogue.total, len(short)), catalogue.identity, catalogue.notes, missing)
    )


def encode_line(summary: CatalogueSummary) -> tuple[str, str]:
    """The tagged log line (without newline) and the termination message that proves it."""
    payload = msgspec.json.encode(summary)
    proof = CatalogueProof(summary.total, len(payload), hashlib.sha256(payload).hexdigest())
    return f"{LINE_TAG} {payload.decode()}", msgspec.json.encode(proof).decode()


def parse_line(log: str, termination_message: str) -> CatalogueSummary | None:
    """Finds the catalogue in a pod's log; None when no line in it matches the proof (cut, mixed up: read again)."""
    try:
        proof = msgspec.json.decode(termination_message, type=CatalogueProof)
    except msgspec.MsgspecError:
        return None
    for line in log.split("\n"):  # not splitlines: a name may hold U+2028
        _, tag, text = line.partition(f"{LINE_TAG} ")
        payload = text.encode()
        if tag and len(payload) == proof.bytes and hashlib.sha256(payload).hexdigest() == proof.sha256:
            return msgspec.json.decode(payload, type=CatalogueSummary)
    return None
