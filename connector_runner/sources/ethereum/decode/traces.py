"""The calls inside transactions: the same rows from two kinds of nodes.

Erigon, Nethermind, Reth and anvil return flat traces from `trace_block`; geth returns call trees from
`debug_traceBlockByHash` with its callTracer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from connector_runner.protocols.batch import Row
from connector_runner.protocols.types import INT64, INT256, UINT64
from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.decode.rows import Json, RowDecoder, build_schema, number, text
from connector_runner.sources.ethereum.errors import MalformedAnswerError

_FIELDS = (
    number(
        "transaction_index", "transaction_index", INT64, "Index of its transaction in the block; -1 for block rewards."
    ),
    text("trace_address", "trace_address", "Path in the tree of calls: empty for the outermost, then 0, 0.2, …"),
    text("transaction_hash", "transaction_hash", "Hash of its transaction; null for block rewards.", nullable=True),
    text("type", "type", "call, delegatecall, staticcall, callcode, create, create2, selfdestruct or reward."),
    text("from", "from_address", "Caller.", nullable=True),
    text("to", "to_address", "Callee, or the contract that was created.", nullable=True),
    number("value", "value", INT256, "Wei.", nullable=True),
    number("gas", "gas", UINT64, "Gas given.", nullable=True),
    number("gasUsed", "gas_used", UINT64, "Gas used.", nullable=True),
    text("input", "input", "Call data or code, in hexadecimal.", nullable=True),
    text("output", "output", "What it returned, or the deployed code.", nullable=True),
    text("error", "error", "Why it failed.", nullable=True),
    number("subtraces", "subtraces", INT64, "Calls made from it directly."),
)
TRACE_SCHEMA = build_schema("traces", _FIELDS, ("transaction_index", "trace_address"))
_rows = RowDecoder(_FIELDS)
REWARD_INDEX = -1


def flat_trace_rows(header: Header, traces: Sequence[Json]) -> list[Row]:
    """Makes rows from `trace_block`; `verify.traces` checks that the traces are complete."""
    rewards = 0
    objects = []
    for trace in traces:
        item = _flat(trace)
        if item["transaction_index"] == REWARD_INDEX:
            item["trace_address"] = str(rewards)
            rewards += 1
        objects.append(item)
    return _rows.rows(header.columns, objects)


# Members of flat traces that are read, or that repeat other columns; all others go to `extra`.
_SPREAD = frozenset(
    ("action", "result", "type", "traceAddress", "transactionHash", "transactionPosition", "subtraces", "error",
     "blockHash", "blockNumber")
)  # fmt: skip
_OF_ACTION = frozenset(
    ("callType", "creationMethod", "from", "to", "value", "gas", "input", "init", "address", "refundAddress", "balance",
     "author")
)  # fmt: skip
_OF_RESULT = frozenset(("gasUsed", "output", "address", "code"))
_OF_CALL = frozenset(("type", "calls", "from", "to", "value", "gas", "gasUsed", "input", "output", "error"))
_OF_TRACE = frozenset(("txHash", "result"))
_OWN_NAMES = frozenset(field.member for field in _FIELDS)


def _rest(known: frozenset[str], members: dict[str, Any]) -> dict[str, Any]:
    """Members without a column, under names that no column has."""
    return {
        f"_{name}" if name in _OWN_NAMES else name: value
        for name, value in members.items()
        if name not in known and value is not None
    }


def _flat(trace: Json) -> dict[str, Any]:
    """Renames the members of a flat trace, which are spread over `action` and `result`, to the names of the fields."""
    try:
        action, result = trace["action"], trace.get("result") or {}
        kind = trace["type"]
        return {
            "transaction_index": REWARD_INDEX if kind == "reward" else trace["transactionPosition"],
            "trace_address": ".".join(map(str, trace["traceAddress"])),
            "transaction_hash": trace.get("transactionHash"),
            "type": {"call": action.get("callType"), "suicide": "selfdestruct"}.get(kind) or action.get("creationMethod") or kind,
            "from": action.get("from") or action.get("address"),
            "to": action.get("to") or result.get("address") or action.get("refundAddress") or action.get("author"),
            "value": action.get("value") or action.get("balance"),
            "gas": action.get("gas"),
            "gasUsed": result.get("gasUsed"),
            "input": action.get("input") or action.get("init"),
            "output": result.get("output") or result.get("code"),
            "error": trace.get("error"),
            "subtraces": trace["subtraces"],
            **_rest(_SPREAD, cast("dict[str, Any]", trace)), **_rest(_OF_ACTION, action), **_rest(_OF_RESULT, result),
        }  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedAnswerError(f"trace: {type(error).__name__} {error}") from None


def are_call_trees(traces: Sequence[Any]) -> bool:
    """Whether an answer to `debug_traceBlockByHash` has the format of the callTracer: False for struct logs etc."""
    found = [trace["result"] for trace in traces if isinstance(trace, dict) and "result" in trace]
    return all(isinstance(result, dict) and isinstance(result.get("type"), str) for result in found)


def call_tree_rows(header: Header, hashes: Sequence[str], traces: Sequence[Any]) -> list[Row]:
    """Makes rows from `debug_traceBlockByHash` with the callTracer: one tree per transaction, in order; see `verify.traces`."""
    objects: list[Json] = []
    for index, (own, trace) in enumerate(zip(hashes, traces, strict=True)):
        place = {"transaction_index": index, "transaction_hash": own}
        objects += _calls({**_rest(_OF_TRACE, trace), **trace["result"]}, place)
    return _rows.rows(header.columns, objects)


def _calls(root: Json, transaction: dict[str, Any]) -> Iterator[Json]:
    """Yields the calls of a tree in the order of execution; without recursion, because trees can be 1,024 calls deep."""
    pending: list[tuple[Json, str]] = [(root, "")]
    while pending:
        call, address = pending.pop()
        inner = call.get("calls") or []
        try:
            kind = call["type"].lower()
        except (KeyError, AttributeError):
            raise MalformedAnswerError("trace: a call without its type") from None
        yield {
            **transaction, "trace_address": address, "type": kind, "subtraces": len(inner),
            **{name: call.get(name) for name in ("from", "to", "value", "gas", "gasUsed", "input", "output", "error")},
            **_rest(_OF_CALL, cast("dict[str, Any]", call)),
        }  # fmt: skip
        deeper = [(child, f"{address}.{place}" if address else str(place)) for place, child in enumerate(inner)]
        pending += reversed(deeper)
