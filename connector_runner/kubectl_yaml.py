"""YAML as kubectl reads it, for every value: a manifest must mean the same by hand and on a cluster.

kubectl converts YAML to JSON with its own rules, between YAML 1.1 and 1.2: `y` and `on` are true, `0123` is 83, `0o14` is 12,
`12:30:45` and dates stay texts, the last of two equal keys wins. Its rules are those of go.yaml.in/yaml/v2 and
sigs.k8s.io/yaml; an end-to-end test compares this module with the real kubectl.
"""

from __future__ import annotations

import base64
import json
import math
import re
import struct
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import yaml
from yaml import events

_PREFIX = "tag:yaml.org,2002:"
_WORDS: dict[str, tuple[str, Any]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), ("bool", True)),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), ("bool", False)),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), ("null", None)),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), ("float", math.nan)),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), ("float", math.inf)),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), ("float", -math.inf)),
    "<<": ("merge", "<<"),
}
_INTEGER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0[0-7]*|[1-9][0-9]*)", re.ASCII)
_SIGNED_BITS = re.compile(r"0b[-+][01]{1,63}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_DOTTED = re.compile(r"\.[0-9]+(_[0-9]+)*([eE][-+]?[0-9]+(_[0-9]+)*)?", re.ASCII)
_TIMES = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dt%H:%M:%S%z", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d")
_DEEPEST = 10_000
_MOST_NODES = 1_000_000
_PLAIN_BELOW = 6
"""Keys from 10 to this power on are written with an exponent."""


class KubectlYamlError(ValueError):
    """A document that kubectl would refuse too; the message says why and, if known, in which line."""


def load_documents(text: str) -> list[Any]:
    """The documents of a manifest file as JSON values, in order; empty ones are left out.

    Raises:
        KubectlYamlError: kubectl would not read it.
    """
    if text.lstrip().startswith("{"):
        try:
            return list(_json_documents(text))
        except ValueError:
            pass  # YAML in flow style starts the same way
    return [value for chunk in _split(text) for value in _load(chunk)]


