"""An honest chain, recorded from anvil or geth: two branches with everything that a node is asked for, so that thousands of seeds need no node."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any

from tests.servers.anvil import AnvilServer, RpcNode
from tests.servers.geth import GethServer
from tests.simulators.ethereum.chains import busy_block
from tests.simulators.ethereum.contracts import Actors, LogEntry

BLOCKS, DEPTH, AFTER = 36, 5, 6
Json = dict[str, Any]


@dataclass(frozen=True)
class Block:
    """One block and what belongs to it, as the node gave them."""

    full: Json
    receipts: list[Json]
    logs: list[Json]
    traces: list[Json]

    @property
    def number(self) -> int:
        return int(self.full["number"], 16)

    @property
    def hash(self) -> str:
        own: str = self.full["hash"]
        return own


class Branch:
    """A chain as a node knows it, in the shape in which `chains.canonical` asks for it."""

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = blocks
        self._by_hash = {block.hash: block for block in blocks}

    def by_hash(self, own: str) -> Block | None:
        return self._by_hash.get(own)

    def receipt(self, own: str, head: int) -> Json | None:
        """Of a transaction in a block up to `head`."""
        found = (item for block in self.blocks[: head + 1] for item in block.receipts)
        return next((item for item in found if item["transactionHash"] == own), None)

    def head(self) -> int:
        return len(self.blocks) - 1

    def block(self, number: int | str, full: bool = False) -> Json:
        found = self.blocks[number if isinstance(number, int) else -1].full
        return found if full else {**found, "transactions": [item["hash"] for item in found["transactions"]]}

    def rpc(self, method: str, *params: Any) -> Any:
        match method:
            case "eth_getBlockByHash":
                return self._by_hash[params[0]].full
            case "eth_getBlockReceipts":
                return self._by_hash[params[0]].receipts
            case "trace_block":
                return self.blocks[int(params[0], 16)].traces
        raise AssertionError(method)


@dataclass(frozen=True)
class Recording:
    """Two branches that part `DEPTH` blocks below the first one's end.

    Attributes:
        old, new: The branches; the new one is longer.
        emitter: The contract that emits most logs.
    """

    old: Branch
    new: Branch
    emitter: str


def record(seed: int = 1) -> Recording:
    """Takes a few seconds."""
    with AnvilServer() as node:
        chance = random.Random(seed)
        actors = Actors(node)

        def grow(count: int) -> None:
            for _ in range(count):
                busy_block(actors, chance)
                actors.emit(LogEntry((b"x" * 32,), b"one"), LogEntry((chance.randbytes(32),)))
                node.mine()

        grow(BLOCKS)
        old = _branch(node)
        node.reorganise(DEPTH, actors.replacement(chance.randrange(1, 10**9)))
        grow(AFTER)
        return Recording(old, _branch(node), actors.emitter)


def record_geth(seed: int = 1) -> Recording:
    """The same from geth, which mines by itself, so that blocks are more and smaller; without traces, which it has in another form."""
    with GethServer() as node:
        chance = random.Random(seed)
        actors = Actors(node)

        def grow(height: int) -> None:
            while (before := node.head()) < height:
                busy_block(actors, chance)
                actors.emit(LogEntry((b"x" * 32,), b"one"), LogEntry((chance.randbytes(32),)))
                _await_head(node, before + 1)

        grow(BLOCKS)
        old = _branch(node, has_traces=False)
        node.rpc("debug_setHead", hex(old.head() - DEPTH))
        grow(old.head() + AFTER)
        return Recording(old, _branch(node, has_traces=False), actors.emitter)


def _await_head(node: RpcNode, height: int) -> None:
    end = time.monotonic() + 60
    while node.head() < height:
        assert time.monotonic() < end, f"no block {height} was mined"
        time.sleep(0.01)


def _branch(node: RpcNode, *, has_traces: bool = True) -> Branch:
    blocks = []
    for number in range(node.head() + 1):
        full = node.block(number, True)
        own = full["hash"]
        traces = node.rpc("trace_block", hex(number)) if number and has_traces else []
        logs = node.rpc("eth_getLogs", {"blockHash": own})
        blocks.append(Block(full, node.rpc("eth_getBlockReceipts", own), logs, traces))
    return Branch(blocks)
