"""The contract of a sink: claim, prepare, write, recover, close, and what each promises.

The package or module `connector_runner.sinks.<scheme>` is found by the scheme of the dataset's URL; it offers
`build_sink(context: SinkContext) -> Sink` and `build_inspector(context: SinkContext) -> Inspector`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from connector_runner.protocols.batch import Batch, Incident, Position
from connector_runner.protocols.errors import ActionRequiredError, TransientError
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
        read_url: Returns the dataset's URL; called again for each connection, because a mounted Secret may have been rotated.
        tables: Stream → its table, possibly schema-qualified; the selection.
        connector: `namespace/name`; it identifies a checkpoint together with stream and table.
        is_selection: Whether the streams are a selection that may change (`spec.streams`), even if it has only one stream now.
        isolates: Whether a stream that fails in the dataset stands aside (`Claim.failures`, `ConnectorError.stream`) instead of
            ending the run. Of two streams that meet in one table, the one that is first in `tables` keeps it.
        uid, run: UID of the Connector, number of the execution; the fence refuses a run older than one it has seen with this UID.
        unmoved: The mark of the holder that made the fence refuse an earlier run of this connector; see `fencing.next_epoch`.
        take_over: The holder from whom the table is taken over; see `fencing.find_taken`.
        wait: If False, several calls of `write` may run at once.
        directory: The directory that relative file URLs are resolved against.
        refusal_limit: How many consecutive rows may be refused before the run ends.
        ledger_schema: The schema with the checkpoint table, for a database with schemas; "" for the default (`datasets.ledger_schemas`).
        read_options: Returns the dataset's options (`Descriptor.options`), checked; called again for each connection, as `read_url`.
        selection: JSON that the claim of a selection stores in the ledger, for the next run (`StoredStreams`); "" leaves it as it is.
    """

    read_url: Callable[[], str] = field(repr=False)
    tables: Mapping[str, str]
    connector: str
    is_selection: bool = False
    isolates: bool = False
    uid: str = ""
    run: int = 0
    unmoved: str = ""
    take_over: TakeOver | None = None
    write_mode: WriteMode = WriteMode.UPSERT
    refused_rows: RefusedRows = RefusedRows.DEAD_LETTER
    wait: bool = True
    directory: Path = Path()
    refusal_limit: int = REFUSAL_LIMIT
    selection: str = ""
    ledger_schema: str = ""
    read_options: Callable[[], Mapping[str, str]] = field(default=dict, repr=False)

    @property
    def has_anchor(self) -> bool:
        """Whether the reader's position is stored once, separate from the streams' places."""
        return self.is_selection or len(self.tables) != 1


@dataclass(frozen=True, slots=True)
class Claim:
    """What a runner holds after claiming a dataset.

    Attributes:
        checkpoints: Stream → its checkpoint in the dataset; None if nothing was committed yet.
        epoch: The fencing epoch of this runner.
        number: The number of the last committed transaction.
        places: Stream → its own part of the position (`whole_position`), for streams whose place the dataset stores separately.
        failures: Stream → why it could not be claimed; such streams are not in `checkpoints`. Only with `SinkContext.isolates`.
        tables: Stream → its table. A stream that has another one than in the claim before must be prepared again.
    """

    checkpoints: Mapping[str, Checkpoint | None]
    epoch: int
    number: int
    places: Mapping[str, Position] = field(default_factory=dict)
    failures: Mapping[str, ActionRequiredError] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transaction:
    """Batches of any streams, each stream in one schema, that become visible together with the position after the last batch.

    Attributes:
        number: One more than the number of the previous transaction.
        batches: The batches; if empty, only the fence is checked and the time of the checkpoint updated.
        identity: The source's identity, from `Opened.identity`.
        reached: The reader's position, if the last batches were left out (those of a parked stream).
    """

    number: int
    batches: tuple[Batch, ...] = ()
    identity: str = ""
    reached: Position | None = None

    @property
    def position(self) -> Position | None:
        """The reader's position after it; None if it has none."""
        return self.reached if self.reached is not None or not self.batches else self.batches[-1].position


@dataclass(frozen=True, slots=True)
class Receipt:
    """The result of a committed transaction.

    Attributes:
        refused: How many rows became dead letters.
    """

    refused: int = 0


class WriteAgain(TransientError):  # noqa: N818 - not an error, but a request
    """The connection is fine: call `recover`, then write the unconfirmed transactions again, at once."""

    reason = "WriteAgain"


