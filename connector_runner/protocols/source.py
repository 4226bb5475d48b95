"""The contract of a source: discover, open, batches, close.

The package `connector_runner.sources.<type>` (type in lower case) is found by its name; it offers
`build_source(context: SourceContext) -> Source` and a `schema.yaml` that describes its configuration.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from connector_runner.protocols.batch import Batch, Position
from connector_runner.protocols.errors import START_OVER, ActionRequiredError, ConnectorError, SourceChangedError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.schemas.catalogue import Catalogue


class WriteMode(StrEnum):
    """How a dataset stores rows: the state by key, or the history of all changes."""

    UPSERT = "upsert"
    APPEND = "append"


class StreamState(StrEnum):
    """What happens to one stream of a selection."""

    COPYING = "copying"
    FOLLOWING = "following"
    FAILED = "failed"


class Report(Protocol):
    """Where a source reports events; feeds logs, metrics, readiness and the terminal. Never blocks."""

    def connected(self) -> None:
        """The source is connected and its answers are understood: called before `open` returns, and after each `disconnected`.

        Only the source reports this: a runner whose source does not is never ready. In each source exactly one module does
        (`make lint` checks).
        """

    def disconnected(self, message: str) -> None:
        """The connection is lost; the runner is not ready until `connected`."""

    def lag(self, seconds: float) -> None:
        """How far the stream is behind the source's newest data; 0 at the head."""

    def progress(self, done: int, total: int | None, unit: str, stream: str = "") -> None:
        """Progress of a snapshot or backfill: `done` of about `total` (None if unknown) in `rows`, `blocks`, …

        `stream` is whose copy it is, "" if it is one for all streams. It is whole when `done` is `total`, or when `stream` reports it as
        followed.
        """

    def count(self, name: str, amount: int = 1) -> None:
        """Counts an event by its name in snake_case: `unknown_messages`, `gaps`, `reconnects`, `retracted_blocks`, …"""

    def note(self, message: str, **fields: Any) -> None:
        """Writes one line to the log."""

    def stream(self, stream: str, state: StreamState, reason: str = "", message: str = "") -> None:
        """A stream of a selection is in another state. Sources of one stream need not report it.

        With why it failed: `reason` in one word and `message` in a sentence, or all in `reason`.
        """


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source is built from; building does no I/O.

    Attributes:
        config: The configuration, merged with its Secrets, coerced, validated by the type's schema, with defaults.
        connector: `namespace/name`; stable across restarts, for names that a server shows and for derived ids.
        write_mode: What the dataset stores; a source may need to emit less in one of the modes.
        report: Where the source reports events.
        isolates: Whether one of several streams that fails is parked while the others continue; else its failure ends all. Without
            meaning for a single stream.
        appeared: Receives the id of a stream that the source got while it is read, at most once each; must not block. None: nobody
            wants to know.
    """

    config: Mapping[str, Any]
    connector: str
    write_mode: WriteMode
    report: Report
    isolates: bool = True
    appeared: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the sink knows about a stream.

    Attributes:
        position: The position after the last committed batch.
        identity: The identity of the source that it came from (`Opened.identity`).
        schema_version: The `StreamSchema.version` of the last committed batch.
    """

    position: Position
    identity: str
    schema_version: str


@dataclass(frozen=True, slots=True)
class Opened:
    """Streams that are ready to be read.

    Attributes:
        schemas: Stream → the schema of its next batch; of all but those that failed before they had any batch.
        identity: What distinguishes this source from others of its type (host, server UUID, chain id and genesis hash).
        failed: Stream → why it can't be read now while the others are (`SourceContext.isolates`). One that has a checkpoint gets a
            batch with the incident `parked`.
    """

    schemas: Mapping[str, StreamSchema]
    identity: str
    failed: Mapping[str, ConnectorError] = field(default_factory=dict)


class Source(Protocol):
    """One reader of a source, for all streams that it is opened with.

    Resuming is the source's promise: after `open` at a position that came with a batch, `batches` yields exactly what came
    after that batch: nothing missing, nothing twice. A source either recovers from a temporary failure by itself, or raises it as
    `TransientError` from `open` or `batches`; then the pipeline closes it, waits, builds a new one and opens it at the last position
    that it received.
    """

    async def discover(self, selected: str | None, also: Collection[str] = ()) -> Catalogue:
        """The streams this configuration can have; `selected` is included even when the list is capped.

        Args:
            selected: The stream that will be read with this configuration, if known.
            also: Streams that other connectors have selected; included too if they exist. They never cause a failure.

        Raises:
            TransientError: The source can't be reached now.
            ActionRequiredError: Credentials, permissions or settings must be fixed.
        """

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        """Connects, checks the streams and their histories, and prepares to read each after its checkpoint (None: from the start).

        Args:
            checkpoints: Stream → its checkpoint (whole positions). Streams at the same position are read together from there.

        Raises:
            UnknownStreamError: A stream does not exist; the message lists what is possible.
            SourceChangedError: The checkpoint is from another source.
            TransientError, ActionRequiredError: As in `discover`.
        """

    def batches(self) -> AsyncIterator[Batch]:
        """The streams from there on, one stream in each batch (`batch.schema.stream`); ends only when all have truly ended.

        Where streams stand at different positions, the first transaction (`Batch.more`) has a batch of each that is not at the reader's
        position, with a place that says where it is: one that shared an earlier position of the reader would else move with it.

        Reads ahead only within bounds (bytes).
        """

    async def close(self) -> None:
        """Releases everything; may be called at any time and more than once."""


def only_stream(checkpoints: Mapping[str, Checkpoint | None], connector_type: str) -> tuple[str, Checkpoint | None]:
    """The stream and its checkpoint, for a source that can carry only one.

    Raises:
        ActionRequiredError: There are several streams, or none.
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
    """Compares identities, for sources whose identity is a plain text.

    Raises:
        SourceChangedError: The two differ.
    """
    if recorded != found:
        raise SourceChangedError(
            f"the dataset was filled from {recorded}, but the configuration now leads to {found}; "
            f"point it back, choose another datasetId, or {START_OVER}"
        )
