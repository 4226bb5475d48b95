"""Sets of global transaction ids: MySQL's (intervals by server UUID and tag) and MariaDB's (the last id by domain).

A position is always the whole set: one id alone says nothing about other servers or domains.
"""

from __future__ import annotations

import uuid as uuids
from collections.abc import Iterable
from typing import Self

Intervals = list[tuple[int, int]]  # inclusive, ascending, neither overlapping nor adjacent


def merge_intervals(intervals: Iterable[tuple[int, int]]) -> Intervals:
    """Brings any intervals into normal form."""
    merged: Intervals = []
    for start, stop in sorted(intervals):
        if merged and start <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((start, stop))
    return merged


def covers(outer: Intervals, inner: Intervals) -> bool:
    """Whether each number of `inner` is in `outer` (both in normal form)."""
    return all(any(low <= start and stop <= high for low, high in outer) for start, stop in inner)


class MysqlGtids:
    """`uuid:1-5:8,uuid:tag:1-3`: the source of an id is its UUID, with a tag after a colon where it has one."""

    def __init__(self, sources: dict[str, Intervals] | None = None) -> None:
        self.sources = sources or {}

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what @@gtid_executed shows.

        Raises:
            ValueError: It is not a GTID set.
        """
        found: dict[str, list[tuple[int, int]]] = {}
        for part in "".join(text.split()).split(","):
            if not part:
                continue
            uuid, *rest = part.lower().split(":")
            if len(uuid) != 36:
                raise ValueError(f"{part!r} is not a GTID set")
            source = uuid
            for piece in rest:
                if piece[:1].isdigit():
                    start, _, stop = piece.partition("-")
                    found.setdefault(source, []).append((int(start), int(stop or start)))
                else:
                    source = f"{uuid}:{piece}"
        return cls({source: merge_intervals(pairs) for source, pairs in found.items()})

    def __str__(self) -> str:
        parts = []
        for source in sorted(self.sources):
            pieces = (f"{low}-{high}" if high > low else f"{low}" for low, high in self.sources[source])
            parts.append(f"{source}:{':'.join(pieces)}")
        return ",".join(parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MysqlGtids) and self.sources == other.sources

    __hash__ = None  # type: ignore[assignment]

    def copy(self) -> MysqlGtids:
        """One that can change without this one changing."""
        return MysqlGtids({source: list(pairs) for source, pairs in self.sources.items()})

    def add(self, source: str, number: int) -> None:
        """Adds one id; the common case, the next number, is quick."""
        pairs = self.sources.setdefault(source, [])
        if pairs and pairs[-1][1] + 1 == number:
            pairs[-1] = (pairs[-1][0], number)
        else:
            self.sources[source] = merge_intervals([*pairs, (number, number)])

    def has(self, source: str, number: int) -> bool:
        """Whether it contains this id."""
        return any(low <= number <= high for low, high in self.sources.get(source, ()))

    def covers(self, other: MysqlGtids) -> bool:
        """Whether it contains every id of the other."""
        return all(covers(self.sources.get(source, []), pairs) for source, pairs in other.sources.items())

    def encode(self) -> bytes:
        """Encoded as COM_BINLOG_DUMP_GTID expects it; with tags in the format of MySQL 8.3 and later (`Gtid_set::encode`)."""
        is_tagged = any(":" in source for source in self.sources)
        count = len(self.sources)
        parts = [(1 << 56 | count << 8 | 1 if is_tagged else count).to_bytes(8, "little")]
        for source in sorted(self.sources):
            uuid, _, tag = source.partition(":")
            parts.append(uuids.UUID(uuid).bytes)
            if is_tagged:
                parts.append(bytes([len(tag) << 1]) + tag.encode("ascii"))
            pairs = self.sources[source]
            parts.append(len(pairs).to_bytes(8, "little"))
            # The protocol's intervals end before their second number.
            parts += [low.to_bytes(8, "little") + (high + 1).to_bytes(8, "little") for low, high in pairs]
        return b"".join(parts)


class MariaGtids:
    """`0-1-5,7-2-9`: the last transaction of each domain, with the server that wrote it."""

    def __init__(self, domains: dict[int, tuple[int, int]] | None = None) -> None:
        self.domains = domains or {}

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what @@gtid_binlog_pos shows.

        Raises:
            ValueError: It is not a GTID position.
        """
        domains = {}
        for part in filter(None, "".join(text.split()).split(",")):
            domain, server, number = part.split("-")
            domains[int(domain)] = (int(server), int(number))
        return cls(domains)

    def __str__(self) -> str:
        return ",".join(f"{domain}-{server}-{number}" for domain, (server, number) in sorted(self.domains.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MariaGtids) and self.domains == other.domains

    __hash__ = None  # type: ignore[assignment]

    def copy(self) -> MariaGtids:
        """One that can change without this one changing."""
        return MariaGtids(dict(self.domains))

    def add(self, domain: int, server: int, number: int) -> None:
        """Makes this the domain's last transaction."""
        self.domains[domain] = (server, number)

    def covers(self, other: MariaGtids) -> bool:
        """Whether each domain is at least as far as in the other."""
        return all(
            domain in self.domains and self.domains[domain][1] >= number
            for domain, (_, number) in other.domains.items()
        )


def has_history(state: str, wanted: MariaGtids) -> bool:
    """Whether a server's @@gtid_binlog_state shows that it has (or had) these transactions.

    The state lists the last number of each domain *and server*; a server that never saw transactions of that server in that
    domain has another history.
    """
    seen: dict[tuple[int, int], int] = {}
    for part in filter(None, "".join(state.split()).split(",")):
        domain, server, number = (int(piece) for piece in part.split("-"))
        seen[domain, server] = number
    return all(seen.get((domain, server), -1) >= number for domain, (server, number) in wanted.domains.items())
