"""What providers, proxies and load balancers are known to do to an answer, one row each; by bug reports, and by what was met.

Temporary ones occur now and then; permanent ones are properties of this node. Each takes an honest response and its request.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Result = Any
Change = Callable[[random.Random, list[Any], Result], Result]
BLOCK, LOGS, RECEIPTS, RECEIPT = (
    "eth_getBlockByNumber",
    "eth_getLogs",
    "eth_getBlockReceipts",
    "eth_getTransactionReceipt",
)
TRACES = "trace_block"
FOREIGN = "0x" + "ab" * 32


class Refusal(Exception):  # noqa: N818 - it is an answer
    """The member `error` instead of a result; or, with a status or a body of its own, instead of the whole answer."""

    def __init__(self, error: Any, status: int = 200, body: Callable[[Json], Any] | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.status = status
        self._body = body

    def answer(self, base: Json) -> Json:
        """Instead of a result; `_page`, with a status, is instead of all that was to be answered."""
        if self._body is not None:
            return {**base, "_page": (self.status, self._body(base))}
        found = {**base, "error": self.error}
        return found if self.status == 200 else {**base, "_page": (self.status, found)}


def _cut(chance: random.Random, _params: list[Any], found: Result) -> Result:
    if not found:
        return found
    match chance.choice(["last", "first", "middle", "half"]):
        case "last":
            return found[:-1]
        case "first":
            return found[1:]
        case "half":
            return found[: len(found) // 2]
    place = chance.randrange(len(found))
    return found[:place] + found[place + 1 :]


def _cut_member(name: str) -> Change:
    def change(chance: random.Random, params: list[Any], found: Result) -> Result:
        return (
            {**found, name: _cut(chance, params, found[name])} if isinstance(found, dict) and found.get(name) else found
        )

    return change


def _receipts_without_logs(chance: random.Random, params: list[Any], found: Result) -> Result:
    places = [place for place, item in enumerate(found or []) if item["logs"]]
    if not places:
        return found
    place = chance.choice(places)
    changed = {**found[place], "logs": _cut(chance, params, found[place]["logs"])}
    if chance.random() < 0.3:
        changed = {**changed, "logs": [], "logsBloom": "0x" + "00" * 256}
    return [*found[:place], changed, *found[place + 1 :]]


def _swapped(_chance: random.Random, _params: list[Any], found: Result) -> Result:
    return found[::-1] if isinstance(found, list) else found


def _twice(chance: random.Random, _params: list[Any], found: Result) -> Result:
    if not found:
        return found
    place = chance.randrange(len(found))
    return found[: place + 1] + found[place:]


def _of_another_block(_chance: random.Random, _params: list[Any], found: Result) -> Result:
    return [{**item, "blockHash": FOREIGN} for item in found] if found else found


def _removed(_chance: random.Random, _params: list[Any], found: Result) -> Result:
    return [{**item, "removed": True} for item in found] if found else found


def _empty_bloom(_chance: random.Random, _params: list[Any], found: Result) -> Result:
    return {**found, "logsBloom": "0x" + "00" * 256} if found else found


def _null(_chance: random.Random, _params: list[Any], _found: Result) -> Result:
    return None


def _empty(_chance: random.Random, _params: list[Any], found: Result) -> Result:
    return [] if isinstance(found, list) else found


def _nonsense(chance: random.Random, _params: list[Any], _found: Result) -> Result:
    return chance.choice([{}, [None], "what", 7, [{}], {"number": "0x"}, [["x"]], True])


ODD_ERRORS: list[Any] = [
    {"code": -32603, "message": "internal error"},
    {"code": -32000, "message": "header not found"},
    {"code": -32000, "message": "unknown block"},
    {"code": -32001, "message": "try again"},
    {"code": -32002, "message": "request timed out"},
    {"code": -32005, "message": "too many requests"},
    {"code": -32602, "message": "invalid params"},
    {"code": -32602, "message": "block range extends beyond current head block"},
    {"code": 19, "message": "Temporary internal error. Please retry"},
    {"code": "-32011", "message": "no backend is currently healthy to serve traffic"},
    {"code": -32000, "message": "context deadline exceeded"},
    {"code": 429, "message": "Your app has exceeded its compute units per second capacity"},
    {"code": None, "message": None},
    {"message": ["what"]},
    "a text",
]


def _odd_error(chance: random.Random, _params: list[Any], _found: Result) -> Result:
    raise Refusal(chance.choice(ODD_ERRORS))


PASSING: dict[str, tuple[float, tuple[str, ...], Change]] = {
    "logs cut": (0.15, (LOGS,), _cut),
    "logs empty": (0.15, (LOGS,), _empty),
    "logs swapped": (0.1, (LOGS,), _swapped),
    "a log twice": (0.1, (LOGS,), _twice),
    "logs of another block": (0.1, (LOGS,), _of_another_block),
    "logs marked as removed": (0.1, (LOGS,), _removed),
    "receipts cut": (0.15, (RECEIPTS,), _cut),
    "receipts swapped": (0.1, (RECEIPTS,), _swapped),
    "receipts without logs": (0.15, (RECEIPTS,), _receipts_without_logs),
    "transactions cut": (0.15, (BLOCK,), _cut_member("transactions")),
    "traces cut": (0.2, (TRACES,), _cut),
    "bloom empty": (0.1, (BLOCK,), _empty_bloom),
    "null": (0.08, (BLOCK, LOGS, RECEIPTS, RECEIPT, TRACES), _null),
    "nonsense": (0.05, (BLOCK, LOGS, RECEIPTS, RECEIPT, TRACES), _nonsense),
    "odd error": (0.1, (BLOCK, LOGS, RECEIPTS, RECEIPT, TRACES), _odd_error),
}
"""How likely, to which methods' answers, and what is done."""

