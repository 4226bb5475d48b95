"""Events of a contract's ABI: how they are written, what their arguments are, and their values in a log.

The ABI's encoding is decoded by eth-abi (which web3.py uses too); it is imported only when a configuration has an ABI.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from connector_runner.protocols.types import BOOL, INT64, INT256, JSON, STRING, UINT64, LogicalType
from connector_runner.sources.ethereum.decode.rows import Json

WORD_BYTES = 32


class UnreadableTypeError(ValueError):
    """An argument's type has no column here (a fixed-point number, a library's own type)."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an event, by its canonical ABI type."""

    name: str
    type: str
    indexed: bool

    @property
    def is_hashed(self) -> bool:
        """Whether the log has only the hash of the value, because it is indexed (all types longer than a word)."""
        return self.indexed and (
            self.type in ("string", "bytes") or self.type.endswith("]") or self.type.startswith("(")
        )

    @property
    def logical(self) -> LogicalType:
        """The column's type."""
        if self.is_hashed:
            return STRING
        if self.type.endswith("]") or self.type.startswith("("):
            return JSON
        if self.type == "bool":
            return BOOL
        if match := re.fullmatch(r"(u?)int([0-9]+)", self.type):
            width = int(match[2])
            return UINT64 if (width, match[1]) == (64, "u") else INT64 if width <= 64 else INT256
        return STRING

    def value(self, found: Any) -> Any:
        """Converts a value of the ABI's decoder to the column's type."""
        if isinstance(found, bytes):
            return f"0x{found.hex()}"
        return msgspec.json.encode(_plain(found)).decode() if isinstance(found, tuple) else found


def _plain(value: Any) -> Any:
    """Converts a value for JSON without losing digits: whole numbers of any size are JSON numbers."""
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    return [_plain(item) for item in value] if isinstance(value, tuple) else _number(value)


def _number(value: Any) -> Any:
    # msgspec encodes numbers of at most 64 bits; longer ones are passed as raw JSON.
    return msgspec.Raw(str(value).encode()) if type(value) is int and not -(2**63) <= value < 2**64 else value


@dataclass(frozen=True)
class Event:
    """An event of the configuration.

    Attributes:
        name: As declared.
        arguments: The arguments in order.
        anonymous: Whether it has no topic of its own (any log with as many topics may be this event).
        reserved: Names that the columns of its arguments must not have.
    """

    name: str
    arguments: tuple[Argument, ...]
    anonymous: bool = False
    reserved: frozenset[str] = field(default=frozenset(), compare=False)

    @cached_property
    def signature(self) -> str:
        """The canonical signature, as it is hashed: `Transfer(address,address,uint256)`."""
        return f"{self.name}({','.join(argument.type for argument in self.arguments)})"

    @cached_property
    def topic(self) -> str:
        """Keccak-256 of the signature."""
        from eth_hash.auto import keccak

        return f"0x{keccak(self.signature.encode()).hex()}"

    @cached_property
    def topic_count(self) -> int:
        """Number of topics in its logs."""
        return sum(argument.indexed for argument in self.arguments) + (not self.anonymous)

    @cached_property
    def identity(self) -> str:
        """The signature with `indexed`, which distinguishes ERC-20's Transfer from ERC-721's: `Transfer(address indexed,…)`."""
        types = (f"{argument.type}{' indexed' if argument.indexed else ''}" for argument in self.arguments)
        return f"{self.name}({','.join(types)}){' anonymous' if self.anonymous else ''}"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the arguments' columns: unique ignoring case, and different from all other columns of the stream."""
        taken = {column.lower() for column in self.reserved}
        names: list[str] = []
        for index, argument in enumerate(self.arguments):
            name = wanted = argument.name or f"argument_{index}"
            suffix = 1
            while name.lower() in taken:
                suffix += 1
                name = f"{wanted}_{suffix}"
            taken.add(name.lower())
            names.append(name)
        return tuple(names)

    def is_log(self, log: Json) -> bool:
        """Whether a log is of this event."""
        topics = log["topics"]
        return len(topics) == self.topic_count and (self.anonymous or topics[0] == self.topic)

    def values(self, topics: Sequence[str], data: str) -> tuple[Any, ...]:
        """Decodes the arguments, in order.

        Raises:
            ValueError: The log does not match the event (eth-abi's errors are ValueErrors).
        """
        place = iter(topics if self.anonymous else topics[1:])
        plain = [argument.type for argument in self.arguments if not argument.indexed]
        rest = iter(_decode(plain, bytes.fromhex(data[2:])) if plain else ())
        values = []
        for argument in self.arguments:
            if not argument.indexed:
                values.append(argument.value(next(rest)))
            elif argument.is_hashed:
                values.append(next(place))
            else:
                values.append(argument.value(_decode([argument.type], bytes.fromhex(next(place)[2:]))[0]))
        return tuple(values)


