"""Classifies all refusals of nodes and providers in one table: try again, ask for less, or give up.

The error codes of EIP-1474 and https://ethereum.github.io/execution-apis/ are not sufficient: providers use -32005, -32602 and
-32000 for rate limits, ranges and missing blocks, so the messages count too. The first matching row decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from connector_runner.sources.ethereum.errors import NodeFailure, Verdict
from connector_runner.sources.ethereum.rpc.methods import CALL_TREES, FLAT_TRACES, LOGS, RECEIPTS
from connector_runner.sources.ethereum.rpc.range_hints import suggested_range


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        reason: One CamelCase word for metrics and termination messages.
        verdict: How to react.
        codes: JSON-RPC error codes that it applies to; empty: any.
        text: Regular expression to find in the message, ignoring case; empty: any.
        methods: Methods that it applies to; empty: any.
        cure: What a person can do about a final refusal.
    """

    reason: str
    verdict: Verdict
    codes: tuple[int, ...] = ()
    text: str = ""
    methods: tuple[str, ...] = ()
    cure: str = ""

    def fits(self, method: str, code: int, message: str) -> bool:
        """Whether this row applies to an error."""
        return (
            (not self.codes or code in self.codes)
            and (not self.methods or method in self.methods)
            and (not self.text or re.search(self.text, message, re.IGNORECASE) is not None)
        )


_LOGS = (LOGS,)
_CREDENTIALS = "check the key in url or headers, normally in the Secret named in configFrom"
_ARCHIVE = "use a node that keeps that history (an archive node), or a later startBlock in a new dataset"

_BEYOND_HEAD = (
    r"(beyond|ahead of|past|after)\b.{0,30}\b(head|latest|current|tip|last accepted)|"
    r"(greater|higher|larger|bigger) than.{0,20}\b(head|latest|current (block|height|head)|chain height)|"
    r"exceeds?\b.{0,20}\b(chain ?head|head block|latest block|current (head|block|height)|chain height)|"
    r"future block|block.{0,30}in the future|block height is \d+ but requested|block ?number.{0,20}out of range|"
    r"invalid block range( params)?\W*$|not (yet )?(been )?(mined|produced|synced) yet|not yet (mined|produced|synced)"
)  # geth, anvil, Avalanche, Erigon, Besu, …: none is about a range that ends before its first block, as ours never do

RULES = (
    Rule("PrunedHistory", Verdict.FINAL, (4444,), "", (), _ARCHIVE),
    Rule("PrunedHistory", Verdict.FINAL, (), r"pruned history|history (has been |was |is )?(pruned|expired)|block .{0,40}(has been|was|is) pruned", (), _ARCHIVE),
    Rule("PrunedState", Verdict.FINAL, (), r"missing trie node|historical state .{0,60}not available|state .{0,80}(is pruned|not available|has been pruned)|required historical state unavailable", (), _ARCHIVE),
    # Before the rows about ranges: a lagging replica needs time, not a smaller request.
    Rule("BlockMissing", Verdict.MISSING, (), _BEYOND_HEAD),
    Rule("TooManyBlocks", Verdict.SHRINK, (-32614, -32047, -32012), "", _LOGS),
    Rule("TooManyBlocks", Verdict.SHRINK, (), r"\branges?\b.{0,60}(exceed|too (large|wide|big|high)|limit|max|should work|allowed|not supported|smaller)|(exceed|limit|max|up to|too wide).{0,60}\brange\b|too many blocks|block range|blocks? distance|limit the query to|number of requested blocks|must be smaller than size", _LOGS),
    Rule("TooManyResults", Verdict.SHRINK, (), r"more than ([\d,]+|allowed number of) (results|logs)|too many (results|logs|events)|exceeds? (the )?max(imum)? (results|logs)|(log )?response size (exceeded|should|is larger)|response size should not|response (is )?too (large|big)|result set too large|query (timeout|timed out|exceeds)|logs matched by query exceeds", _LOGS),
    Rule("TooManyResults", Verdict.SHRINK, (), r"specify an address|address filter is required", _LOGS),
    Rule("RateLimited", Verdict.TRANSIENT, (429, -32029, -32097), ""),
    Rule("TooManyResults", Verdict.SHRINK, (-32005,), r"^limit exceeded\W*$", _LOGS),
    Rule("RateLimited", Verdict.TRANSIENT, (), r"rate.?limit|too many requests|requests? per (second|minute|day)|(request|daily|credits?|capacity|throughput|compute units).{0,30}(exceeded|limit|exhausted)|project id request rate|slow down|limit exceeded|over quota"),
    Rule("MethodMissing", Verdict.UNSUPPORTED, (-32601, -32004), ""),
    Rule("MethodMissing", Verdict.UNSUPPORTED, (), r"method .{0,60}(not (found|supported|available|enabled|allowed|whitelisted|exist)|does not exist|is (disabled|unavailable|unsupported))|unsupported method|not (supported|available) on (this|your|the current) (plan|network|node)"),
    Rule("MethodMissing", Verdict.UNSUPPORTED, (), r"tracer.{0,40}(not (found|defined|supported|available|known)|unknown|unsupported|invalid)|(unknown|unsupported|invalid|no such).{0,20}tracer", (CALL_TREES,)),
    Rule("Unauthorised", Verdict.FINAL, (), r"unauthori[sz]ed|forbidden|invalid (api|access|project|app).{0,10}(key|token|id)|must be authenticated|authentication|api key (is )?(missing|required|disabled|not)", (), _CREDENTIALS),
    Rule("BlockMissing", Verdict.MISSING, (), r"null round"),
    Rule("BlockMissing", Verdict.MISSING, (-39001,), ""),
    Rule("BlockMissing", Verdict.MISSING, (), r"(unknown|missing|unfinalized) (block|header|ancestor)|(block|header|hash|receipts?|transactions?).{0,40}(not found|not available|not yet|unavailable|does ?n.t exist|could not be found)|cannot find|could not find|one of the blocks specified|after last accepted block|(ahead of|beyond|greater than|higher than).{0,30}(head|latest|current)|future block|block number .{0,20}out of range"),
    Rule("TooManyResults", Verdict.SHRINK, (-32005, -32602), "", _LOGS),
    Rule("NodeBusy", Verdict.TRANSIENT, (-32002, -32603, -32000, -32001, -32003, -32005, -32010), ""),
    # These methods have alternatives.
    Rule("MethodMissing", Verdict.UNSUPPORTED, (-32600, -32602, -32700), "", (RECEIPTS, CALL_TREES, FLAT_TRACES)),
    Rule("RequestRefused", Verdict.FINAL, (-32600, -32602, -32700), "", (), "the node does not accept what the specification says; use another node"),
    Rule("NodeError", Verdict.TRANSIENT),
)  # fmt: skip
"""Messages of providers and nodes, the longest known first: Infura and Alchemy (suggested ranges), QuickNode, Ankr, Chainstack,
Cloudflare, and geth, Erigon, Nethermind, Besu, Reth, anvil. Unknown refusals are retried, as most are transient failures."""


