"""What other Connectors of the namespace that need the same list of streams know about it, as values."""

from __future__ import annotations

from datetime import datetime

import msgspec

from connector_operator.resources.reasons import Reason, RunnerReason
from connector_runner.schemas.catalogue import StreamSummary
from connector_runner.schemas.kinds.connector_status import Discovery
from connector_runner.schemas.kinds.streams import StreamsSpec


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The streams that a discovery has listed, and what the status says about that discovery."""

    discovery: Discovery
    streams: tuple[StreamSummary, ...]
    total: int


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A discovery that failed: whose it was, the name of its Job, and what the status says about it."""

    by: str
    job: str
    discovery: Discovery


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """A Connector whose discovery is running, or has ended and is about to be read.

    Attributes:
        begun: When its Job was created, or is about to be.
        reason, message: Why its pod does not start, if only a person can help; otherwise None and "".
    """

    name: str
    begun: datetime
    reason: Reason | RunnerReason | None = None
    message: str = ""


class Peers(msgspec.Struct, frozen=True, kw_only=True):
    """All of these together, the newest first.

    Attributes:
        also: Streams that other connectors have selected and whose status does not list them (yet).
        selections: Selections of many streams by other connectors whose status does not tell (yet) what they take.
    """

    answers: tuple[Answer, ...] = ()
    failures: tuple[Failure, ...] = ()
    askers: tuple[Asker, ...] = ()
    also: tuple[str, ...] = ()
    selections: tuple[StreamsSpec, ...] = ()
