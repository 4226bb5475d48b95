"""JSON-RPC that hands over raw bytes, over HTTP (`http`) or a stream (`sockets`): results stay undecoded until a decoder wants them.

web3.py decodes and formats each answer as it comes, which takes many times as long as the rest of the work here; it is
used where that does not matter (`discovery`).
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
"""The largest answer that is taken."""
MOST_LOG_BYTES = 16 * 1024 * 1024
"""The largest answer to a log query, which can be asked for in smaller pieces."""
CONNECT_SECONDS = 15.0
LONGEST_RETRY_AFTER = 300.0
FIRST_BACKOFF = 0.1
"""Seconds of the first wait between tries, which doubles (`resilience.backoff`)."""
SILENCE_SECONDS = 30.0
"""How long a request may wait for the next byte, as long as nothing is known of the endpoint (`endpoints.limits`)."""

Call = tuple[str, Sequence[Any]]
Answer = msgspec.Raw


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that the header Retry-After asks to wait, at most `LONGEST_RETRY_AFTER`; None when there is none."""
    return parse_retry_after(headers.get("Retry-After"), datetime.now(UTC), longest=LONGEST_RETRY_AFTER)


class Envelope(msgspec.Struct):
    """A JSON-RPC answer with its result left as it is."""

    id: Any = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: Any = None
    params: msgspec.Raw = msgspec.Raw(b"")
    """Of a notice, which is no answer to a request of ours."""

    @property
    def number(self) -> int | None:
        """Of the request that it answers, also where a proxy has made a text or a fraction of it."""
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
        """Raises NodeFailure."""

    @abstractmethod
    async def send(self, calls: Sequence[Call], silence: float = SILENCE_SECONDS) -> list[Answer]:
        """The calls' results in their order, as raw JSON; the first failure is raised. `silence`: seconds to wait for a byte.

        Raises:
            NodeFailure: By the table of failures.
        """

    @abstractmethod
    async def close(self) -> None:
        """Safe at any time and twice."""

    @property
    def is_broken(self) -> bool:
        """Whether only a new connection can help."""
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
    """How many blocks a log query covers; 1 for everything else."""
    bounds = call[1][0] if call[0] == LOGS else None
    if not isinstance(bounds, dict) or "fromBlock" not in bounds:
        return 1
    return int(bounds["toBlock"], 16) - int(bounds["fromBlock"], 16) + 1