def _json_documents(text: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(parse_float=lambda digits: whole_if_it_is(float(digits))), 0
    while at < len(text):
        value, end = decoder.raw_decode(text, at)
        yield value
        at = end + len(text[end:]) - len(text[end:].lstrip())


def _split(text: str) -> Iterator[str]:
    """Splits a text into documents: every line that begins with three dashes starts one, whatever is around it."""
    lines: list[str] = []
    for line in text.split("\n"):
        if line.startswith("---"):
            rest = line[3:].strip()
            if rest and not rest.startswith("#"):
                raise KubectlYamlError(f"invalid document separator: {rest}")
            yield "".join(f"{line}\n" for line in lines)
            lines = []
        else:
            lines.append(line)
    yield "\n".join(lines)


def _load(text: str) -> Iterator[Any]:
    try:
        reader = _Reader(text)
        value = reader.document()
    except yaml.YAMLError as error:
        raise KubectlYamlError(str(error)) from error
    except RecursionError:
        raise KubectlYamlError("it is nested too deeply") from None
    if value is not None:
        yield value


class _Reader:
    """Builds the first document of a text from the parser's events; anchors are replayed, as merges need them."""

    def __init__(self, text: str) -> None:
        self._events = yaml.parse(text, Loader=yaml.SafeLoader)
        self._anchors: dict[str, Node] = {}
        self._open: list[Node] = []
        self._nodes = 0

    def document(self) -> Any:
        for event in self._events:
            if isinstance(event, events.DocumentStartEvent):
                return self._value(self._node(next(self._events)))
        return None

    def _node(self, event: Any) -> Node:
        if isinstance(event, events.AliasEvent):
            if event.anchor not in self._anchors:
                raise KubectlYamlError(f"unknown anchor {event.anchor!r} referenced{_at(event)}")
            return self._anchors[event.anchor]
        node = Node(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        if not isinstance(event, events.ScalarEvent):
            for child in self._events:
                if isinstance(child, events.SequenceEndEvent | events.MappingEndEvent):
                    break
                node.children.append(self._node(child))
        return node

    def _value(self, node: Node) -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES or node in self._open or len(self._open) > _DEEPEST:
            raise KubectlYamlError(f"an anchor contains itself, or is repeated too often{_at(node.event)}")
        if isinstance(node.event, events.ScalarEvent):
            return jsonable(node.resolve()[1], node)
        self._open.append(node)
        try:
            if isinstance(node.event, events.SequenceStartEvent):
                return [self._value(child) for child in node.children]
            return self._mapping(node, {})
        finally:
            self._open.pop()

    def _mapping(self, node: Node, into: dict[str, Any]) -> dict[str, Any]:
        """In order: a merge overwrites the entries before it, and later entries overwrite the merge."""
        pairs = iter(node.children)
        for key, value in zip(pairs, pairs, strict=True):
            if key.is_merge:
                self._merge(value, into)
            else:
                into[key_text(key)] = self._value(value)
        return into

    def _merge(self, node: Node, into: dict[str, Any]) -> None:
        is_list = isinstance(node.event, events.SequenceStartEvent)
        for part in reversed(node.children) if is_list else [node]:
            if not isinstance(part.event, events.MappingStartEvent):
                raise KubectlYamlError(f"a merge (<<) takes a mapping or a list of mappings{_at(node.event)}")
            into.update(self._value(part))


class Node:
    """A node: its event and, for a list or mapping, its children in order."""

    def __init__(self, event: Any) -> None:
        self.event = event
        self.children: list[Node] = []

    @property
    def tag(self) -> str:
        """The tag as written, without its prefix; "" for none."""
        return (self.event.tag or "").removeprefix(_PREFIX)

    @property
    def is_plain(self) -> bool:
        """Whether its kind is determined by its characters."""
        return bool(self.event.implicit[0])

    @property
    def is_merge(self) -> bool:
        """Whether it is the key `<<`."""
        is_scalar = isinstance(self.event, events.ScalarEvent)
        return is_scalar and self.event.value == "<<" and (self.is_plain or self.tag == "merge")

    def resolve(self) -> tuple[str, Any]:
        """Its kind (a tag without prefix) and value."""
        text: str = self.event.value
        if not self.tag and not self.is_plain:
            return "str", text
        if self.tag == "binary":
            try:
                return "binary", base64.b64decode(re.sub(r"[\r\n]", "", text), validate=True).decode("utf-8", "replace")
            except ValueError:
                raise KubectlYamlError(f"!!binary value contains invalid base64 data{_at(self.event)}") from None
        if self.tag in {"", "str", "bool", "int", "float", "null", "timestamp"}:
            return self._typed(*resolve_scalar(text, self.tag))
        return self.tag, text

    def _typed(self, kind: str, value: Any) -> tuple[str, Any]:
        if self.tag in {"", kind, "str"}:
            return kind, value
        if self.tag == "float" and kind == "int" and value < 2**63:
            return "float", float(value)
        raise KubectlYamlError(f"cannot decode !!{kind} `{self.event.value}` as a !!{self.tag}{_at(self.event)}")


def resolve_scalar(text: str, tag: str = "") -> tuple[str, Any]:
    """Kind and value of an unquoted scalar; `tag` "str" keeps it a text, "timestamp" requires a timestamp."""
    first = text[:1]
    if tag == "str" or (first and first not in "+-0123456789yYnNtTfFoO~." and text not in _WORDS):
        return "str", text
    if text in _WORDS:
        return _WORDS[text]
    if first == ".":
        return _read_float(text, _DOTTED)
    if first not in "+-0123456789":
        return "str", text
    if tag == "timestamp" and _is_time(text):
        return "timestamp", text
    plain = text.replace("_", "")
    found = _INTEGER.fullmatch(plain)
    if found:
        number = _whole(found[2]) * (-1 if found[1] == "-" else 1)
        if -(2**63) <= number < (2**63 if found[1] else 2**64):
            return "int", number
    kind, value = _read_float(plain, _FLOAT)
    if kind == "float":
        return kind, value
    if _SIGNED_BITS.fullmatch(plain):
        return "int", int(plain[2:], 2)  # noqa: FURB166 - with its sign behind the prefix
    return "str", text


def _whole(digits: str) -> int:
    base = {"x": 16, "b": 2, "o": 8}.get(digits[1:2].lower())
    if base is not None:
        return int(digits[2:], base)
    return int(digits, 8) if digits.startswith("0") else int(digits)


def _read_float(text: str, pattern: re.Pattern[str]) -> tuple[str, Any]:
    if pattern.fullmatch(text) and math.isfinite(value := float(text)):
        return "float", value
    return "str", text


def _is_time(text: str) -> bool:
    for form in _TIMES:
        try:
            datetime.strptime(re.sub(r"\.[0-9]+", "", text), form)
        except ValueError:
            continue
        return True
    return False


def jsonable(value: Any, node: Node) -> Any:
    """A value as read from JSON: whole numbers are integers within 64 bits.

    Raises:
        KubectlYamlError: JSON has no such number.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise KubectlYamlError(f"{node.event.value} is not a number in JSON{_at(node.event)}")
        return whole_if_it_is(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 2**63:
        return float(value)
    return value


def whole_if_it_is(value: float) -> int | float:
    """An integer if the number, written with the fewest digits that identify it, is a 64-bit integer."""
    if value.is_integer() and -(2**63) <= (whole := int(Decimal(repr(value)))) < 2**63:
        return whole
    return value


def key_text(node: Node) -> str:
    """A mapping's key as JSON has it.

    Raises:
        KubectlYamlError: It is neither text, number nor boolean.
    """
    if isinstance(node.event, events.ScalarEvent):
        kind, value = node.resolve()
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int) and value < 2**63:
            return str(value)
        if isinstance(value, float):
            return _short(value)
        if isinstance(value, str):
            return value
        raise KubectlYamlError(f"a key of kind {kind} is not supported{_at(node.event)}")
    raise KubectlYamlError(f"a key must be a text, a number or a boolean{_at(node.event)}")


def _short(value: float) -> str:
    """The shortest text of a number in 32 bits, as Go's `FormatFloat(value, 'g', -1, 32)` writes it."""
    if math.isnan(value):
        return ".nan"
    try:
        single = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        single = math.copysign(math.inf, value)
    if math.isinf(single):
        return ".inf" if single > 0 else "-.inf"
    texts = (f"{single:.{digits}e}" for digits in range(9))
    text = next(t for t in texts if struct.unpack("f", struct.pack("f", float(t)))[0] == single)
    digits, exponent = text.split("e")
    power = int(exponent)
    if -4 <= power < _PLAIN_BELOW:
        return f"{float(text):f}".rstrip("0").rstrip(".") if power < 0 else _plain(digits, power)
    return f"{digits}e{'-' if power < 0 else '+'}{abs(power):02}"


def _plain(digits: str, power: int) -> str:
    sign, figures = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    whole, _, rest = figures.partition(".")
    joined = (whole + rest).ljust(power + 1, "0")
    fraction = joined[power + 1 :].rstrip("0")
    return f"{sign}{joined[: power + 1]}{'.' + fraction if fraction else ''}"


def _at(event: Any) -> str:
    return f" (line {event.start_mark.line + 1})"
