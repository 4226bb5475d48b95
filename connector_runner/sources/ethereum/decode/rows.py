"""Converts a node's JSON objects to typed rows, column by column: the source's only hot loop.

A table of `Field`s defines which member becomes which column and how. Objects are converted to columns, each column as a whole,
and columns to rows: about three times as fast as converting each object separately. Members without a field are kept: they
become one JSON text per row, in the column `extra`.

Objects are dicts, or `Members` when an answer has no unknown members, which is usual and nearly twice as fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import repeat
from operator import attrgetter, itemgetter
from typing import Any, Protocol, cast

import msgspec

from connector_runner.protocols.batch import Row
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.types import INT64, JSON, STRING, TIMESTAMPTZ, LogicalType
from connector_runner.sources.ethereum.errors import MalformedAnswerError

ConvertColumn = Callable[[Sequence[Any]], Sequence[Any]]


class Json(Protocol):
    """An object of a node: a dict, or `Members`."""

    def __getitem__(self, member: str, /) -> Any:
        """The value of a member; raises KeyError when a dict lacks it."""

    def get(self, member: str, /) -> Any:
        """The value of a member, None when it is absent."""


class Members(msgspec.Struct):
    """An object with known members only, read like a dict; absent members are None."""

    __getitem__ = get = object.__getattribute__


def members_type(
    name: str, members: Iterable[str], required: Iterable[str], texts: Iterable[str] = ()
) -> type[Members]:
    """Defines the type of objects with these members, with values of any type; `texts` are texts or null."""
    needed, plain = frozenset(required), frozenset(texts)
    types: dict[str, Any] = {member: str | None if member in plain else Any for member in members}
    fields = [(member, type_) if member in needed else (member, type_, None) for member, type_ in types.items()]
    # Values come from JSON, which has no cycles.
    options: dict[str, Any] = {"forbid_unknown_fields": True, "kw_only": True, "gc": False}
    made: Any = msgspec.defstruct(name, fields, bases=(Members,), **options)
    return cast("type[Members]", made)


def values_of(objects: Sequence[Json], member: str) -> list[Any]:
    """The value of one member in each object, None when it is absent."""
    try:
        return list(map(attrgetter(member), objects))
    except AttributeError:
        return [item.get(member) for item in objects]


def are_objects(values: Sequence[Any]) -> bool:
    """Whether all values are objects."""
    return all(issubclass(kind, dict | Members) for kind in set(map(type, values)))


_SMALL = {hex(value): value for value in range(4096)}


def as_is(values: Sequence[Any]) -> Sequence[Any]:
    """Keeps text as the node sends it: hashes and addresses in lower-case hexadecimal."""
    return values


def addresses(values: Sequence[Any]) -> Sequence[Any]:
    """Converts addresses to lower case; some nodes use capitals as a checksum (EIP-55)."""
    try:
        joined = "".join(values)
    except TypeError:
        joined = "".join(filter(None, values))
    # A search for a single letter is as fast as reading memory.
    if (
        "A" in joined
        or "B" in joined
        or "C" in joined
        or "D" in joined
        or "E" in joined
        or "F" in joined
        or "X" in joined
    ):
        return [value and value.lower() for value in values]
    return values


def quantities(values: Sequence[Any]) -> Sequence[Any]:
    """Converts hexadecimal quantities of any size; keeps plain numbers (some development nodes) and null."""
    try:
        if values[0] in _SMALL:  # a column of indices, counts or types
            return list(map(_SMALL.__getitem__, values))
    except (KeyError, TypeError):
        pass
    try:
        return [int(value, 0) for value in values]
    except (TypeError, ValueError):
        return [value if value is None or type(value) is int else whole_text(value) for value in values]


def quantities_or_zero(values: Sequence[Any]) -> Sequence[Any]:
    """Like `quantities`, but 0 for null: some nodes leave out members that have no meaning."""
    try:
        return [int(value, 0) for value in values]
    except (TypeError, ValueError):
        return [0 if value is None else value for value in quantities(values)]


def whole_text(text: str) -> int:
    """Parses a quantity: hexadecimal with 0x, of any length (some nodes send just 0x for 0), or a decimal number.

    Raises:
        ValueError, TypeError: It is not a quantity.
    """
    return 0 if text in ("0x", "0X") else int(text, 0)


def whole(value: Any) -> int:
    """Converts a quantity or plain number."""
    try:
        return value if type(value) is int else whole_text(value)
    except (TypeError, ValueError):
        raise MalformedAnswerError("an index or number is not a quantity") from None


def json_texts(values: Sequence[Any]) -> Sequence[Any]:
    """Converts nested values to JSON text."""
    return [None if value is None else msgspec.json.encode(value).decode() for value in values]


@dataclass(frozen=True, slots=True)
class Field:
    """One column made from one member.

    Attributes:
        column: The column that the sink stores.
        member: The member's name in the node's object.
        convert: Converts a whole column of values to typed values.
    """

    column: Column
    member: str
    convert: ConvertColumn


def text(member: str, name: str, description: str, *, nullable: bool = False) -> Field:
    """A text field that is not converted."""
    return Field(Column(name, STRING, nullable, description), member, as_is)


def address(member: str, name: str, description: str, *, nullable: bool = False) -> Field:
    """An address field."""
    return Field(Column(name, STRING, nullable, description), member, addresses)


def number(member: str, name: str, type_: LogicalType, description: str, *, nullable: bool = False) -> Field:
    """A number field, made from a quantity."""
    return Field(Column(name, type_, nullable, description), member, quantities)


def nested(member: str, name: str, description: str) -> Field:
    """A field that stores a nested value as JSON."""
    return Field(Column(name, JSON, True, description), member, json_texts)


EXTRA = Column("extra", JSON, True, "Members of the node's object that have no column of their own, as JSON.")
# Every row of every stream begins with these; the first is the key prefix by which a reorganisation replaces a block's rows.
BLOCK_COLUMNS = (
    Column("block_hash", STRING, False, "Hash of the block."),
    Column("block_number", INT64, False, "Height of the block."),
    Column("block_time", TIMESTAMPTZ, False, "Time of the block."),
)


def build_schema(
    stream: str, fields: Iterable[Field], key: Iterable[str], more: Iterable[Column] = (EXTRA,)
) -> StreamSchema:
    """Builds the schema of the rows that `RowDecoder` makes: block columns, the fields, further columns."""
    return StreamSchema(stream, (*BLOCK_COLUMNS, *(field.column for field in fields), *more), ("block_hash", *key))


def _as_text(value: Any, member: str) -> str | None:
    """Converts a value to text, also when a node sends a JSON number instead of a quantity.

    Raises:
        MalformedAnswerError: It is neither text nor a number.
    """
    if value is None or isinstance(value, str):
        return value
    if type(value) is not int:
        raise MalformedAnswerError(f"{member}: {type(value).__name__}")
    return hex(value)


class RowDecoder:
    """Makes rows from a table of fields.

    `ignored` are known members that repeat other data (the block's hash in a transaction); they do not appear in `extra`.

    Attributes:
        known: The type of objects without `extra` members.
    """

    def __init__(self, fields: Sequence[Field], ignored: Iterable[str] = ()) -> None:
        self._members = tuple(field.member for field in fields)
        self._required = [field.member for field in fields if not field.column.nullable]
        self._converts = [(index, field.convert) for index, field in enumerate(fields) if field.convert is not as_is]
        self._texts = [index for index, field in enumerate(fields) if field.convert in (as_is, addresses)]
        self._fillable = frozenset(field.member for field in fields if field.convert is quantities_or_zero)
        self._known = frozenset(self._members) | frozenset(ignored)
        self._get = itemgetter(*self._members)
        ordered = [*dict.fromkeys((*self._members, *ignored))]
        texts = [self._members[index] for index in self._texts]
        self.known = members_type("Known", ordered, self._required, texts)
        self._places = [ordered.index(member) for member in self._members]
        # Objects of a chain have few shapes (member names in order); missing and extra members are computed once per shape.
        self._shapes: dict[tuple[str, ...], tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def _shape(self, members: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        missing = [name for name in self._required if name not in members]
        if not self._fillable.issuperset(missing):
            raise MalformedAnswerError(f"an object lacks {', '.join(missing)}")
        absent = tuple(name for name in self._members if name not in members)
        extra = (*(name for name in members if name not in self._known), *missing)
        if len(self._shapes) < 1000:
            self._shapes[members] = absent, extra
        return absent, extra

    def _columns(self, objects: Sequence[Any]) -> tuple[list[Sequence[Any]], Iterable[str | None]]:
        """The objects' members by field, not converted yet, and the `extra` of each object."""
        if set(map(type, objects)) == {self.known}:
            found = list(zip(*map(msgspec.structs.astuple, objects), strict=True))
            return [found[place] for place in self._places], repeat(None, len(objects))
        extras: list[str | None] = []
        shapes = self._shapes
        dicts = [item if isinstance(item, dict) else msgspec.structs.asdict(item) for item in objects]
        for item in dicts:
            members = tuple(item)
            absent, extra = shapes.get(members) or self._shape(members)
            for name in absent:
                item[name] = None
            extras.append(msgspec.json.encode({name: item[name] for name in extra}).decode() if extra else None)
        columns: list[Sequence[Any]] = [*zip(*map(self._get, dicts), strict=True)]
        for index in self._texts:
            columns[index] = [_as_text(value, self._members[index]) for value in columns[index]]
        return columns, extras

    def rows(self, block: Sequence[Any], objects: Sequence[Json]) -> list[Row]:
        """Makes one row per object, in order; `block` has the values of the block columns. The objects must not be used afterwards.

        Raises:
            MalformedAnswerError: A required member is missing or has the wrong type.
        """
        if not objects:
            return []
        columns, extras = self._columns(objects)
        try:
            for index, convert in self._converts:
                columns[index] = convert(columns[index])
        except (TypeError, ValueError) as error:
            raise MalformedAnswerError(f"{self._members[index]}: {type(error).__name__}") from None
        return list(zip(*map(repeat, block, repeat(len(objects))), *columns, extras, strict=True))


def block_time(seconds: int) -> datetime | str:
    """Converts a block's time; development chains may be set beyond the year 9999, which is kept exactly, as text."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return _far_time(seconds)


def _far_time(seconds: int) -> str:
    # 400 Gregorian years are exactly 146,097 days: the calendar repeats.
    cycles, rest = divmod(seconds, 146_097 * 86_400)
    near = datetime.fromtimestamp(rest, UTC)
    return f"{near.year + 400 * cycles}-{near:%m-%dT%H:%M:%S}Z"
