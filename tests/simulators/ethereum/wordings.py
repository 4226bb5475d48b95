"""How providers and clients refuse a log query that is too wide: their own words, as public issue threads, clients' source and captures have them.

For the reader of suggested ranges, and for the misbehaving node of the net.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Wording:
    """One refusal.

    Attributes:
        who: Provider, client or chain.
        code, text: Of the error; `{limit}`, `{asked}`, and in hexadecimal or decimal `{first}`, `{last}` (what would do), `{from}`, `{to}` (what was asked).
        data: Its member `data`, by the same rules; None: it has none.
        status: Of HTTP.
        tells: Whether the text contains the limit.
    """

    who: str
    code: int
    text: str
    data: str | None = None
    status: int = 200
    tells: bool = True

    def error(self, limit: int, first: int, asked: int) -> dict[str, Any]:
        """The member `error` for a query of `asked` blocks from `first` on, where `limit` would do."""
        places = {
            "{limit}": str(limit), "{limit,}": f"{limit:,}", "{asked}": str(asked), "{asked-}": str(asked - 1),
            "{first}": hex(first), "{last}": hex(first + limit - 1), "{to}": hex(first + asked - 1),
            "{d-first}": str(first), "{d-last}": str(first + limit - 1), "{d-to}": str(first + asked - 1),
        }  # fmt: skip

        def filled(text: str) -> str:
            for name, value in places.items():
                text = text.replace(name, value)
            return text

        made: dict[str, Any] = {"code": self.code, "message": filled(self.text)}
        return made if self.data is None else {**made, "data": filled(self.data)}


WORDINGS = (
    Wording("Alchemy", -32602, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the response size, or you can request any block range with a cap of 10K logs in the response. Based on your parameters and the response size limit, this block range should work: [{first}, {last}]", status=400),
    Wording("Alchemy, free", -32600, "Under the Free tier plan, you can make eth_getLogs requests with up to a {limit} block range. Based on your parameters, this block range should work: [{first}, {last}]. Upgrade to PAYG for expanded block range.", status=400),
    Wording("Blast", -32600, "You can make eth_getLogs requests with up to a {limit} block range. Based on your parameters, this block range should work: [{first}, {last}]", status=400),
    Wording("Blast, paid", -32600, "eth_getLogs exceeds the range allowed for your plan ({asked} > {limit}).", status=400),
    Wording("Infura", -32005, "query returned more than 10000 results. Try with this block range [{first}, {last}]."),
    Wording("Infura, range", -32602, "range {asked} exceeds limit of {limit}"),
    Wording("Linea", -32602, "range {asked} exceeds limit of {limit}"),
    Wording("zkSync", -32602, "Query returned more than 10000 results. Try with this block range [{first}, {last}]."),
    Wording("Nethermind", -32602, "invalid params", "Query returned more than 50000 results. Try with this block range [{first}, {last}]."),
    Wording("Ronin", -32602, "Invalid params", "requested block range {asked} exceeds the limit of {limit}; narrow your fromBlock/toBlock"),
    Wording("QuickNode", -32614, "eth_getLogs is limited to a {limit,} range", status=413),
    Wording("QuickNode, small", -32600, "eth_getLogs is limited to a {limit} range", status=413),
    Wording("QuickNode, older", -32602, "eth_getLogs and eth_newFilter are limited to a {limit,} blocks range", status=400),
    Wording("1RPC", -32602, "eth_getLogs is limited to 0 - {limit} blocks range"),
    Wording("BlockPI", -32602, "eth_getLogs is limited to {limit} block range"),
    Wording("Cloudflare", -32047, "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: {limit}"),
    Wording("Avalanche", -32000, "requested too many blocks from {d-first} to {d-to}, maximum is set to {limit}"),
    Wording("Thirdweb", -32602, "Maximum allowed number of requested blocks is {limit}"),
    Wording("Coinbase", -32005, "please limit the query to at most {limit} blocks"),
    Wording("PublicNode", -32701, "exceed maximum block range: {limit}"),
    Wording("Immutable", -32000, "exceeded maximum block range: {limit}"),
    Wording("Berachain, Hyperliquid", -32602, "query exceeds max block range {limit}"),
    Wording("Mantle, X Layer, Swell", -32602, "block range greater than {limit} max"),
    Wording("Somnia", -32000, "block range exceeds {limit}"),
    Wording("Merkle", -32000, "eth_getLogs range is too large, max is {limit} blocks"),
    Wording("Harmony", -32000, "GetLogs query must be smaller than size {limit}"),
    Wording("Moonbeam", -32603, "block range is too wide (maximum {limit})"),
    Wording("Cronos, Kava, Injective", -32000, "maximum [from, to] blocks distance: {limit}"),
    Wording("Morph", -32000, "block range is larger than max block range, block range = {asked}, max block range = {limit}"),
    Wording("Polygon zkEVM, Merlin", -32000, "block range too large, max range: {limit}"),
    Wording("Sei", -32000, "block range too large ({asked}), maximum allowed is {limit} blocks"),
    Wording("Celo", -32602, "query exceeds range, retry smaller (max block range {limit}, got {asked})"),
    Wording("Sonic", -32000, "too wide blocks range, the limit is {limit}"),
    Wording("dRPC", 35, "ranges over {limit} blocks are not supported on free plan", status=400),
    Wording("Taiko", -32012, "requested range too large", '{"details": {"maxAllowedRange": {limit}}}'),
    Wording("Reth, Erigon", -32602, "query exceeds max results 20000, retry with the range {d-first}-{d-last}"),
    Wording("Arc", -32602, "request exceeded max allowed range: query exceeds max results 2000, retry with the range {d-first}-{d-last}"),
    Wording("nodes that say it with other words", -32099, "be reasonable: {limit} heights suffice for one call about blocks"),
    Wording("Ankr", -32600, "block range is too wide", tells=False),
    Wording("Chainstack", -32602, "Block range limit exceeded. See more details at https://docs.chainstack.com/docs/limits#evm-range-limits", status=400, tells=False),
    Wording("Candle", -32600, "block range too high", tells=False),
    Wording("Arc, range", -32012, "requested range too large", tells=False),
    Wording("BSC", -32005, "limit exceeded", tells=False),
    Wording("Arbitrum", -32000, "logs matched by query exceeds limit of 10000", tells=False),
    Wording("PulseChain", -32000, "query returned more than allowed number of logs, try with smaller block range", tells=False),
    Wording("1RPC, size", -32602, "response size should not greater than 10000000 bytes", tells=False),
    Wording("Optimism", -32020, "backend response too large", tells=False),
    Wording("Base", -32011, "no backend is currently healthy to serve traffic", status=503, tells=False),
    Wording("Alchemy, time", -32000, "Query timeout exceeded. Consider reducing your block range. Based on your parameters and the response size limit, this block range should work: [{first}, {last}]", status=400),
    Wording("geth, time", -32002, "request timed out", tells=False),
    Wording("Erigon, time", -32000, "context deadline exceeded", tells=False),
    Wording("nodes with plain texts", 0, "too much", tells=False),
)  # fmt: skip
