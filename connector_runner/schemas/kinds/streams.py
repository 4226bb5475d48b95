"""`spec.streams`: a selection of many streams, as it is written in a Connector and as runner and operator exchange it."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

import msgspec

from connector_runner.schemas.kinds.declare import Rule, described
from connector_runner.schemas.selection import Selection, parse_selection, parse_template

MOST_PATTERNS = 1000
_LONGEST_PATTERN = 300
_LONGEST_TABLE = 128
_PATTERN = r'^("([^"]|"")*"|[^".]+)([.]("([^"]|"")*"|[^".]+))*$'
"""The syntax that `selection.parse_pattern` reads."""
EVERY_TABLE = "{stream}"
"""The template of a selection's tables where the Dataset names none."""
MOST_BYTES = 100_000
"""The longest `spec.streams`, as JSON: it reaches a runner beside `spec.config`, see `manifest.MOST_CONFIG_BYTES`."""
KEY_MARK = "selection:"
"""Begins the key of a selection, which stands where otherwise the name of a stream stands."""

Isolation = Literal["isolate", "stop"]
Pattern = Annotated[
    str,
    described(
        "Parts joined by dots.",
        minLength=1,
        maxLength=_LONGEST_PATTERN,
        rules=[
            Rule(
                holds=f"self.matches({json.dumps(_PATTERN)})",
                message='is no pattern: write parts joined by single dots, as in shop.*; a part that holds a dot or a quote stands in double quotes, as in "my.db".orders',
            )
        ],
    ),
]


class StreamsSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Many streams in one connector, instead of selectedStream."""

    include: Annotated[
        tuple[Pattern, ...],
        described(
            "Names or patterns of the streams to carry: * stands for any characters, ? for one; a part in double quotes is taken as it is written.",
            minItems=1,
            maxItems=MOST_PATTERNS,
        ),
    ]
    exclude: Annotated[
        tuple[Pattern, ...],
        described("Names or patterns of streams that are left out of these.", maxItems=MOST_PATTERNS),
    ] = ()
    added: Annotated[
        Literal["follow", "ignore"],
        described("Whether streams that the source gets later, and that match, are carried as well: follow or ignore."),
    ] = "follow"
    tables: Annotated[
        dict[str, Annotated[str, msgspec.Meta(extra_json_schema={"minLength": 1, "maxLength": _LONGEST_TABLE})]],
        described(
            "The table of a stream, by the stream's name, instead of the Dataset's.", maxProperties=MOST_PATTERNS
        ),
    ] = {}

    def parse(self, path: str = "spec.streams") -> Selection:
        """Its patterns.

        Raises:
            ValueError: With a sentence a line for each that can't be read, after its path.
        """
        return parse_selection(self.include, self.exclude, path=path)

    @property
    def key(self) -> str:
        """What stands for it: equal for selections that take the same streams by the same patterns."""
        text = json.dumps([sorted(set(self.include)), sorted(set(self.exclude))], ensure_ascii=False)
        return KEY_MARK + hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def whole_key(self) -> str:
        """Hash of all of it, tables and `added` included: what an execution carries."""
        text = json.dumps(
            [list(self.include), list(self.exclude), self.added, sorted(self.tables.items())], ensure_ascii=False
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def pattern_problems(streams: StreamsSpec, path: str = "spec.streams") -> tuple[str, ...]:
    """A sentence for each pattern that can't be read, after its path."""
    try:
        streams.parse(path)
    except ValueError as error:
        return tuple(str(error).split("\n"))
    return ()


def template_problem(table: str) -> str:
    """Why a text can't be a template of tables' names; "" if it can."""
    try:
        parse_template(table)
    except ValueError as error:
        return str(error)
    return ""
