"""What a source is: discover, open, batches, close.

The package `connector_runner.sources.<type>` (type in lower case) is found by its name; it offers
`build_source(context: SourceContext) -> Source` and a `schema.yaml` that describes its configuration.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from connector_runner.protocols.batch import Batch, Position
from connector_runner.protocols.errors import START_OVER, ActionRequiredError, SourceChangedError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.schemas.catalogue import Catalogue


class WriteMode(StrEnum):
    """How a dataset keeps rows: the state by key, or the history of all changes."""

    UPSERT = "upsert"
    APPEND = "append"


class Report(Protocol):
    """Where a source tells what goes on inside it; feeds logs, metrics, readiness and the terminal. Never blocks."""

    def connected(self) -> None:
        """The source is connected and understood: before `open` returns, and after each `disconnected`.

        Nobody else says so: a runner whose source does not is never ready. One module of each source does (`make lint` looks).
        """

    def disconnected(self, message: str) -> None:
        """The connection is gone; readiness is false until `connected`."""

    def lag(self, seconds: float) -> None:
        """How far behind the source's newest data the stream is; 0 at the head."""

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """A snapshot or backfill went on: done of about total (None: unknown) in `rows`, `blocks`, …"""

    def count(self, name: str, amount: int = 1) -> None:
        """Counts something by a name in snake_case: `unknown_messages`, `gaps`, `reconnects`, `retracted_blocks`, …"""

    def note(self, message: str, **fields: Any) -> None:
        """One line for the log."""


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source is built from; building does no I/O.

    Attributes:
        config: Merged with its Secrets, coerced, validated by the type's schema, defaults filled in.
        connector: `namespace/name`; stable over restarts, for names that a server shows and ids derived from it.
        write_mode: What the dataset keeps; a source may need to emit less in one of them.
        report: Where to tell what goes on.
    """

    config: Mapping[str, Any]
    connector: str
    write_mode: WriteMode
    report: Report


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the sink knows of the stream.

    Attributes:
        position: After the last committed batch.
        identity: Of the source that it came from, as `Opened.identity` gave it.
        schema_version: `StreamSchema.version` of the last committed batch.
    """

    position: Position
    identity: str
    schema_version: str


@dataclass(frozen=True, slots=True)
class Opened:
    """Streams that are ready to be read.

    Attributes:
        schemas: Stream → the schema of its first batch to come.
        identity: What tells this source from others of its type (host, server UUID, chain id and genesis hash).
    """

    schemas: Mapping[str, StreamSchema]
    identity: str


class Source(Protocol):
    """One reader of a source, for all streams that it is opened with.

    Resuming is the source's promise: after `open` at a position that came with a batch, `batches` yields exactly what came
    after that batch: nothing missing, nothing again. Transient trouble is either mended inside or raised as `TransientError`
    from `open` or `batches`; then the pipeline closes it, waits, builds a new one and opens it at the last position it was handed.
    """

    async def discover(self, selected: str | None, also: Collection[str] = ()) -> Catalogue:
        """The streams this configuration can have; `selected` is included even when the list is capped.

        Args:
            selected: What is to be read from this configuration, if that is known.
            also: Included likewise where they exist: other connectors have selected them. Nothing fails for their sake.

        Raises:
            TransientError: The source can't be reached now.
            ActionRequiredError: Credentials, permissions or settings must be mended.
        """

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        """Connects, checks the streams and their histories, and gets ready to read each after its checkpoint (None: from the start).

        Args:
            checkpoints: Stream → where it stands (whole positions). Streams at one position are read together from there.

        Raises:
            UnknownStreamError: With what is possible.
            SourceChangedError: The checkpoint came from somewhere else.
            TransientError, ActionRequiredError: As in `discover`.
        """

    def batches(self) -> AsyncIterator[Batch]:
        """The streams from there on, each batch of one (`batch.schema.stream`); ends only when all have truly ended.

        Reads ahead only within bounds (bytes).
        """

    async def close(self) -> None:
        """Lets go of everything; safe at any time and twice."""


def only_stream(checkpoints: Mapping[str, Checkpoint | None], connector_type: str) -> tuple[str, Checkpoint | None]:
    """The stream and its checkpoint, for a source that carries just one.

    Raises:
        ActionRequiredError: There are several, or none.
    """
    if len(checkpoints) != 1:
        named = ", ".join(sorted(checkpoints)[:5]) or "none"
        raise ActionRequiredError(
            f"a connector of type {connector_type} carries one stream, but {len(checkpoints)} are selected ({named}); select one "
            "with spec.selectedStream, and make a connector for each of the others",
            reason="InvalidConfig",
        )
    ((stream, checkpoint),) = checkpoints.items()
    return stream, checkpoint


def require_same_source(recorded: str, found: str) -> None:
    """For sources whose identity is a plain text.

    Raises:
        SourceChangedError: The two differ.
    """
    if recorded != found:
        raise SourceChangedError(
            f"the dataset was filled from {recorded}, but the configuration now leads to {found}; "
            f"point it back, choose another datasetId, or {START_OVER}"
        )
