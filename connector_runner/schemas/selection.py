"""Which of a source's streams a connector carries: patterns over their names, and the table of each. Pure.

A stream's name has parts (`database` and `name` for a table; `name` alone elsewhere), joined by dots in its id. A pattern is written
in the same way: parts joined by dots, in which `*` stands for any characters and `?` for one. A part in double quotes is taken as it is
written, `""` within it is one quote; so `"my.db"."a*b"` names just that table. A pattern of one part is held against the whole id.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

_PART = re.compile(r'"(?P<quoted>(?:[^"]|"")*)"|(?P<plain>[^".]+)')
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NOT_PLAIN = re.compile(r"[^0-9A-Za-z]+")
NEAREST = 5
FEW = 10
"""So many names are all told where none is near."""


@dataclass(frozen=True, slots=True)
class Named:
    """A stream as it is selected.

    Attributes:
        id: What status lists.
        parts: What its name consists of, outermost first, by the words that a template of a table may use.
        aside: Why only its exact name selects it (the shadow table of a schema change tool); "" for all others.
    """

    id: str
    parts: Mapping[str, str]
    aside: str = ""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern that was read.

    Attributes:
        text: As it was written.
        parts: A regular expression a part.
        name: The parts themselves, where none is a glob.
    """

    text: str
    parts: tuple[re.Pattern[str], ...]
    name: tuple[str, ...] | None

    def matches(self, stream: Named) -> bool:
        """Whether it takes in the stream."""
        if self.is_exact(stream):
            return True
        if len(self.parts) == 1:
            return self.parts[0].fullmatch(stream.id) is not None
        parts = tuple(stream.parts.values())
        return len(parts) == len(self.parts) and all(
            pattern.fullmatch(part) is not None for pattern, part in zip(self.parts, parts, strict=True)
        )

    def is_exact(self, stream: Named) -> bool:
        """Whether it is the stream's own name, not a glob that takes it in."""
        return self.text == stream.id or (self.name is not None and self.name == tuple(stream.parts.values()))


@cache
def parse_pattern(text: str) -> Pattern:
    """Reads one pattern.

    Raises:
        ValueError: It can't be read; the message says why.
    """
    parts, name, at = [], [], 0
    while True:
        found = _PART.match(text, at)
        if found is None:
            rest = text[at:]
            raise ValueError(
                f"{text!r} ends with a dot, or has two in a row"
                if not rest or rest.startswith(".")
                else f"{text!r}: a quote that is not closed; write a quote within quotes twice"
            )
        quoted, plain = found["quoted"], found["plain"]
        part = plain if quoted is None else quoted.replace('""', '"')
        is_glob = quoted is None and ("*" in part or "?" in part)
        parts.append(re.compile(_translate(part) if is_glob else re.escape(part), re.DOTALL))
        name.append(None if is_glob else part)
        at = found.end()
        if at == len(text):
            break
        if text[at] != ".":
            raise ValueError(f"{text!r}: a quoted part ends before {text[at:]!r}; write a dot between parts")
        at += 1
    is_name = all(part is not None for part in name)
    return Pattern(text, tuple(parts), tuple(part or "" for part in name) if is_name else None)


def quote_name(stream: str) -> str:
    """The pattern that takes in just the stream of this id."""
    return '"' + stream.replace('"', '""') + '"'


