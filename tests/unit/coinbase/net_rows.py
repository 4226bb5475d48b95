"""How the truth of the net reads a message as a row, and a row as values: by the schema, not by the source's own means."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from connector_runner.protocols.batch import Row
from connector_runner.protocols.types import Kind
from connector_runner.sources.coinbase.streams import STREAMS
from tests.unit.coinbase.net import World

Values = dict[str, Any]


def expected(stream: str, raw: bytes) -> Values:
    """A message as a row, by its schema."""
    message = json.loads(raw, parse_float=Decimal)
    found: Values = {}
    extra = {name: value for name, value in message.items() if name != "type"}
    for column in STREAMS[stream].schema.columns[:-1]:
        name = column.name
        value = message.get(name)
        read = None if value is None or value == "" else _value(value, column.type.kind)
        found[name] = read
        if read is not None or value is None or value == "":
            extra.pop(name, None)
        if isinstance(read, datetime) and re.search(r"\.\d{6}\d*[1-9]", str(value)):
            extra[name] = value
    if stream.startswith("ticker"):
        found["sequence"] = found["sequence"] or 0
    if "type" in found:
        extra.pop("type", None)
        found["order_id"] = found["order_id"] or ""
    found["extra"] = extra or None
    return found


def _value(value: Any, kind: Kind) -> Any:
    if kind is Kind.DECIMAL:
        return Decimal(str(value)) if isinstance(value, str | int | Decimal) and not isinstance(value, bool) else None
    if kind is Kind.TIMESTAMPTZ:
        cut = re.sub(r"(\.\d{6})\d+", r"\1", value) if isinstance(value, str) else ""
        return datetime.fromisoformat(cut).astimezone(UTC) if cut else None
    wanted = {Kind.INT64: int, Kind.BOOL: bool}.get(kind, str)
    return value if isinstance(value, wanted) else None


def values(world: World, row: Row) -> Values:
    """A row by its columns' names."""
    found = dict(zip(world.spec.schema.names, row, strict=True))
    found["extra"] = None if found["extra"] is None else json.loads(found["extra"], parse_float=Decimal)
    return found


def kinds_told(world: World, product: str) -> set[str]:
    """What was told of a product."""
    return {i.kind for i in world.incidents if i.subject in {product, world.stream}}


def gaps_told(world: World, product: str) -> list[tuple[int, int]]:
    """Ids that were told to be lost, first and last."""
    return [(i.detail["from"], i.detail["to"]) for i in world.incidents if i.kind == "gap" and i.subject == product]