class RpcError(msgspec.Struct, frozen=True):
    """The member `error` of an answer, whatever its format was: see `read_error`."""

    code: int = 0
    message: str = ""


_MOST_WORDS = 600


def read_error(found: Any) -> RpcError:
    """Reads an error in any format: an object as specified, with a hint in `data`, or a text, or anything else."""
    if not isinstance(found, dict):
        return RpcError(0, str(found)[:_MOST_WORDS])
    code, message, data = found.get("code"), found.get("message"), found.get("data")
    try:
        number = int(code or 0)
    except (TypeError, ValueError):
        number = 0
    words = message if isinstance(message, str) else "" if message is None else _as_text(message)
    if data and not (isinstance(data, str) and data.startswith("0x")):  # hexadecimal data belongs to a reverted call
        words = f"{words} ({data if isinstance(data, str) else _as_text(data)})"
    return RpcError(number, (words or _as_text(found))[:_MOST_WORDS])


def _as_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_MOVED = (
    Verdict.FINAL,
    "WrongUrl",
    "it redirects to another address; put that into url, if you trust it with the keys",
)
_STATUS = {
    301: _MOVED,
    302: _MOVED,
    303: _MOVED,
    307: _MOVED,
    308: _MOVED,
    401: (Verdict.FINAL, "Unauthorised", _CREDENTIALS),
    402: (Verdict.FINAL, "PaymentRequired", "the provider's plan does not cover it"),
    403: (Verdict.FINAL, "Unauthorised", _CREDENTIALS),
    404: (Verdict.FINAL, "WrongUrl", "nothing answers at this path; check url"),
    405: (Verdict.FINAL, "WrongUrl", "it takes no POST there; check url"),
    413: (Verdict.SHRINK, "TooManyResults", ""),
    429: (Verdict.TRANSIENT, "RateLimited", ""),
}


def classify_error(
    method: str,
    error: RpcError,
    shown: str,
    status: int = 200,
    retry_after: float | None = None,
    asked: int | None = None,
) -> NodeFailure:
    """Classifies an error answer by the table; `error.message` is redacted, `shown`: the endpoint, `asked`: number of blocks."""
    code = 429 if status == 429 else error.code
    rule = next(rule for rule in RULES if rule.fits(method, code, error.message))
    said = " ".join(error.message.split())[:300]
    message = f"{shown} answered {method} with error {error.code}: {said}"
    if rule.reason in ("NodeBusy", "NodeError") and status in _STATUS:  # the status is more specific
        verdict, reason, cure = _STATUS[status]
        rule = Rule(reason, verdict, cure=f"HTTP status {status}; {cure}" if cure else "")
    return NodeFailure(
        rule.verdict,
        rule.reason,
        f"{message}; {rule.cure}" if rule.cure else message,
        retry_after=retry_after,
        suggested=suggested_range(error.message, asked) if method in _LOGS else None,
    )


def classify_status(status: int, shown: str, retry_after: float | None = None, said: str = "") -> NodeFailure:
    """Classifies an HTTP status whose body is not a JSON-RPC answer (HTML pages, proxies); `said`: its text, without secrets."""
    verdict, reason, cure = _STATUS.get(status, (Verdict.TRANSIENT, "Unavailable", ""))
    message = f"{shown} answered with HTTP status {status}"
    if words := " ".join(re.sub(r"<[^>]*>", " ", said).split())[:200]:
        message = f"{message}: {words}"
    return NodeFailure(verdict, reason, f"{message}; {cure}" if cure else message, retry_after=retry_after)
