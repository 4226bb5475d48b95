"""`status`: the exchange sends the full state each time (about 740 kB every few seconds); the rows are what has changed."""

from __future__ import annotations

from collections.abc import Mapping

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


class StatusReader(Reader):
    """The first message replaces the whole table; each later one is compared with the one before.

    What a message contains besides products and currencies is an item of its own, of the kind `message`.
    """

    def __init__(self, spec: StreamSpec, position: Position | None) -> None:
        super().__init__(spec, position)
        self._known: dict[tuple[str, str], int] | None = None

    def message(self, message: Struct, builder: BatchBuilder, now: float) -> None:
        """Upserts of what is new or changed, deletions of what is gone."""
        if not isinstance(message, Status):
            return
        if not message.products and not message.currencies:
            raise MalformedError("a status without products and currencies")
        found: dict[tuple[str, str], bytes] = {} if message.extra is None else {BESIDE: message.extra.encode()}
        for kind, raws in (("product", message.products), ("currency", message.currencies)):
            for raw in map(bytes, raws):
                try:
                    found[kind, _ID.decode(raw).id] = raw
                except UNREADABLE as error:
                    self.malformed(MalformedError(f"a {kind} without an id ({reason_of(error)})"), builder, now)
        if self._known is None:
            builder.add((), Operation.REPLACE)
        self._compare(found, self._known or {}, builder, now)
        self._known = {key: hash(raw) for key, raw in found.items()}

    def _compare(
        self,
        found: Mapping[tuple[str, str], bytes],
        known: Mapping[tuple[str, str], int],
        builder: BatchBuilder,
        now: float,
    ) -> None:
        for key, raw in found.items():
            if known.get(key) != hash(raw):
                try:
                    builder.add(astuple(build_item(key, raw)), Operation.UPSERT)
                except MalformedError as error:  # its last row is kept
                    self.malformed(error, builder, now)
        width = len(self.spec.schema.columns)
        for key in known.keys() - found.keys():
            builder.add((*key, *[None] * (width - 2)), Operation.DELETE)

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
