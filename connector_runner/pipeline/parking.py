"""Streams of a selection that the dataset can't take: each stays where it is, while the others go on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.protocols.batch import Incident
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.protocols.sink import Sink, Transaction


def ignore(_: str) -> None:
    """Does nothing."""


class Parked:
    """The streams that failed in the dataset, by name.

    Args:
        telemetry: Told of each.
        on_parked: Called with each, so that it is read no more.
    """

    def __init__(self, telemetry: Telemetry, on_parked: Callable[[str], None]) -> None:
        self._telemetry = telemetry
        self._on_parked = on_parked
        self._streams: set[str] = set()
        self._unstored: dict[str, ActionRequiredError] = {}

    def __contains__(self, stream: str) -> bool:
        return stream in self._streams

    def would_hold_all(self, stream: str, selected: Collection[str]) -> bool:
        """Whether no stream is left if this one is parked too."""
        return self._streams | {stream} >= set(selected)

    def add(self, error: ActionRequiredError) -> None:
        """From now on no batch of the error's stream is sent."""
        self._streams.add(error.stream)
        self._unstored[error.stream] = error
        self._telemetry.parked(error.stream, error)
        self._on_parked(error.stream)

    def clear(self) -> set[str]:
        """The selection was claimed again: all streams are tried again. Returns those that were parked."""
        parked, self._streams = self._streams, set()
        return parked

    async def store(self, sink: Sink) -> None:
        """Stores the place of each stream that was added since; must come before the next transaction.

        Raises:
            TransientError: Not all are stored; to be called again.
        """
        for stream, error in list(self._unstored.items()):
            await sink.park(stream, build_incident(stream, error))
            del self._unstored[stream]

    def leave_out(self, transaction: Transaction) -> Transaction:
        """The transaction without the batches of parked streams, up to the same position."""
        if not self._streams or not transaction.batches:
            return transaction
        batches = tuple(batch for batch in transaction.batches if batch.schema.stream not in self._streams)
        if len(batches) == len(transaction.batches):
            return transaction
        return replace(transaction, batches=batches, reached=transaction.position)


def build_incident(stream: str, error: ActionRequiredError) -> Incident:
    """What readers of the dataset are told: from here on the table misses what the others have."""
    message = (
        f"stream {stream} is parked: {error.message}; the other streams go on without it, so transactions of the source that span "
        "its table are split from here on"
    )
    return Incident("parked", stream, message, {"reason": error.reason})
