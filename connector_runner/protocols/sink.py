"""What a sink is: claim, prepare, write, recover, close; and what it promises.

The package or module `connector_runner.sinks.<scheme>` is found by the scheme of the dataset's URL; it offers
`build_sink(context: SinkContext) -> Sink` and `build_inspector(context: SinkContext) -> Inspector`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from connector_runner.protocols.batch import Batch, Position
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.source import Checkpoint, WriteMode
from connector_runner.schemas.manifest import TakeOver

REFUSAL_LIMIT = 1000


class RefusedRows(StrEnum):
    """What happens to a row that the dataset refuses."""

    DEAD_LETTER = "deadLetter"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What a sink is built from; building does no I/O.

    Attributes:
        read_url: Gives the dataset's URL; asked anew for each connection, because a mounted Secret may have been rotated.
        tables: Stream → its table, possibly schema-qualified; the selection.
        connector: `namespace/name`; with stream and table the identity of a checkpoint.
        is_selection: The streams are a selection that may change (`spec.streams`), even if it is of one now.
        uid, run: Of the Connector and its execution; the fence refuses a run that is older than one it has seen of this uid.
        unmoved: The mark of the holder that an earlier run of this connector was refused by; see `fencing.next_epoch`.
        take_over: Whom the table is taken over from; see `fencing.find_taken`.
        wait: False: several calls of `write` may be under way at once.
        directory: Where relative file URLs start.
        refusal_limit: How many rows in a row may be refused before the run ends.
    """

    read_url: Callable[[], str] = field(repr=False)
    tables: Mapping[str, str]
    connector: str
    is_selection: bool = False
    uid: str = ""
    run: int = 0
    unmoved: str = ""
    take_over: TakeOver | None = None
    write_mode: WriteMode = WriteMode.UPSERT
    refused_rows: RefusedRows = RefusedRows.DEAD_LETTER
    wait: bool = True
    directory: Path = Path()
    refusal_limit: int = REFUSAL_LIMIT

    @property
    def has_anchor(self) -> bool:
        """Whether the reader's position is kept once, apart from the streams' places."""
        return self.is_selection or len(self.tables) != 1


@dataclass(frozen=True, slots=True)
class Claim:
    """What a runner holds after claiming a dataset.

    Attributes:
        checkpoints: Stream → where it stands in the dataset; None when nothing was committed yet.
        epoch: This runner's fencing epoch.
        number: Of the last committed transaction.
        places: Stream → what of its position is its own (`whole_position`), for those that the dataset keeps apart.
    """

    checkpoints: Mapping[str, Checkpoint | None]
    epoch: int
    number: int
    places: Mapping[str, Position] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transaction:
    """Batches of any streams, each stream in one schema, that become visible together with the position after the last of them.

    Attributes:
        number: One more than that of the transaction before.
        batches: None at all: only the fence is checked and the time of the checkpoint renewed.
        identity: Of the source, as `Opened.identity` gave it.
    """

    number: int
    batches: tuple[Batch, ...] = ()
    identity: str = ""

    @property
    def position(self) -> Position | None:
        """The reader's, after the last batch."""
        return self.batches[-1].position if self.batches else None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a committed transaction.

    Attributes:
        refused: How many rows went to the dead letters.
    """

    refused: int = 0


class WriteAgain(TransientError):  # noqa: N818 - not trouble, but a request
    """Nothing is wrong with the connection: `recover`, then write the unconfirmed transactions again, at once."""

    reason = "WriteAgain"


class Sink(Protocol):
    """One connection to a dataset, used by one runner.

    All methods raise `TransientError` for what may pass (unreachable, locked, disk full) and `ActionRequiredError` for what
    a person must mend; after the former only `recover` (or `claim`, if that failed) and `close` may be called.
    """

    async def claim(self) -> Claim:
        """Connects and takes the dataset over: the next epoch on the checkpoint's row, durably.

        Raises:
            ClaimRefusedError: The same connector has already run with that number or a higher one.
            SchemaConflictError: Another connector fills this table (upsert mode).
        """

    async def prepare(self, schema: StreamSchema) -> None:
        """Makes the tables fit the schema: created, columns added, types widened; called before its first batch.

        Raises:
            SchemaConflictError: They can't be made to fit; the message lists the differences. Nothing was changed.
        """

    async def write(self, transaction: Transaction) -> Receipt:
        """Commits; returns when that is confirmed. Calls may overlap when `wait` is false and commit in the order of the calls.

        Raises:
            FenceLostError: A newer runner holds the dataset; nothing was written.
            WriteAgain: See there.
        """

    async def recover(self) -> int:
        """Connects again if need be, checks that the epoch is still held, and returns the last committed number."""

    async def close(self) -> None:
        """Lets go of everything; safe at any time and twice."""


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """One row of the checkpoint table, for people."""

    connector: str
    stream: str
    table: str
    epoch: int
    number: int
    uid: str
    run: int
    identity: str
    schema_version: str
    position: Position | None
    write_mode: str
    updated: str


class Inspector(Protocol):
    """Looks at a dataset without claiming it; blocking calls, for commands."""

    def newest_rows(self, limit: int) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """Column names and the rows that were inserted last, the newest last.

        In upsert mode a row that is changed later need not move: databases keep no time of their rows.
        """

    def checkpoints(self) -> Sequence[StoredCheckpoint]:
        """Those of the context's connector, stream and table."""

    def reset_checkpoints(self) -> int:
        """Forgets their positions and fences off whoever still writes; returns how many there were."""

    def close(self) -> None:
        """Lets go of the connection."""