PASSING_OF_STATE = {"replica that lags": 0.1, "replica on another branch": 0.05, "the block above": 0.05}
"""The honest answer of another moment or place."""

PASSING_OF_TRANSPORT = {
    "ids as texts": 0.1, "wrong ids": 0.05, "answers out of order": 0.3, "an answer left out": 0.1, "an answer twice": 0.1,
    "closed socket": 0.05, "slow bytes": 0.05, "cut body": 0.05, "a page": 0.05, "429": 0.05, "503": 0.05, "neither result nor error": 0.05,
}  # fmt: skip
"""To an HTTP answer as a whole."""

STANDING = (
    "few requests a batch", "few blocks a log query", "few logs a log query", "few requests at a time", "other casing", "more members",
    "fewer members", "numbers as numbers", "no bloom", "zero bloom", "no block receipts", "receipts by number only", "an address is demanded",
    "no tags", "struct logs", "a reorganisation", "two reorganisations", "restarts",
    "unknown words", "few logs, in unknown words",
)  # fmt: skip
"""How this node, or its chain, is."""

TAKES_LOGS_AWAY = ("logs cut", "logs empty")
"""Without receipts, only blooms show it."""
OF_BLOOMS = ("bloom empty", "zero bloom", "no bloom")

KINDS: dict[str, float] = {
    **{name: row[0] for name, row in PASSING.items()},
    **PASSING_OF_STATE,
    **PASSING_OF_TRANSPORT,
    **dict.fromkeys(STANDING, 1.0),
}


ABOUT_ONE_METHOD: dict[str, tuple[str, ...]] = {
    **{name: row[1] for name, row in PASSING.items()},
    "few blocks a log query": (LOGS,), "unknown words": (LOGS,), "few logs a log query": (LOGS,), "few logs, in unknown words": (LOGS,), "an address is demanded": (LOGS,),
    "struct logs": (TRACES,), "no block receipts": (RECEIPTS,), "receipts by number only": (RECEIPTS,),
}  # fmt: skip


NEEDS = {"unknown words": "few blocks a log query"}
OF_LOG_QUERIES = tuple(sorted(kind for kind, methods in ABOUT_ONE_METHOD.items() if methods == (LOGS,)))


def hides_its_loss(full: list[Json], kept: list[Json]) -> bool:
    """Whether only a root of receipts could show it: the last logs of a block, if their values also occur in its other logs."""
    places = {(log["blockNumber"], log["logIndex"]) for log in kept}
    for number in {log["blockNumber"] for log in full}:
        own = [log for log in full if log["blockNumber"] == number]
        left = [log for log in own if (number, log["logIndex"]) in places]
        if own[: len(left)] == left != own and _values(own) == _values(left):
            return True
    return False


def _values(logs: list[Json]) -> set[str]:
    return {value for log in logs for value in (log["address"], *log["topics"])}


def kinds_for(methods: tuple[str, ...]) -> dict[str, float]:
    """The kinds that can strike a stream which asks these methods."""
    return {
        kind: chance
        for kind, chance in KINDS.items()
        if not (about := ABOUT_ONE_METHOD.get(kind)) or set(about) & set(methods)
    }


def struct_logs(transactions: list[Json]) -> list[Json]:
    """Flat traces of each transaction instead of a call tree, as Besu returns them for any tracer."""
    result = {"gas": 21000, "failed": False, "returnValue": "", "structLogs": []}
    return [{"txHash": item["hash"], "result": result} for item in transactions]


_PLACED = ("hash", "logIndex", "transactionIndex", "traceAddress")
"""What names an object of a block: these get more members."""


def reshaped(active: frozenset[str], value: Any, key: str = "", within: str = "") -> Any:
    """An honest result in another shape that means the same (casing, members, numbers)."""
    if isinstance(value, dict):
        shaped = {
            name: reshaped(active, item, name, key) for name, item in value.items() if not _is_dropped(active, name)
        }
        return (
            {**shaped, "l1Fee": "0x1", "someNewMember": {"a": [1]}}
            if "more members" in active and not value.keys().isdisjoint(_PLACED)
            else shaped
        )
    if isinstance(value, list):
        return [reshaped(active, item, key, within) for item in value]
    if "numbers as numbers" in active and key in ("logIndex", "transactionIndex", "timestamp", "blockTimestamp"):
        return int(value, 16) if isinstance(value, str) else value
    if (
        "other casing" in active
        and key in ("address", "topics", "from", "to", "data", "input", "miner")
        and isinstance(value, str)
    ):
        return "0x" + value[2:].upper()
    return value


def _is_dropped(active: frozenset[str], name: str) -> bool:
    if "fewer members" in active and name in ("removed", "blockTimestamp", "size", "totalDifficulty"):
        return True
    return "no bloom" in active and name == "logsBloom"
