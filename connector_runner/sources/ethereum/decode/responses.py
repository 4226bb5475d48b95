"""Decodes raw JSON-RPC results to checked values: a block's header and its objects.

Fields as in https://ethereum.github.io/execution-apis/. Hashes are compared, never recomputed: forks add members to headers.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec

from connector_runner.protocols.batch import Row
from connector_runner.sources.ethereum.decode.rows import Json, Members, block_time, whole_text
from connector_runner.sources.ethereum.errors import MalformedAnswerError


class Header(msgspec.Struct, frozen=True, gc=False):
    """The part of a header that links a block to its chain, and that its contents are checked against.

    Attributes:
        number: Height.
        hash: 0x and 64 lower-case hexadecimal digits; "" when the height has no block (Filecoin).
        parent_hash: The parent's hash, in the same format.
        seconds: The block's time in seconds since the epoch.
        bloom: Bloom filter of its logs, 0 when it has none; None when the node does not return it.
        transactions_root, receipts_root, withdrawals_root: As returned by the node, None when it does not return them.
        gas_used: Gas of all its transactions: the quantity that the node returns.
    """

    number: int
    hash: str
    parent_hash: str
    seconds: int
    bloom: int | None
    transactions_root: str | None = None
    receipts_root: str | None = None
    withdrawals_root: str | None = None
    gas_used: Any = None

    @property
    def is_absent(self) -> bool:
        """Whether the chain has no block of this height."""
        return not self.hash

    @property
    def time(self) -> datetime | str:
        """The block's time as it is stored in rows."""
        return block_time(self.seconds)

    @property
    def columns(self) -> tuple[Any, ...]:
        """Values of the block columns at the start of every row."""
        return (self.hash, self.number, self.time)


class BlockRows(msgspec.Struct, frozen=True, gc=False):
    """One block of a stream, decoded and checked, ready to be delivered.

    Attributes:
        header: The block's header.
        rows: Rows of the stream; often none.
        size: Bytes of the answers that the rows were made from.
        is_outside_bloom: According to the block's bloom it has no wanted logs.
        is_left_out: Its logs were not requested, because according to the bloom none are wanted.
        refutes_bloom: It has logs that are missing in its bloom.
    """

    header: Header
    rows: list[Row]
    size: int
    is_outside_bloom: bool = False
    is_left_out: bool = False
    refutes_bloom: bool = False


class _HeaderOnly(msgspec.Struct, gc=False):
    number: str | int
    hash: str
    parentHash: str  # noqa: N815 - names of the specification
    timestamp: str | int
    logsBloom: str | None = None  # noqa: N815
    transactionsRoot: str | None = None  # noqa: N815
    receiptsRoot: str | None = None  # noqa: N815
    withdrawalsRoot: str | None = None  # noqa: N815
    gasUsed: Any = None  # noqa: N815


_header_decoder = msgspec.json.Decoder(_HeaderOnly | None)
_objects_decoder = msgspec.json.Decoder(list[dict[str, Any]] | None)
_object_decoder = msgspec.json.Decoder(dict[str, Any] | None)


def decode_header(raw: bytes | msgspec.Raw) -> Header | None:
    """Decodes the header of a block answer and ignores the rest; None when the node has no such block.

    Raises:
        MalformedAnswerError: It is not a block.
    """
    try:
        found = _header_decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise MalformedAnswerError(f"block: {error}") from None
    return None if found is None else _header(*msgspec.structs.astuple(found))


_members_of = attrgetter(*_HeaderOnly.__struct_fields__)


def header_of(block: Json) -> Header:
    """Builds the header from a completely decoded block.

    Raises:
        MalformedAnswerError: A member is missing, null (a pending block) or has the wrong type.
    """
    if isinstance(block, Members):
        return _header(*_members_of(block))
    try:
        needed = (block["number"], block["hash"], block["parentHash"], block["timestamp"])
    except KeyError as error:
        raise MalformedAnswerError(f"block: lacks {error}") from None
    return _header(*needed, *map(block.get, _HeaderOnly.__struct_fields__[4:]))


def _header(
    number: Any, own: Any, parent: Any, seconds: Any, bloom: Any, transactions: Any, receipts: Any, withdrawals: Any, gas: Any
) -> Header:  # fmt: skip
    if not (_is_hash(own) and _is_hash(parent)):
        raise MalformedAnswerError("block: hash and parentHash are not 32 bytes in hexadecimal")
    try:
        return Header(
            number if type(number) is int else whole_text(number), own.lower(), parent.lower(),
            seconds if type(seconds) is int else whole_text(seconds),
            None if bloom is None or bloom == "0x" else int(bloom, 0),  # a bloom without bytes means that there is none
            transactions, receipts, withdrawals, gas,
        )  # fmt: skip
    except (TypeError, ValueError):
        raise MalformedAnswerError("block: number, timestamp or logsBloom is not a quantity") from None


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 66 and value[:2] in ("0x", "0X")


_WITHOUT_CAPITALS: set[type[Members] | None] = set()


def names_have_no_capitals(known: type[Members]) -> None:
    """Registers that in objects of this type no member's name has a capital letter from A to F, or X."""
    _WITHOUT_CAPITALS.add(known)


_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]*")


def lowered(value: Any) -> Any:
    """Returns a decoded value with all hexadecimal texts in lower case, as most nodes send them and rows store them."""
    if isinstance(value, str):
        return value.lower() if _HEXADECIMAL.fullmatch(value) else value
    if isinstance(value, dict):
        return {name: lowered(item) for name, item in value.items()}
    return [lowered(item) for item in value] if isinstance(value, list) else value


@cache
def _known_decoder(known: type[Members], is_list: bool) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder((list[known] if is_list else known) | None)  # type: ignore[valid-type]


def _decode(raw: bytes | msgspec.Raw, known: type[Members] | None, is_list: bool) -> Any:
    """Decodes as `known`; as dicts if there are unknown members, or required ones are missing."""
    text = raw if type(raw) is bytes else bytes(raw)
    # No usual member has C, E or X in its name, but nearly every hash or address in capitals has one of them.
    has_capitals = 67 in text or 69 in text or 88 in text
    if known in _WITHOUT_CAPITALS and not has_capitals:
        has_capitals = 65 in text or 66 in text or 68 in text or 70 in text
    if known is not None and not has_capitals:
        try:
            return _known_decoder(known, is_list).decode(raw)
        except msgspec.ValidationError:
            pass
    found = (_objects_decoder if is_list else _object_decoder).decode(raw)
    return lowered(found) if has_capitals else found


def decode_block(raw: bytes | msgspec.Raw, known: type[Members] | None = None) -> tuple[Header, Json] | None:
    """Decodes a block with all its members, or all members of `known`; None when the node has no such block.

    Raises:
        MalformedAnswerError: It is not a block.
    """
    try:
        block = _decode(raw, known, False)
    except msgspec.DecodeError as error:
        raise MalformedAnswerError(f"block: {error}") from None
    return None if block is None else (header_of(block), block)


def decode_objects(raw: bytes | msgspec.Raw, what: str, known: type[Members] | None = None) -> list[Json] | None:
    """Decodes a list of objects (receipts, logs, traces), as `known` if possible; None when the node answered null.

    Raises:
        MalformedAnswerError: It is not a list of objects.
    """
    try:
        found: list[Json] | None = _decode(raw, known, True)
    except msgspec.DecodeError as error:
        raise MalformedAnswerError(f"{what}: {error}") from None
    return found
