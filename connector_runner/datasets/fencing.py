"""The fence: decides who may write, from the checkpoint's row."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from connector_runner.protocols.batch import Position
from connector_runner.protocols.errors import (
    ActionRequiredError,
    ClaimRefusedError,
    DatasetWentBackError,
    FenceLostError,
    SchemaConflictError,
    TakenOverError,
    TransientError,
)
from connector_runner.protocols.source import Checkpoint, WriteMode
from connector_runner.schemas.manifest import TakeOver

# Columns of the checkpoint table, always in this order; the first three are its key.
COLUMNS = (
    "connector", "stream", "table_name", "epoch", "number", "uid", "run", "identity", "schema_version", "position",
    "write_mode", "updated",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Holder:
    """A row of the checkpoint table: who holds it, and the stream's position."""

    connector: str
    stream: str
    table: str
    epoch: int
    number: int
    uid: str
    run: int
    identity: str
    schema_version: str
    position: str | None
    write_mode: str

    @property
    def is_reset(self) -> bool:
        """Whether nobody holds it: `checkpoint reset` leaves such a row."""
        return self.position is None and not self.uid

    @property
    def mark(self) -> str:
        """A mark of its progress: every commit changes it, also the commit of a runner that has nothing to write."""
        return f"{self.epoch}:{self.number}"

    @property
    def place(self) -> str:
        """What it holds, for messages; the anchor of a selection names no table."""
        return f"table {self.table}" if self.table else "the streams"

    def checkpoint(self) -> Checkpoint | None:
        """The stream's checkpoint."""
        if self.position is None:
            return None
        return Checkpoint(decode_position(self.position), self.identity, self.schema_version)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a position holds {type(value).__name__}, which JSON has not")


# Created once: `json.dumps` with options creates an encoder at every call, and append mode encodes a position for every batch.
_encode = json.JSONEncoder(separators=(",", ":"), default=_plain).encode


def encode_position(position: Position) -> str:
    """Compact JSON."""
    return _encode(position)


def decode_position(text: str) -> Position:
    """The reverse of `encode_position`."""
    position: Position = json.loads(text)
    return position


def next_epoch(holder: Holder | None, uid: str, run: int, *, tried: int = 0, unmoved: str = "") -> int:
    """The epoch for a runner that claims.

    Args:
        holder: The checkpoint's row.
        uid: The UID of the Connector object.
        run: The number of its execution.
        tried: The epoch of this runner's own earlier attempt whose answer was lost; 0 for none.
        unmoved: The mark that a refused run of this connector was given; this run may follow only while the mark is the same.

    Raises:
        ClaimRefusedError: The same connector has already run with this number or a higher one, or is still running.
    """
    if holder is None:
        return 1
    is_own = holder.run == run and holder.epoch == tried
    if holder.uid != uid or is_own:
        return holder.epoch + 1
    place = f"{holder.place} (epoch {holder.epoch})"
    if unmoved and holder.mark != unmoved:
        raise ClaimRefusedError(
            f"somebody else runs {holder.connector}: run {holder.run} holds {place} and has committed since run {run} was "
            "prepared; is there a copy of this connector in another cluster?",
            holder.run,
            holder.mark,
        )
    if holder.run > run:
        raise ClaimRefusedError(
            f"run {run} of {holder.connector} is too late: run {holder.run} has already claimed {place}",
            holder.run,
            holder.mark,
        )
    if holder.run == run:
        raise ClaimRefusedError(
            f"run {run} of {holder.connector} has already claimed {place} from another pod; it may still write",
            holder.run,
            holder.mark,
        )
    return holder.epoch + 1


@dataclass(frozen=True, slots=True)
class Taken:
    """A table that is taken over from another connector or stream.

    Attributes:
        holder: Who holds it now.
        keeps_position: The stream is the same, so it continues from the same position; else the rows stay and it starts over.
    """

    holder: Holder
    keeps_position: bool

    @property
    def incident(self) -> tuple[str, str, str, str, str]:
        """Kind, subject, message, detail (JSON) and position of the incident that records it."""
        holder = self.holder
        how = "continues at its position" if self.keeps_position else "starts over; the rows stay"
        message = f"taken over from connector {holder.connector}, stream {holder.stream} (epoch {holder.epoch}) as requested; {how}"
        detail = {
            "connector": holder.connector,
            "stream": holder.stream,
            "epoch": holder.epoch,
            "keepsPosition": self.keeps_position,
        }
        return ("takeover", holder.table, message, json.dumps(detail), holder.position or "null")


