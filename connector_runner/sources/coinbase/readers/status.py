"""`status`: the exchange sends the full state each time (about 740 kB every few seconds); the rows are what has changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from connector_runner.protocols.batch import Operation, Position
from connector_runner.sources.coinbase.decode.decoder import UNREADABLE, MalformedError, build, read_fields, reason_of
from connector_runner.sources.coinbase.decode.messages import Item, Status
from connector_runner.sources.coinbase.position import position_of
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.readers.reader import Reader
from connector_runner.sources.coinbase.streams import StreamSpec

BESIDE = ("message", "")
KINDS = frozenset({"product", "currency", "message"})


class StatusReader(Reader):
    """The first message replaces the whole table; each later one is compared with the one before.

    What a message contains besides products and currencies is an item of its own, of the kind `message`. A list that is missing, or is
    none, says nothing about its kind: its rows are kept, and the first list that comes replaces them.
    """

    def __init__(self, spec: StreamSpec, position: Position | None) -> None:
        super().__init__(spec, position)
        self._known: dict[tuple[str, str], int] = {}
        self._begun: frozenset[str] = frozenset()

    def message(self, message: Struct, builder: BatchBuilder, now: float) -> None:
        """Upserts of what is new or changed, deletions of what is gone."""
        if not isinstance(message, Status):
            return
        if not message.products and not message.currencies:
            raise MalformedError("a status without products and currencies")
        found: dict[tuple[str, str], bytes] = {} if message.extra is None else {BESIDE: message.extra.encode()}
        whole, present = {"message"}, {"message"}
        for kind, raws in (("product", message.products), ("currency", message.currencies)):
            if raws is None:
                continue
            unreadable = self.counts["malformed_messages"]
            found |= self._items(kind, raws, builder, now)
            present.add(kind)
            if self.counts["malformed_messages"] == unreadable:
                whole.add(kind)
        fresh = present - self._begun
        for prefix in [()] if fresh == KINDS else [(kind,) for kind in sorted(fresh)]:
            builder.add(prefix, Operation.REPLACE)
        self._begun |= present
        self._compare(found, whole, builder, now)

    def _items(
        self, kind: str, raws: Sequence[msgspec.Raw], builder: BatchBuilder, now: float
    ) -> dict[tuple[str, str], bytes]:
        """The items of a list by their key; those without an id are reported."""
        items = {}
        for raw in map(bytes, raws):
            try:
                items[kind, _ID.decode(raw).id] = raw
            except UNREADABLE as error:
                self.malformed(MalformedError(f"a {kind} without an id ({reason_of(error)})"), builder, now)
        return items

    def _compare(
        self, found: Mapping[tuple[str, str], bytes], whole: Collection[str], builder: BatchBuilder, now: float
    ) -> None:
        """Adds what differs from before; of kinds whose list is not `whole`, nothing counts as gone."""
        for key, raw in found.items():
            if self._known.get(key) != hash(raw):
                try:
                    builder.add(astuple(build_item(key, raw)), Operation.UPSERT)
                except MalformedError as error:  # its last row is kept
                    self.malformed(error, builder, now)
        width = len(self.spec.schema.columns)
        for key in [key for key in self._known if key not in found and key[0] in whole]:
            builder.add((*key, *[None] * (width - 2)), Operation.DELETE)
            del self._known[key]
        self._known |= {key: hash(raw) for key, raw in found.items()}

    def position(self) -> Position:
        """Nothing to resume from: the full state is sent again."""
        return position_of({})


def build_item(key: tuple[str, str], raw: bytes) -> Item:
    """One row.

    Raises:
        MalformedError: It is not a JSON object in UTF-8.
    """
    kind, name = key
    if key == BESIDE:
        return Item(kind, name, extra=raw.decode())
    fields = read_fields(raw)
    del fields["id"]
    return build(Item, fields, {"kind": kind, "id": name})


class _Id(Struct):
    id: str


_ID = msgspec.json.Decoder(_Id)
