"""Checks that a node's traces of a block are complete: each transaction was traced, and no call is missing. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.decode.rows import Json
from connector_runner.sources.ethereum.errors import MalformedAnswerError
from connector_runner.sources.ethereum.verify.consistency import require


def check_flat_traces(header: Header, hashes: Sequence[str], traces: Sequence[Json]) -> None:
    """Checks the answer of `trace_block`: it is of this block, and has every call of each transaction."""
    require(all(trace.get("blockHash") == header.hash for trace in traces), header, "a trace names another block")
    inside = [trace for trace in traces if trace.get("transactionHash") is not None]
    check_traces(header, hashes, [trace["transactionHash"] for trace in inside])
    check_calls(header, inside)


def check_call_trees(header: Header, hashes: Sequence[str], traces: Sequence[Any]) -> None:
    """Checks the answer of `debug_traceBlockByHash` with the callTracer: one tree per transaction, in order."""
    # Older nodes omit txHash; then the order is that of the block.
    found = [trace.get("txHash", hashes[index] if index < len(hashes) else None) for index, trace in enumerate(traces)]
    check_traces(header, hashes, found)
    for index, trace in enumerate(traces):
        require(isinstance(trace.get("result"), dict), header, f"transaction {index} could not be traced")


def check_traces(header: Header, hashes: Sequence[str], found: Sequence[str | None]) -> None:
    """Checks that every transaction of the block was traced; `found`: the transactions' hashes in the order of the answer."""
    require(list(dict.fromkeys(found)) == list(hashes), header, "its traces do not match its transactions")


def check_calls(header: Header, traces: Sequence[Json]) -> None:
    """Checks flat traces: every call exists that a caller's `subtraces`, a child, or a later sibling implies."""
    children: Counter[tuple[Any, ...]] = Counter()
    stated: dict[tuple[Any, ...], int] = {}
    try:
        for trace in traces:
            place = (trace["transactionHash"], *trace["traceAddress"])
            stated[place] = int(trace["subtraces"])
            if len(place) > 1:
                require(place[-1] == children[place[:-1]], header, "a call is missing before another one in its traces")
                children[place[:-1]] += 1
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedAnswerError(f"trace: {type(error).__name__} {error}") from None
    # More calls than counted are allowed: some clients do not count the end of a contract.
    require(
        all(children[place] >= count for place, count in stated.items()),
        header,
        "a call that its caller counts is missing",
    )
    require(children.keys() <= stated.keys(), header, "the caller of a call is missing in its traces")