def find_taken(
    others: Sequence[Holder], take_over: TakeOver | None, connector: str, stream: str, *, append: bool
) -> Taken | None:
    """What is taken over: only from exactly the holder and the epoch that were named.

    Args:
        others: All rows of the checkpoint table for the same table.
        take_over: The holder that was named; None for none.
        connector: The connector that claims.
        stream: The stream that it claims for.
        append: Whether the table is a history, which several connectors may share.

    Raises:
        ActionRequiredError: The table is a history: its rows carry the name of the connector that wrote them.
    """
    if take_over is None:
        return None
    named = (take_over.connector, take_over.epoch)
    for other in others:
        is_other = (other.connector, other.stream) != (connector, stream) and not other.is_reset
        if is_other and (other.connector, other.epoch) == named:
            if append:
                raise ActionRequiredError(
                    f"spec.takeOver: table {other.table} is a history (writeMode append), whose rows and positions have the name "
                    "of the connector that wrote them; several may share it, so nothing has to be taken over: remove "
                    f"spec.takeOver, and this connector starts as a new one beside the rows of {other.connector}; to continue at that one's "
                    "position keep its name and namespace instead",
                    reason="TakeOverRefused",
                )
            mine = any((o.connector, o.stream) == (connector, stream) and o.position is not None for o in others)
            return Taken(other, other.stream == stream and not mine)
    return None


def find_rival(others: Iterable[Holder], connector: str, stream: str, *, append: bool) -> Holder | None:
    """Who fills the same table in a way that does not go together with this claim: state by key has one stream, histories may share.

    Args:
        others: All rows of the checkpoint table for the same table.
        connector: The connector that claims.
        stream: The stream that it claims for.
        append: Whether it claims for a history.
    """
    for other in others:
        is_other = (other.connector, other.stream) != (connector, stream) and not other.is_reset
        if is_other and not (append and other.write_mode == WriteMode.APPEND):
            return other
    return None


def require_alone(
    others: Sequence[Holder],
    connector: str,
    stream: str,
    table: str,
    take_over: TakeOver | None = None,
    *,
    append: bool,
) -> None:
    """Checks that nobody else fills a table who can't share it.

    Args:
        others: See `find_rival`.
        connector: See `find_rival`.
        stream: See `find_rival`.
        table: The table that it claims.
        take_over: The holder that was named to take the table over from.
        append: See `find_rival`.

    Raises:
        SchemaConflictError: Another connector or stream fills it.
    """
    other = find_rival(others, connector, stream, append=append)
    if other is None:
        return
    if append:
        raise SchemaConflictError(
            f"table {table} is filled by stream {other.stream} of connector {other.connector} with the state by key (writeMode "
            f"{other.write_mode}), which is no history: choose another table (datasetId, or streams.tables), or, if that connector is "
            "gone for good, reset its checkpoint (connector-runner checkpoint reset) and remove the table"
        )
    patch = json.dumps({"spec": {"takeOver": {"connector": other.connector, "epoch": other.epoch}}})
    namespace, _, name = connector.rpartition("/")
    named = take_over is not None and take_over.connector == other.connector and take_over.epoch != other.epoch
    late = f" (spec.takeOver names epoch {take_over.epoch})" if named and take_over is not None else ""
    raise SchemaConflictError(
        f"table {table} is filled by stream {other.stream} of connector {other.connector}, with epoch {other.epoch}{late}; two "
        "streams in one table would overwrite each other: choose another table (datasetId, or streams.tables), set writeMode: "
        "append on both, or stop the other one and take its table over: "
        f"kubectl patch connector {name} -n {namespace or 'default'} --type=merge -p '{patch}'"
    )


def explain_refused_commit(holder: Holder | None, uid: str, run: int, epoch: int, number: int) -> Exception:
    """Why the checkpoint's row refused a commit that expected it to have `epoch` and `number - 1`."""
    if holder is None:
        return FenceLostError("the checkpoint's row is gone: somebody removed it while this runner was writing")
    if holder.epoch != epoch:
        if holder.is_reset:
            return FenceLostError(f"the checkpoint of {holder.connector} was reset while run {run} was writing")
        if holder.epoch < epoch:  # each claim raises it
            return DatasetWentBackError(
                f"the dataset has epoch {holder.epoch} of {holder.connector}, but run {run} has claimed it with epoch {epoch}: it was "
                "restored from a backup, or it lost commits in a failover. This run ends; the next one reads again from the "
                "dataset's position"
            )
        other = f"run {holder.run}" + ("" if holder.uid == uid else f" of another connector object (uid {holder.uid})")
        return TakenOverError(
            f"{other} has taken over {holder.place} of {holder.connector}: its epoch is {holder.epoch}, "
            f"that of run {run} was {epoch}"
        )
    return TransientError(f"transaction {number} was sent, but the last committed one is {holder.number}")
