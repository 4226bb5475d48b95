"""The ledger as records: a compacted topic for each connector, a record for each row of the checkpoint table. Pure.

A topic of its own, so that nobody else's open transaction stands before a connector's records.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from connector_runner.datasets.fencing import COLUMNS

PREFIX = "_connector_checkpoints."
_LONGEST = 200
# The cleaner keeps the topic small, so that a claim reads little, whatever was committed before: small segments, since the newest
# one is never cleaned; markers of transactions are kept for a minute only.
SETTINGS = {
    "cleanup.policy": "compact",
    "segment.bytes": str(1 << 20),
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.1",
    "delete.retention.ms": "60000",
}
LETTERS = ("connector", "stream", "reason", "operation", "position", "row")
INCIDENTS = ("connector", "stream", "kind", "subject", "message", "detail", "position")
BESIDE: Mapping[str, Sequence[str]] = {"_dead_letters": LETTERS, "_incidents": INCIDENTS}
"""Suffix of the topics beside the rows → the members of their records, in the order of the statements' parameters."""
BESIDE_SETTINGS = {"cleanup.policy": "delete", "retention.ms": "-1"}
_JSON = {"row", "detail"}
_CREATE_OR_INSERT = re.compile(r'(CREATE TABLE|INSERT INTO) "([A-Za-z0-9._-]+)" ')

Key = tuple[str, str, str]
Rows = dict[Key, tuple[Any, ...]]


def ledger_topic(connector: str) -> str:
    """The topic with the ledger of a connector."""
    return PREFIX + _named(connector)


def transactional_id(connector: str) -> str:
    """The transactional id of a connector."""
    return f"connector-runner.{_named(connector)}"


def _named(connector: str) -> str:
    """`namespace/name` as part of a topic's name; what can't be in one is replaced, with a digest that keeps names apart."""
    name = connector.replace("/", ".", 1)
    if re.fullmatch(r"[A-Za-z0-9._-]+", name) and len(name) <= _LONGEST and connector.count(".") == 0:
        return name
    digest = hashlib.sha256(connector.encode()).hexdigest()[:12]
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', connector)[:_LONGEST]}.{digest}"


def encode_key(key: Key) -> bytes:
    """The key of a row's record."""
    return msgspec.json.encode(key)


def encode_row(row: Sequence[Any]) -> bytes:
    """The value of a row's record."""
    return msgspec.json.encode(dict(zip(COLUMNS, row, strict=True)))


def encode_mark(stream: str, table: str) -> bytes:
    """The key of the record that says that a stream needs to know what its topic holds."""
    return msgspec.json.encode({"state": [stream, table]})


def decode_mark(key: bytes | None) -> tuple[str, str] | None:
    """Stream and table of such a record; None for records of another kind."""
    found = msgspec.json.decode(key) if key else None
    place = found.get("state") if isinstance(found, dict) else None
    return (place[0], place[1]) if isinstance(place, list) and len(place) == 2 else None


def encode_taking(other: str) -> bytes:
    """The key of the record that says that something is about to be taken over from another connector."""
    return msgspec.json.encode({"taking": other})


def decode_taking(key: bytes | None) -> str | None:
    """The other connector of such a record; None for records of another kind."""
    found = msgspec.json.decode(key) if key else None
    other = found.get("taking") if isinstance(found, dict) else None
    return other if isinstance(other, str) else None


def apply_record(rows: Rows, key: bytes | None, value: bytes | None) -> None:
    """Applies a record to the rows; records of another kind are left out."""
    place = msgspec.json.decode(key) if key else None
    if not isinstance(place, list) or len(place) != 3:
        return
    if value is None:
        rows.pop((place[0], place[1], place[2]), None)
        return
    members = msgspec.json.decode(value)
    rows[place[0], place[1], place[2]] = tuple(members[name] for name in COLUMNS)


def topic_beside(sql: str) -> tuple[bool, str, Sequence[str]] | None:
    """Of a statement on a topic beside the rows: whether it creates it, its name, the members of its records; None for others."""
    found = _CREATE_OR_INSERT.match(sql)
    if found is None:
        return None
    suffix = next((each for each in BESIDE if found[2].endswith(each)), None)
    return (found[1].startswith("CREATE"), found[2], BESIDE[suffix]) if suffix is not None else None


def encode_beside(members: Sequence[str], values: Sequence[Any]) -> bytes:
    """A dead letter or an incident."""
    record = {
        name: msgspec.Raw(value.encode()) if name in _JSON else value
        for name, value in zip(members, values, strict=True)
    }
    return msgspec.json.encode(record)


def shorten_letter(value: bytes, longest: int) -> bytes:
    """A dead letter that is too long for its topic, with as much of its row as fits, as text."""
    if len(value) <= longest:
        return value
    letter = msgspec.json.decode(value)
    text = msgspec.json.encode(letter["row"]).decode()
    letter["reason"] = f"{letter['reason'][:2000]} (the row is cut here, since it is too long for this topic too)"
    letter["row"] = text[: max(0, (longest - 8000) // 8)]
    return msgspec.json.encode(letter)
