"""The form of a dataset's description."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple


class StoredAs(NamedTuple):
    """How a value lies in a dataset."""

    type: str
    """In the dataset's own words."""
    note: str = "exact"
    """How exactly, and in which form."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One kind of dataset.

    Attributes:
        name: The folder in `connector_runner/sinks`, and the first of the schemes.
        title: As people write it.
        schemes: That a URL may begin with.
        pattern: The form of its URLs with the scheme in lower case, as RE2 and Python read it.
        expected: What is said of a URL of another form.
        check: Every problem of a URL of that form, as far as the URL tells by itself; no sentence repeats it.
        needs_volume: It keeps a file in the data directory.
        reads_rows: Rows can be read back by `connector-runner rows`.
        types: Kind of value (`protocols.types.Kind`) → how it lies there.
        types_title: The head of their column in docs/types.md.
        reasons: Reason of a run's end, or of its waiting, that only some datasets give → when.
        url: For docs/guarantees.md: the URLs that it takes.
        promise: What it promises.
        needs: What it needs.
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


COMMON_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "InvalidDataset": "the URL has a scheme that no dataset has",
        "InvalidConfig": "the URL or the table's name is not valid",
        "FenceLost": "another runner holds the dataset",
        "TakeOverRefused": "`spec.takeOver` was set for a history",
        "SchemaConflict": "the table can't hold the stream, or another connector fills it",
        "RowRefused": "a row was refused, and `refusedRows` is `stop`",
        "TooManyRefusedRows": "1,000 rows in a row were refused",
        "DatasetUnavailable": "the dataset can't be reached, or takes nothing now",
        "Unavailable": "another runner is creating the tables at this moment, or a transaction could not be rolled back",
        "DatasetError": "an error that nothing else here names; the message is the dataset's own",
    }
)
"""Reasons that any dataset may give."""