def _translate(glob: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(character) or re.escape(character) for character in glob)


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked for.

    Attributes:
        include, exclude: Patterns; a stream is selected that some of the first take in and none of the second.
    """

    include: tuple[Pattern, ...]
    exclude: tuple[Pattern, ...] = ()

    def takes(self, stream: Named) -> bool:
        """Whether it is selected."""
        if any(pattern.matches(stream) for pattern in self.exclude):
            return False
        if stream.aside:
            return any(pattern.is_exact(stream) for pattern in self.include)
        return any(pattern.matches(stream) for pattern in self.include)


def parse_selection(include: Sequence[str], exclude: Sequence[str] = (), *, path: str = "spec.streams") -> Selection:
    """Reads all patterns.

    Raises:
        ValueError: With a sentence a line for each that can't be read.
    """
    problems: list[str] = []

    def read(texts: Sequence[str], name: str) -> tuple[Pattern, ...]:
        found = []
        for at, text in enumerate(texts):
            try:
                found.append(parse_pattern(text))
            except ValueError as error:
                problems.append(f"{path}.{name}[{at}]: {error}")
        return tuple(found)

    selection = Selection(read(include, "include"), read(exclude, "exclude"))
    if problems:
        raise ValueError("\n".join(problems))
    return selection


def may_take(selection: Selection, stream: str) -> bool:
    """Whether a selection may take a stream of which only the id is known; never no for one that it takes.

    An id does not say where its parts end if they hold dots; so each way to split it is tried.
    """
    return any(_may_match(pattern, stream) for pattern in selection.include)


def _may_match(pattern: Pattern, stream: str) -> bool:
    if pattern.matches(Named(stream, {})):
        return True
    words, count = stream.split("."), len(pattern.parts)
    for ends in itertools.combinations(range(1, len(words)), count - 1):
        cuts = [0, *ends, len(words)]
        parts = {str(at): ".".join(words[cuts[at] : cuts[at + 1]]) for at in range(count)}
        if pattern.matches(Named(stream, parts)):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Resolved:
    """A selection over what a source has.

    Attributes:
        streams: Those that are selected, in the source's order.
        idle: Patterns of `include` that take in nothing that the source has, each with the nearest names.
        left_aside: Streams that a pattern takes in but that only their exact name selects, with the reason.
    """

    streams: tuple[Named, ...]
    idle: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_aside: tuple[Named, ...] = ()


def find_near(name: str, known: Iterable[str], most: int = NEAREST) -> list[str]:
    """The names that look like one, the nearest first; capitals are no difference."""
    by_form = {each.lower(): each for each in known}
    return [by_form[form] for form in difflib.get_close_matches(name.lower(), by_form, n=most, cutoff=0.5)]


def say_near(name: str, known: Iterable[str]) -> str:
    """Which streams may have been meant by a name that none has, or which there are: the end of a sentence."""
    names = list(known)
    if near := find_near(name, names, 3):
        return f"did you mean {' or '.join(near)}?"
    more = f" and {len(names) - NEAREST} more" if len(names) > FEW else ""
    return f"there are {', '.join(names[:NEAREST] if more else names)}{more}" if names else "there are none"


def resolve(selection: Selection, streams: Iterable[Named]) -> Resolved:
    """The streams that are selected, and what a person should know of the rest."""
    known = list(streams)
    selected = tuple(stream for stream in known if selection.takes(stream))
    idle = {}
    for pattern in selection.include:
        if not any(pattern.matches(stream) for stream in known):
            idle[pattern.text] = tuple(find_near(pattern.text, (stream.id for stream in known)))
    aside = tuple(
        stream
        for stream in known
        if stream.aside and stream not in selected and any(pattern.matches(stream) for pattern in selection.include)
    )
    return Resolved(selected, idle, aside)


def default_table(stream: Named) -> str:
    """The table of a stream where the Dataset names none: its id with what is no letter or digit as `_`."""
    return _NOT_PLAIN.sub("_", stream.id)


def parse_template(text: str) -> Callable[[Named], str]:
    """Reads the name of a table that may hold `{stream}` and the words of `Named.parts`; `{{` and `}}` are braces.

    Raises:
        ValueError: A brace is not closed, or (when it is used) the source has no such word.
    """
    for found in _FIELD.finditer(text):
        if found.group() in {"{", "}"}:
            raise ValueError(f"{text!r}: a brace without its other; write a brace that is meant twice")

    def fill(stream: Named) -> str:
        words = {"stream": default_table(stream), **stream.parts}

        def word(found: re.Match[str]) -> str:
            name = found[1]
            if name is None:
                return found.group()[0]
            if name not in words:
                known = ", ".join(f"{{{known}}}" for known in words)
                raise ValueError(f"{text!r}: there is no {{{name}}}; a stream of this source has {known}")
            return words[name]

        return _FIELD.sub(word, text)

    return fill


@dataclass(frozen=True, slots=True)
class Tables:
    """The table of each stream.

    Attributes:
        names: By the stream's id; only streams that have a table of their own.
        shared: Table → ids of the streams that meet in it.
    """

    names: Mapping[str, str]
    shared: Mapping[str, tuple[str, ...]]


def assign_tables(
    streams: Iterable[Named],
    template: Callable[[Named], str],
    named: Mapping[str, str],
    key: Callable[[str], str] = str,
) -> Tables:
    """Which table each stream goes into.

    Args:
        streams: That are selected.
        template: Of a table's name.
        named: Tables that were named outright, or that a stream already has, by its id.
        key: What tells tables apart in the dataset (a database may fold the case, or cut the name).
    """
    names, owners = {}, dict[str, list[str]]()
    for stream in streams:
        names[stream.id] = named.get(stream.id) or template(stream)
        owners.setdefault(key(names[stream.id]), []).append(stream.id)
    shared = {names[ids[0]]: tuple(ids) for ids in owners.values() if len(ids) > 1}
    return Tables(names, shared)
