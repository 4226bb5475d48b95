"""The form of a dataset's description."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple


class StoredAs(NamedTuple):
    """How a value is stored in a dataset."""

    type: str
    """The type as the dataset spells it."""
    note: str = "exact"
    """How exact the value is, and in which form."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a dataset (`Dataset.spec.options`, `optionsFrom`).

    Attributes:
        meaning: What it does, for the documents.
        is_secret: Whether its value must come from a Secret, and is never shown.
        values: The values that it may have; () for any that fits the next ones.
        between: The lowest and highest whole number; None for texts.
        pattern: The form of a value as a whole; "" for any text.
        expected: The form in words, for messages; needed with `pattern`.
        default: The value without it, for the documents.
    """

    meaning: str
    is_secret: bool = False
    values: tuple[str, ...] = ()
    between: tuple[int, int] | None = None
    pattern: str = ""
    expected: str = ""
    default: str = ""


def no_problems(options: Mapping[str, str]) -> Iterable[str]:
    """The check between options of a dataset that has none."""
    del options
    return ()


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One kind of dataset.

    Attributes:
        name: The name of the folder in `connector_runner/sinks`, and the first of the schemes.
        title: The name as people write it.
        schemes: The schemes of its URLs.
        pattern: The form of its URLs with the scheme in lower case, for RE2 and Python.
        expected: The message for a URL of another form.
        check: Returns all problems of a URL of that form that can be found without connecting; no sentence repeats the URL.
        needs_volume: Whether it stores a file in the data directory.
        remote_schemes: Schemes of a dataset that needs a volume, with which it needs none.
        reads_rows: Whether `connector-runner rows` can read rows back.
        types: Kind of value (`protocols.types.Kind`) → how it is stored.
        types_title: The heading of their column in docs/types.md.
        more_types: Heading → the same for another format that the dataset can write.
        reasons: Reasons for a run's end or wait that only some datasets give → when they are given.
        url: For docs/guarantees.md: the URLs that it accepts.
        promise: What it promises.
        needs: What it needs.
        options: Name → option that a Dataset may set, beside what its URL says.
        refused_options: Name → why it can't be set, for names that people try; all other names are unknown.
        check_options: Returns the problems between options whose names and values are valid; no sentence repeats a secret.
    """

    name: str
    title: str
    schemes: tuple[str, ...]
    pattern: str
    expected: str
    check: Callable[[str], Iterable[str]]
    needs_volume: bool
    reads_rows: bool
    types: Mapping[str, StoredAs]
    types_title: str
    reasons: Mapping[str, str]
    url: str
    promise: str
    needs: str
    remote_schemes: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    refused_options: Mapping[str, str] = field(default_factory=dict)
    check_options: Callable[[Mapping[str, str]], Iterable[str]] = no_problems
    more_types: Mapping[str, Mapping[str, StoredAs]] = field(default_factory=dict)


COMMON_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "InvalidDataset": "the URL has a scheme that no dataset has",
        "InvalidConfig": "the URL or the table's name is not valid",
        "FenceLost": "another runner holds the dataset",
        "TakeOverRefused": "`spec.takeOver` was set for a history",
        "SchemaConflict": "the table can't hold the stream, or another connector fills it",
        "RowRefused": "a row was refused, and `refusedRows` is `stop`",
        "TooManyRefusedRows": "1,000 rows in a row were refused",
        "DatasetWentBack": "commits that were confirmed are gone (a backup that was restored, a failover); the next run goes on from the dataset's position",
        "DatasetUnavailable": "the dataset can't be reached, or takes nothing now",
        "Unavailable": "another runner is creating the tables at this moment, or a transaction could not be rolled back",
        "DatasetError": "an error that nothing else here names; the message is the dataset's own",
    }
)
"""Reasons that every dataset may give."""