class Sink(Protocol):
    """One connection to a dataset, used by one runner.

    All methods raise `TransientError` for failures that may be temporary (unreachable, locked, disk full) and `ActionRequiredError`
    for errors that a user must fix. After a `TransientError` only `recover` (or `claim`, if that failed) and `close` may be called.
    """

    async def claim(self) -> Claim:
        """Connects and claims the dataset: durably sets the next epoch on the checkpoint's row.

        Raises:
            ClaimRefusedError: The same connector has already run with this number or a higher one.
            SchemaConflictError: Another connector fills this table (upsert mode).
        """

    async def prepare(self, schema: StreamSchema, *, renews: bool = False) -> None:
        """Makes the tables fit the schema: creates them, adds columns, widens types; called before the schema's first batch.

        With `renews` that batch renews the table (`Batch.renews`): what can only be altered without rows is altered when it is written,
        in its transaction. Where a sink can't do that, it is an error as without.

        Raises:
            SchemaConflictError: They can't be made to fit; the message lists the differences. Nothing was changed.
        """

    async def write(self, transaction: Transaction) -> Receipt:
        """Commits; returns when the commit is confirmed. If `wait` is false, calls may overlap; they commit in the order of the calls.

        Raises:
            FenceLostError: A newer runner holds the dataset; nothing was written.
            WriteAgain: The transaction must be written again, see there.
        """

    async def recover(self) -> int:
        """Connects again if needed, checks that the epoch is still held, and returns the last committed number."""

    async def select(self, tables: Mapping[str, str] | None, record: str = "") -> Claim:
        """Changes the selection of the running claim, in one transaction that checks the fence; nothing may be in flight.

        New streams are claimed. Streams that are missing are released: each keeps its table and its checkpoint, at its present
        position. One that gets another table does both, and no batch of it follows before the next `prepare`. All others stay as
        they are, parked ones parked.

        Args:
            tables: Stream → table, all of the new selection; None for the present one, to try streams that failed again.
            record: Replaces what is recorded of the selection (`SinkContext.selection`); "" leaves it.

        Returns:
            The checkpoints of all streams of the new selection.

        Raises:
            FenceLostError: A newer runner holds the dataset; nothing was changed.
        """

    async def park(self, stream: str, incident: Incident) -> None:
        """Stores a stream's whole position as its place, so that it stays there while the reader goes on; nothing may be in flight.

        Args:
            stream: A stream of the selection; no batch of it follows before the next `select` or `claim`.
            incident: Stored with it, if the stream's table for incidents exists.

        Raises:
            FenceLostError: A newer runner holds the dataset; nothing was changed.
        """

    async def close(self) -> None:
        """Releases everything; may be called at any time and more than once."""


@runtime_checkable
class Staging(Protocol):
    """What a sink offers too that collects several transactions into one commit.

    Its `write` returns once the rows are staged: they outlive an error of the dataset, but not the process, so the position in the
    dataset is that of the last commit. `recover` keeps what is staged, and returns the number of the last staged transaction.
    `prepare`, `select`, `park` and `claim` are called with nothing staged.
    """

    def due_in(self) -> float | None:
        """In how many seconds `flush` should be called; None if nothing is staged."""

    async def flush(self) -> None:
        """Commits everything that is staged; returns when that is confirmed.

        Raises:
            FenceLostError, TransientError: As `Sink.write`.
        """


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


@dataclass(frozen=True, slots=True)
class StoredStream:
    """A stream that the ledger knows, selected now or not.

    Attributes:
        stream, table: Which stream, and the name of its table, with its schema if the context names that schema or none would find it.
        has_position: Whether something was committed for it.
        is_member: Whether it belongs to the connector's selection.
        updated: When its row was written last.
    """

    stream: str
    table: str
    has_position: bool
    is_member: bool
    updated: str


@dataclass(frozen=True, slots=True)
class StoredStreams:
    """What the ledger knows of a connector.

    Attributes:
        streams: Its streams, one for each table that one has filled.
        selection: The JSON that its last selection recorded (`SinkContext.selection`); "" for none.
        had_selection: Whether it has ever had a selection here.
    """

    streams: tuple[StoredStream, ...] = ()
    selection: str = ""
    had_selection: bool = False


class Inspector(Protocol):
    """Inspects a dataset without claiming it; blocking calls, for commands."""

    def newest_rows(self, limit: int) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """Column names and the rows that were inserted last, newest last.

        In upsert mode a row that is changed later may keep its rank: databases store no time with their rows.
        """

    def stored_streams(self) -> StoredStreams:
        """All streams of the connector that this ledger knows."""

    def checkpoints(self) -> Sequence[StoredCheckpoint]:
        """The checkpoints of the context's connector, streams and tables."""

    def reset_checkpoints(self) -> int:
        """Deletes their positions and fences off any runner that still writes; returns how many checkpoints there were."""

    def close(self) -> None:
        """Closes the connection."""