def _decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Decodes values of the given types.

    Solidity before 0.5 did not pad the last bytes or string of an event to a whole word; geth and ethers read such logs. So the
    last word is padded here, if the padding is not part of a value.

    Raises:
        ValueError, OverflowError: The data does not match the types.
    """
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    def read(filling: bytes, is_strict: bool) -> tuple[Any, ...]:
        try:
            return decode(types, data + filling, strict=is_strict)
        except (DecodingError, TypeError) as error:
            raise ValueError(f"it does not fit: {type(error).__name__}") from None

    try:
        return read(b"", True)
    except ValueError:
        missing = -len(data) % WORD_BYTES
        if not missing:
            raise
    found = read(bytes(missing), True)
    if found != read(b"\xff" * missing, False):  # the padding is part of a value: the log is truncated
        raise ValueError("it is shorter than it says")
    return found


def parse_entry(entry: Mapping[str, Any]) -> Event:
    """Parses an event of a compiler's ABI.

    Raises:
        UnreadableTypeError: An argument's type has no column here.
        ValueError, KeyError, TypeError, AttributeError: It is not an event.
    """
    arguments = tuple(
        Argument(item.get("name", ""), canonical(_json_type(item)), bool(item.get("indexed")))
        for item in entry["inputs"]
    )
    return _limited(Event(entry["name"], arguments, bool(entry.get("anonymous"))))


def _json_type(item: Mapping[str, Any]) -> str:
    kind: str = item["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_json_type(part) for part in item['components'])}){kind.removeprefix('tuple')}"


def parse_signature(text: str) -> Event:
    """Parses `Transfer(address indexed from, address indexed to, uint256 value)` etc.; tuples as `(uint256,address) name`.

    Raises:
        ValueError: It is not a signature.
    """
    match = re.fullmatch(r"(?:event\s+)?([A-Za-z_$][\w$]*)\s*\((.*)\)\s*(anonymous)?;?", text.strip())
    if match is None:
        raise ValueError("expected Name(type name, type indexed name, …)")
    arguments = []
    for part in split_arguments(match[2]):
        shape = re.fullmatch(r"((?:\(.*\)|\w+(?:\s+payable\b)?)(?:\[[0-9]*\])*)((?:\s+indexed)?)((?:\s+[\w$]+)?)", part)
        if shape is None:
            raise ValueError(f"{part!r} is not an argument")
        arguments.append(Argument(shape[3].strip(), canonical(shape[1]), bool(shape[2])))
    return _limited(Event(match[1], tuple(arguments), bool(match[3])))


def _limited(event: Event) -> Event:
    if event.topic_count > 4:
        raise ValueError(f"{event.signature} has more indexed arguments than a log has topics")
    return event


def split_arguments(text: str) -> list[str]:
    """Splits a list at its outermost commas."""
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    return [*parts, last] if (last := text[start:].strip()) or parts else []


def canonical(text: str) -> str:
    """Returns a type in the form that is hashed: no names, `uint` as `uint256`.

    Raises:
        UnreadableTypeError: No column here can hold this type.
        ValueError: It is not an ABI type.
    """
    text = text.strip().removeprefix("tuple")
    if text.startswith("("):
        inner, _, suffix = text[1:].rpartition(")")
        # Each member of a tuple may have a name.
        parts = [re.sub(r"(?<=[\w\])])\s+(?!payable$)[\w$]+$", "", part) for part in split_arguments(inner)]
        return f"({','.join(map(canonical, parts))}){suffix}"
    base, bracket, suffix = text.partition("[")
    base = re.sub(r"^address\s+payable$", "address", base.strip())
    base = {"uint": "uint256", "int": "int256", "byte": "bytes1"}.get(base, base)
    width = re.fullmatch(r"(u?int|bytes)([0-9]+)", base)
    is_sized = width is not None and (
        1 <= int(width[2]) <= 32 if width[1] == "bytes" else int(width[2]) in range(8, 257, 8)
    )
    if re.fullmatch(r"u?fixed([0-9]+x[0-9]+)?|[A-Za-z_$][\w$]*\.[\w$.]+|.*\s+storage", base + bracket + suffix):
        raise UnreadableTypeError(f"{text!r} has no type of column here")
    if not (is_sized or base in ("address", "bool", "string", "bytes", "function")):
        raise ValueError(f"{text!r} is not an ABI type")
    return base + bracket + suffix
