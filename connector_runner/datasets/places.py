"""How the ledger stores streams that share one reader: the reader's position once, and each stream's own place beside it. Pure.

A connector of one stream has one row with its whole position. A selection (`spec.streams`) has an *anchor* row with the fence and
the reader's position, and one row for each stream with only its place, as `{"place": …}`. So each row shows which kind it is, and
a runner of an earlier version, which does not know places, refuses to start from it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from connector_runner.datasets.fencing import Holder, decode_position, encode_position
from connector_runner.protocols.batch import Position, whole_position
from connector_runner.protocols.sink import StoredCheckpoint
from connector_runner.protocols.source import Checkpoint

# Stream and table in the anchor's key; no stream of a source and no table has such a name.
ANCHOR = ("*", "")
UNPLACED = '{"place":null}'
_PREFIX = '{"place":'


def encode_place(place: Position | None) -> str:
    """The place as stored in a stream's row; None if nothing was committed for it yet."""
    return UNPLACED if place is None else f"{_PREFIX}{encode_position(place)}}}"


def is_apart(holder: Holder) -> bool:
    """Whether the row holds a place, which has no meaning without the anchor."""
    return holder.position is not None and holder.position.startswith(_PREFIX)


def place_in(holder: Holder) -> Position | None:
    """The place in a row; for a row of an independent stream, its whole position."""
    if holder.position is None:
        return None
    if not is_apart(holder):
        return decode_position(holder.position)
    place: Position | None = json.loads(holder.position)["place"]
    return place


@dataclass(frozen=True, slots=True)
class Whole:
    """A stream's whole position as the row of a connector of one stream holds it; None if it has none."""

    position: str | None
    identity: str


def whole_of(holder: Holder, anchor: Holder | None) -> Whole:
    """What a row would hold if its stream were the connector's only stream."""
    if not is_apart(holder):
        return Whole(holder.position, holder.identity)
    place = place_in(holder)
    reader = decode_position(anchor.position) if anchor is not None and anchor.position is not None else {}
    position = None if place is None else whole_position(reader, place)
    if not position:
        return Whole(None, "")
    return Whole(encode_position(position), holder.identity or (anchor.identity if anchor is not None else ""))


def moves_with(holder: Holder, anchor: Holder | None) -> bool:
    """Whether the stream's position moves with the reader's, so that each commit of the anchor is one of the stream, too."""
    if anchor is None or anchor.position is None or not is_apart(holder):
        return False
    place = place_in(holder)
    return place is not None and not decode_position(anchor.position).keys() <= place.keys()


def checkpoint_of(holder: Holder, anchor: Holder | None) -> Checkpoint | None:
    """The checkpoint of the row's stream."""
    whole = whole_of(holder, anchor)
    if whole.position is None:
        return None
    return Checkpoint(decode_position(whole.position), whole.identity, holder.schema_version)


def build_stored(row: Sequence[object], anchor_row: Sequence[object] | None) -> StoredCheckpoint:
    """A row of the checkpoint table for people, with the whole position; the anchor's row if the stream is in a selection."""
    *values, updated = row
    holder = Holder(*values)  # type: ignore[arg-type]
    anchor = None if anchor_row is None else Holder(*anchor_row[:-1])  # type: ignore[arg-type]
    if anchor_row is not None and moves_with(holder, anchor):
        updated = anchor_row[-1]
    whole = whole_of(holder, anchor)
    fence = anchor if anchor is not None and is_apart(holder) else holder
    return StoredCheckpoint(
        connector=holder.connector, stream=holder.stream, table=holder.table, epoch=fence.epoch, number=fence.number,
        uid=fence.uid, run=fence.run, identity=whole.identity, schema_version=holder.schema_version,
        position=decode_position(whole.position) if whole.position else None, write_mode=holder.write_mode,
        updated=updated if isinstance(updated, str) else updated.isoformat(),  # type: ignore[attr-defined]
    )  # fmt: skip


class Kept:
    """The contents of the rows beside the anchor, as this runner knows them; a transaction that is sent again is written again."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Position, str, int]] = {}

    def keep(self, stream: str, place: Position, version: str, number: int) -> None:
        """Records what the transaction of this number stores."""
        self._kept[stream] = (place, version, number)

    def forget(self, stream: str) -> None:
        """The row's content is not known any more."""
        self._kept.pop(stream, None)

    def moves(self, stream: str, place: Position, number: int) -> bool:
        """Whether the transaction of this number must store the place."""
        kept = self._kept.get(stream)
        return kept is None or kept[2] >= number or not (kept[0] is place or kept[0] == place)

    def alters(self, stream: str, version: str, number: int) -> bool:
        """Whether the transaction of this number must store the schema's version."""
        kept = self._kept.get(stream)
        return kept is None or kept[2] >= number or kept[1] != version
