"""From bytes to structs, without I/O: strict and fast for documented messages, lenient for others, so that nothing is lost.

The fast path decodes into structs whose documented fields are all required. It then proves, by counting the colons, that the
message has no other field: each field contributes one colon, each time two more, other documented values none. Any surprise
(a new field, a missing one, another type, an offset that is not Z, a time finer than a microsecond) takes the lenient path,
which puts whatever fits no other column into the column `extra`.

A time that is finer than a microsecond is truncated, never rounded (msgspec would turn .999999999 into the next second). Its
text is kept in `extra`.
"""

from __future__ import annotations

import re
import types
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import fields

from connector_runner.sources.coinbase.decode.messages import CONTROL, EXTRA_WIRE_NAME, OrderMessage, Status

TYPE_WIRE_NAME = "(type)"
DOT = ord(".")
# A time with a digit other than 0 after its microseconds, and the digits that are cut off.
FINER = re.compile(rb":\d\d:\d\d\.\d{6}\d*[1-9]")
_CUT = re.compile(rb"(:\d\d:\d\d\.\d{6})\d+")
S = TypeVar("S", bound=Struct)


def plain_type(annotation: Any) -> Any:
    """A field's annotation without `Annotated` and without None."""
    if get_origin(annotation) is Annotated:
        return plain_type(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        return plain_type(next(part for part in get_args(annotation) if part is not type(None)))
    return annotation


@cache
def wire_fields(shape: type[Struct]) -> tuple[tuple[str, Any, bool], ...]:
    """The fields that a message can have: (name, annotation, whether it is required)."""
    return tuple(
        (field.encode_name, field.type, field.required)
        for field in fields(shape)
        if field.encode_name not in {EXTRA_WIRE_NAME, TYPE_WIRE_NAME}
    )


@cache
def moment_names(shape: type[Struct]) -> frozenset[str]:
    """The fields that are times."""
    return frozenset(name for name, kind, _ in wire_fields(shape) if plain_type(kind) is datetime)


@cache
def optional_names(shape: type[Struct]) -> frozenset[str]:
    """The fields that have a default."""
    return frozenset(field.name for field in fields(shape) if not field.required)


@cache
def message_fields(shape: type[Struct]) -> tuple[tuple[str, Any], ...]:
    """The fields that a message itself can contain, all but `extra`: (attribute, default)."""
    return tuple((field.name, field.default) for field in fields(shape) if field.encode_name != EXTRA_WIRE_NAME)


@cache
def colons(shape: type[Struct]) -> int | None:
    """How many colons a documented message of this shape has; None if it has optional fields or several times."""
    if len(moment_names(shape)) > 1 or not all(required for _, _, required in wire_fields(shape)):
        return None
    is_tagged = shape.__struct_config__.tag is not None
    return sum(3 if plain_type(kind) is datetime else 1 for _, kind, _ in wire_fields(shape)) + is_tagged


# What msgspec raises for bytes that it can't read: not JSON or another shape, not UTF-8, nested too deeply.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class MalformedError(ValueError):
    """A message that can't be read; the text says what is wrong, without the message itself."""


class Decoder:
    """Decodes messages of the given shapes.

    Attributes:
        counts: `unknown_messages` (of types that were not requested; ignored) and `lenient_messages` so far.
        strict: Decodes documented messages. Only `is_plain` or `is_exact` proves that it is the whole message.
    """

    def __init__(self, shapes: Sequence[type[Struct]]) -> None:
        every: tuple[type[Struct], ...] = (*shapes, *CONTROL)
        self.counts: Counter[str] = Counter()
        self.strict = msgspec.json.Decoder(Union[every]).decode  # noqa: UP007
        self._colons: dict[type[Struct], int | None] = {shape: colons(shape) for shape in shapes}
        self._colons |= dict.fromkeys(CONTROL)
        self._by_tag: Mapping[str, type[Struct]] = {str(shape.__struct_config__.tag): shape for shape in every}

    def decode(self, raw: bytes) -> Struct | None:
        """One message, or None if its type is not among the shapes.

        Raises:
            MalformedError: Not JSON, not an object, or without a field that identifies it.
        """
        try:
            message: Struct = self.strict(raw)
        except UNREADABLE:
            return self._lenient(raw)
        expected = self._colons[message.__class__]
        is_whole = is_exact(message, raw) if expected is None else is_plain(raw, expected)
        return message if is_whole else self._lenient(raw)

    def _lenient(self, raw: bytes) -> Struct | None:
        found = read_fields(raw)
        tag = _convert(found.pop("type", Raw(b"null")), str)
        shape = self._by_tag.get(tag) if isinstance(tag, str) else None
        if shape is None:
            self.counts["unknown_messages"] += 1
            return None
        self.counts["lenient_messages"] += 1
        return build(shape, found)


def is_plain(raw: bytes, expected: int) -> bool:
    """Whether a message with one time and `expected` colons has no other field, and no time finer than a microsecond.

    The exchange writes six digits and Z; only other times are checked with the slower pattern.
    """
    end = raw.rfind(b"Z")
    return raw.count(b":") == expected and ((end > 0 and raw[end - 7] == DOT) or not FINER.search(raw))


def is_exact(message: Struct, raw: bytes) -> bool:
    """Whether a message has only fields of its shape, and no time finer than a microsecond (False: unknown)."""
    if isinstance(message, CONTROL):
        return True
    if isinstance(message, Status):  # its entries are read one by one, later
        items = (*(message.products or ()), *(message.currencies or ()))
        return raw.count(b":") == 3 + sum(bytes(item).count(b":") for item in items)
    keys, has_time = 1, False
    for name, default in message_fields(message.__class__):
        value = getattr(message, name)
        if value is not None and value is not default:
            is_time = isinstance(value, datetime)
            has_time |= is_time
            keys += 3 if is_time else 1
    is_whole = (len(raw) <= 4096 or raw.count(b":", 0, 4096) <= keys) and raw.count(b":") == keys
    return is_whole and not (has_time and FINER.search(raw))


def read_fields(raw: bytes) -> dict[str, Raw]:
    """The fields of a JSON object, not decoded.

    Raises:
        MalformedError: It is not a JSON object.
    """
    try:
        return msgspec.json.decode(raw, type=dict[str, Raw])
    except UNREADABLE as error:
        raise MalformedError(reason_of(error)) from None


def reason_of(error: BaseException) -> str:
    """Why bytes can't be read, in a sentence without the bytes."""
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def build(shape: type[S], found: Mapping[str, Raw], known: Mapping[str, Any] | None = None) -> S:
    """A struct from fields that are not decoded: null if a value is missing or has another type; the rest goes into `extra`.

    Raises:
        MalformedError: A field that can't be null is missing or has another type, or the rest is not UTF-8.
    """
    values: dict[str, Any] = dict(known or {})
    extra = dict(found)
    moments, optional = moment_names(shape), optional_names(shape)
    for name, kind, _ in wire_fields(shape):
        if name not in values:
            raw, is_cut = found.get(name), False
            if raw is not None and name in moments:
                raw, is_cut = _cut(raw)
            value = None if raw is None else _convert(raw, kind)
            values[name] = value
            if (value is not None and not is_cut) or (raw is not None and is_null(raw)):
                extra.pop(name, None)
    for name, value in WITHOUT.get(shape.__name__, {}).items():
        values[name] = value if values.get(name) is None else values[name]
    for name in required_names(shape):
        if values.get(name) is None:
            raise MalformedError(f"{shape.__name__}: {name} is missing or not of its type")
    given = {name: value for name, value in values.items() if value is not None or name not in optional}
    if extra and _has_extra(shape):
        try:
            text = ",".join(f"{_quoted(name)}:{bytes(value).decode()}" for name, value in extra.items())
        except UnicodeDecodeError as error:
            raise MalformedError(f"{shape.__name__}: {reason_of(error)}") from None
        given["extra"] = "{" + text + "}"
    return shape(**given)


REQUIRED = ("product_id", "account_id", "trade_id", "changes", "bids", "asks", "channels", "kind", "id")
"""Fields without which a message has no meaning: they are parts of keys, or its whole content."""
ALSO_REQUIRED: dict[str, tuple[str, ...]] = {
    "Heartbeat": ("time",),
    "Auction": ("timestamp",),
    "Balance": ("timestamp",),
}
NOT_REQUIRED: dict[str, tuple[str, ...]] = {"Ticker": ("trade_id",)}
WITHOUT: dict[str, dict[str, Any]] = {"Ticker": {"sequence": 0}}
"""The value in a key for a field that may be missing: a product that never traded has bid and ask, but may have no sequence."""


@cache
def required_names(shape: type[Struct]) -> tuple[str, ...]:
    """The fields of a shape that can't be null."""
    if issubclass(shape, OrderMessage):
        return ("product_id",)
    also, spare = ALSO_REQUIRED.get(shape.__name__, ()), NOT_REQUIRED.get(shape.__name__, ())
    names = [name for name, _, _ in wire_fields(shape)]
    return tuple(name for name in names if (name in REQUIRED or name in also) and name not in spare)


@cache
def _has_extra(shape: type[Struct]) -> bool:
    return "extra" in get_type_hints(shape)


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _cut(raw: Raw) -> tuple[Raw, bool]:
    """A time, not decoded, without the digits after its microseconds, and whether those were more than zeros."""
    text = bytes(raw)
    return Raw(_CUT.sub(rb"\1", text)), FINER.search(text) is not None


def _convert(raw: Raw, kind: Any) -> Any:
    """A value of the type, or None. Times are in UTC, numbers for decimals keep their digits, empty decimals are null."""
    try:
        value = _decoder(kind).decode(raw)
        return value.astimezone(UTC) if isinstance(value, datetime) and value.year > 1 else value
    except (*UNREADABLE, OverflowError):
        return None


def is_null(raw: Raw) -> bool:
    """Whether a value, not decoded, is empty: null, or the empty text that the exchange writes for an absent number."""
    return bytes(raw).strip() in {b"null", b'""'}


def _quoted(name: str) -> str:
    return msgspec.json.encode(name).decode()


def price_key(text: str) -> Decimal:
    """A price of a book as a key: equal values have one form (10101.80000000 and 10101.8 are the same level)."""
    if "." in text and "e" not in text and "E" not in text:
        text = text.rstrip("0").rstrip(".")
    return Decimal(text)
