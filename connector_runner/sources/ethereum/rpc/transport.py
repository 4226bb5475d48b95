"""JSON-RPC that returns raw bytes, over HTTP (`http`) or a socket (`sockets`): results stay undecoded until a decoder needs them.

web3.py decodes and formats each answer on arrival, which takes many times as long as all other work here; it is only used
where that does not matter (`discovery`).
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from connector_runner.resilience.retry_after import parse_retry_after
from connector_runner.sources.ethereum.errors import NodeFailure, Verdict
from connector_runner.sources.ethereum.rpc.methods import LOGS
from connector_runner.sources.ethereum.rpc.refusals import RpcError, classify_error, read_error
from connector_runner.sources.ethereum.settings import Endpoint

MOST_BYTES = 64 * 1024 * 1024
"""The largest answer that is accepted."""
MOST_LOG_BYTES = 16 * 1024 * 1024
"""The largest answer to a log query, which can be split into smaller queries."""
CONNECT_SECONDS = 15.0
LONGEST_RETRY_AFTER = 300.0
FIRST_BACKOFF = 0.1
"""Seconds of the first wait between attempts, which doubles (`resilience.backoff`)."""
SILENCE_SECONDS = 30.0
"""How long a request may wait for the next byte while the endpoint's limits are unknown (`endpoints.limits`), in seconds."""

Call = tuple[str, Sequence[Any]]
Answer = msgspec.Raw


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Returns the seconds in the header Retry-After, at most `LONGEST_RETRY_AFTER`; None when there is none."""
    return parse_retry_after(headers.get("Retry-After"), datetime.now(UTC), longest=LONGEST_RETRY_AFTER)


class Envelope(msgspec.Struct):
    """A JSON-RPC answer with an undecoded result."""

    id: Any = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: Any = None
    params: msgspec.Raw = msgspec.Raw(b"")
    """The params of a notification, which does not answer a request."""

    @property
    def number(self) -> int | None:
        """The id of the answered request, even if a proxy has converted it to text or a fraction."""
        try:
            return int(self.id)
        except (TypeError, ValueError):
            return None


decode_envelope = msgspec.json.Decoder(Envelope).decode
decode_envelopes = msgspec.json.Decoder(list[Envelope]).decode


class Transport(ABC):
    """One connection to an endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._ids = itertools.count(1)

    @abstractmethod
    async def connect(self) -> None:
        """Connects; raises NodeFailure."""

    @abstractmethod
    async def send(self, calls: Sequence[Call], silence: float = SILENCE_SECONDS) -> list[Answer]:
        """Returns the calls' results in order, as raw JSON; raises the first failure. `silence`: seconds to wait for a byte.

        Raises:
            NodeFailure: A request failed; classified by the table of failures.
        """

    @abstractmethod
    async def close(self) -> None:
        """Closes the connection; may be called at any time, and twice."""

    @property
    def is_broken(self) -> bool:
        """Whether a new connection is needed."""
        return False

    def _request(self, number: int, call: Call) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": number, "method": call[0], "params": call[1]}

    def _result(self, call: Call, envelope: Envelope, status: int = 200, retry_after: float | None = None) -> Answer:
        if envelope.error is not None:
            error = read_error(envelope.error)
            shown = RpcError(error.code, self.endpoint.redact(error.message))
            raise classify_error(call[0], shown, self.endpoint.shown, status, retry_after, width_of(call))
        if not envelope.result:
            raise self._failure(f"answered {call[0]} with neither a result nor an error")
        return envelope.result

    def _too_large(self, call: Call, most: int) -> NodeFailure:
        verdict = Verdict.SHRINK if call[0] == LOGS else Verdict.TRANSIENT
        what = f"answered {call[0]} with more than {most >> 20} MB, which is not taken"
        return NodeFailure(verdict, "TooLarge", f"{self.endpoint.shown} {what}")

    def _failure(self, what: str, error: BaseException | None = None, *, is_unreachable: bool = False) -> NodeFailure:
        detail = f" ({self.endpoint.redact(str(error) or type(error).__name__)[:200]})" if error is not None else ""
        return NodeFailure(
            Verdict.TRANSIENT,
            "Unavailable",
            f"{self.endpoint.shown} {what}{detail}",
            is_silence=isinstance(error, TimeoutError) and not is_unreachable,
            is_unreachable=is_unreachable,
        )


def width_of(call: Call) -> int:
    """How many blocks a log query covers; 1 for other calls."""
    bounds = call[1][0] if call[0] == LOGS else None
    if not isinstance(bounds, dict) or "fromBlock" not in bounds:
        return 1
    return int(bounds["toBlock"], 16) - int(bounds["fromBlock"], 16) + 1
