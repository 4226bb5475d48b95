"""Raw JSON-RPC results to checked values: a block's header and its objects.

Fields by https://ethereum.github.io/execution-apis/. Hashes are compared, never recomputed: forks add members to headers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import msgspec

from connector_runner.protocols.batch import Row
from connector_runner.sources.ethereum.decode.rows import Json, MalformedAnswerError, Members, block_time


@dataclass(frozen=True, slots=True)
class Header:
    """What links a block to its chain and what its contents are checked against.

    Attributes:
        number: Height.
        hash: 0x and 64 lower-case hexadecimal digits.
        parent_hash: As `hash`.
        seconds: The block's time, seconds since the epoch.
        bloom: Bloom filter of its logs, 0 when it has none; None when the node does not tell.
    """

    number: int
    hash: str
    parent_hash: str
    seconds: int
    bloom: int | None

    @property
    def time(self) -> datetime | str:
        """As rows carry it."""
        return block_time(self.seconds)

    @property
    def columns(self) -> tuple[Any, ...]:
        """Values of the block columns that every row begins with."""
        return (self.hash, self.number, self.time)


@dataclass(frozen=True, slots=True)
class Unit:
    """One block of a stream, decoded and checked, ready to be delivered.

    Attributes:
        header: Of the block.
        rows: Of the stream; often none.
        size: Bytes of the answers that it was made from.
    """

    header: Header
    rows: list[Row]
    size: int


class _HeaderOnly(msgspec.Struct):
    number: str
    hash: str
    parentHash: str  # noqa: N815 - names of the specification
    timestamp: str | int
    logsBloom: str | None = None  # noqa: N815


_header_decoder = msgspec.json.Decoder(_HeaderOnly | None)
_objects_decoder = msgspec.json.Decoder(list[dict[str, Any]] | None)
_object_decoder = msgspec.json.Decoder(dict[str, Any] | None)


def decode_header(raw: bytes | msgspec.Raw) -> Header | None:
    """The header in a block answer, whatever else is in it; None when the node has no such block.

    Raises:
        MalformedAnswerError: It is something else.
    """
    try:
        found = _header_decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise MalformedAnswerError(f"block: {error}") from None
    return None if found is None else _header(msgspec.structs.asdict(found))


def header_of(block: Json) -> Header:
    """The header of a block that was decoded as a whole.

    Raises:
        MalformedAnswerError: A member is missing, null (a pending block) or has the wrong type.
    """
    try:
        return _header(block)
    except KeyError as error:
        raise MalformedAnswerError(f"block: lacks {error}") from None


def _header(block: Json) -> Header:
    own, parent = block["hash"], block["parentHash"]
    if not (_is_hash(own) and _is_hash(parent)):
        raise MalformedAnswerError("block: hash and parentHash are not 32 bytes in hexadecimal")
    bloom = block.get("logsBloom")
    return Header(
        _whole(block["number"]), own, parent, _whole(block["timestamp"]), None if bloom is None else _whole(bloom)
    )


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 66 and value.startswith("0x")


def _whole(value: Any) -> int:
    try:
        return value if type(value) is int else int(value, 16)
    except (TypeError, ValueError):
        raise MalformedAnswerError("block: number, timestamp or logsBloom is not a quantity") from None


@cache
def _known_decoder(known: type[Members], is_list: bool) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder((list[known] if is_list else known) | None)  # type: ignore[valid-type]


def _decode(raw: bytes | msgspec.Raw, known: type[Members] | None, is_list: bool) -> Any:
    """As `known`, else, where something in it is unknown or absent, as dicts."""
    if known is not None:
        try:
            return _known_decoder(known, is_list).decode(raw)
        except msgspec.ValidationError:
            pass
    return (_objects_decoder if is_list else _object_decoder).decode(raw)


def decode_block(raw: bytes | msgspec.Raw, known: type[Members] | None = None) -> tuple[Header, Json] | None:
    """A block with everything in it, or everything that `known` names; None when the node has no such block.

    Raises:
        MalformedAnswerError: It is something else.
    """
    try:
        block = _decode(raw, known, False)
    except msgspec.DecodeError as error:
        raise MalformedAnswerError(f"block: {error}") from None
    return None if block is None else (header_of(block), block)


def decode_objects(raw: bytes | msgspec.Raw, what: str, known: type[Members] | None = None) -> list[Json] | None:
    """A list of objects (receipts, logs, traces), as `known` if it fits; None when the node answered null.

    Raises:
        MalformedAnswerError: It is something else.
    """
    try:
        found: list[Json] | None = _decode(raw, known, True)
    except msgspec.DecodeError as error:
        raise MalformedAnswerError(f"{what}: {error}") from None
    return found
