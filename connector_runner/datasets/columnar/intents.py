"""What a commit of the ledger has decided for one table, and the table's own commit carries out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from connector_runner.protocols.errors import SchemaConflictError, StagedFileGoneError

GONE = (StagedFileGoneError, SchemaConflictError)
"""Why an intent can't be carried out until a person does something."""


class Intent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A commit of one table.

    Attributes:
        table: The table's name.
        app: The application of its transaction: connector/stream.
        version: The version of that transaction; it is carried out if the table has a lower one.
        record: What the table's commit says of it, as JSON: who wrote it, and the position after it.
        files: Files that are added: names, in the folder for what is staged until it is carried out.
        rows: How many rows they hold.
        changes: A file of changes to be merged; "" for none.
        key: Columns that identify a row of the changes.
        removed: Which rows are removed before that, as `Table.removal` says it; "" for none.
        parts: The partition of each of the files, as `Table.parts` says it; empty if the table has none.
    """

    table: str
    app: str
    version: int
    record: str
    files: tuple[str, ...] = ()
    rows: int = 0
    changes: str = ""
    key: tuple[str, ...] = ()
    removed: str = ""
    parts: tuple[str, ...] = ()


def app_of(connector: str, stream: str) -> str:
    """The application of a stream's transactions."""
    return f"{connector}/{stream}"


def encode_intents(intents: Iterable[Intent]) -> str:
    """As JSON; "" for none."""
    listed = list(intents)
    return msgspec.json.encode(listed).decode() if listed else ""


def named_files(pending: Mapping[str, str]) -> frozenset[str]:
    """The names of all files that recorded intents need, of whichever connector: none of them may be removed.

    Args:
        pending: Connector → its intents, as JSON.
    """
    decided = [intent for text in pending.values() for intent in decode_intents(text)]
    return frozenset(name for intent in decided for name in (*intent.files, intent.changes) if name)


def decode_intents(text: str) -> Sequence[Intent]:
    """The reverse of `encode_intents`."""
    return msgspec.json.decode(text, type=list[Intent]) if text else ()
