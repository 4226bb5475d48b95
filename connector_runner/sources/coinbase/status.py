"""`status`: the exchange sends everything each time (about 740 kB every few seconds); the stream tells what has changed."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from connector_runner.protocols.batch import Operation, Position
from connector_runner.sources.coinbase.decode import MalformedError, build, read_fields
from connector_runner.sources.coinbase.draft import Draft
from connector_runner.sources.coinbase.messages import Item, Status
from connector_runner.sources.coinbase.readers import POSITION_FORMAT, Reader
from connector_runner.sources.coinbase.streams import StreamSpec


class StatusReader(Reader):
    """The first message replaces the whole table, the next ones are compared with the one before."""

    def __init__(self, spec: StreamSpec, position: Position | None) -> None:
        super().__init__(spec, position)
        self._known: dict[tuple[str, str], int] | None = None

    def message(self, message: Struct, draft: Draft, now: float) -> None:
        """Upserts of what is new or changed, deletions of what is gone."""
        if not isinstance(message, Status):
            return
        self.beats[""] = now
        if not message.products and not message.currencies:
            self.malformed(MalformedError("a status without products and currencies"), draft)
            return
        found = {
            key: raw
            for kind, raws in (("product", message.products), ("currency", message.currencies))
            for raw in map(bytes, raws)
            if (key := self._key(kind, raw, draft)) is not None
        }
        if self._known is None:
            draft.add((), Operation.REPLACE)
        self._compare(found, self._known or {}, draft)
        self._known = {key: hash(raw) for key, raw in found.items()}

    def _compare(
        self, found: Mapping[tuple[str, str], bytes], known: Mapping[tuple[str, str], int], draft: Draft
    ) -> None:
        for key, raw in found.items():
            if known.get(key) != hash(raw):
                fields = read_fields(raw)
                fields.pop("id")
                draft.add(astuple(build(Item, fields, {"kind": key[0], "id": key[1]})), Operation.UPSERT)
        width = len(self.spec.schema.columns)
        for key in known.keys() - found.keys():
            draft.add((*key, *[None] * (width - 2)), Operation.DELETE)

    def _key(self, kind: str, raw: bytes, draft: Draft) -> tuple[str, str] | None:
        try:
            return kind, _ID.decode(raw).id
        except msgspec.MsgspecError as error:
            self.malformed(MalformedError(f"a {kind} without an id ({error})"), draft)
            return None

    def position(self) -> Position:
        """Nothing to resume from: the full state comes again."""
        return {"format": POSITION_FORMAT, "last": {}}


class _Id(Struct):
    id: str


_ID = msgspec.json.Decoder(_Id)
