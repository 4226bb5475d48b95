"""Two small contracts in EVM bytecode, assembled here so that no compiler is needed, and the events that tests let them emit.

The emitter emits the logs that its call data describes, whatever they are: any token standard, anonymous events, nonsense. The
forwarder calls another contract, so that there are inner calls to trace.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode
from eth_hash.auto import keccak

from tests.servers.anvil import NodeError, RpcNode

OPCODES = {
    "STOP": 0x00, "ADD": 0x01, "SUB": 0x03, "EQ": 0x14, "AND": 0x16, "SHL": 0x1B, "SHR": 0x1C, "CALLDATALOAD": 0x35,
    "CALLDATASIZE": 0x36, "CALLDATACOPY": 0x37, "CODECOPY": 0x39, "POP": 0x50, "JUMP": 0x56, "JUMPI": 0x57, "GAS": 0x5A,
    "JUMPDEST": 0x5B, "CALL": 0xF1, "RETURN": 0xF3, "INVALID": 0xFE,
    **{f"DUP{n}": 0x7F + n for n in range(1, 17)}, **{f"SWAP{n}": 0x8F + n for n in range(1, 17)},
    **{f"LOG{n}": 0xA0 + n for n in range(5)},
}  # fmt: skip


def assemble(source: str) -> bytes:
    """Words separated by blanks: opcodes, `name:` for a jump target, `@name` to push one, numbers to push them (two bytes)."""
    code = bytearray()
    targets: dict[str, int] = {}
    holes: dict[int, str] = {}
    for word in source.split():
        if word.endswith(":"):
            targets[word[:-1]] = len(code)
            code.append(OPCODES["JUMPDEST"])
        elif word.startswith("@"):
            holes[len(code) + 1] = word[1:]
            code += b"\x61\0\0"
        elif word[0].isdigit():
            code += b"\x61" + int(word, 0).to_bytes(2, "big")
        else:
            code.append(OPCODES[word])
    for place, name in holes.items():
        code[place : place + 2] = targets[name].to_bytes(2, "big")
    return bytes(code)


# A record of the call data: how many topics (1 byte), size of the data (2 bytes), topics, data. Stack in brackets, top right.
_LOOP = """
0 loop:                                        [place]
DUP1 CALLDATASIZE EQ @end JUMPI
DUP1 CALLDATALOAD DUP1 248 SHR                 [place word count]
SWAP1 232 SHR 0xffff AND                       [place count size]
SWAP2 3 ADD                                    [size count topics]
DUP2 5 SHL DUP2 ADD                            [size count topics data]
DUP4 DUP2 0 CALLDATACOPY
DUP4 ADD SWAP3                                 [next count topics size]
DUP3 0 EQ @log0 JUMPI DUP3 1 EQ @log1 JUMPI DUP3 2 EQ @log2 JUMPI DUP3 3 EQ @log3 JUMPI DUP3 4 EQ @log4 JUMPI INVALID
end: STOP
"""


def _emit(count: int) -> str:
    topics = (f"DUP{2 + pushed} {32 * topic} ADD CALLDATALOAD" for pushed, topic in enumerate(reversed(range(count))))
    return f"log{count}: {' '.join(topics)} DUP{1 + count} 0 LOG{count} POP POP POP @loop JUMP"


def _plain(source: str) -> str:
    return "\n".join(line.partition("[")[0] for line in source.splitlines())


EMITTER = assemble(" ".join([_plain(_LOOP), *map(_emit, range(5))]))
# Call data: the address to call (20 bytes), what to call it with.
FORWARDER = assemble(
    "20 CALLDATASIZE SUB DUP1 20 0 CALLDATACOPY 0 0 DUP3 0 0 0 CALLDATALOAD 96 SHR GAS CALL @good JUMPI INVALID good: STOP"
)


def deployment(runtime: bytes) -> str:
    """Call data of the transaction that creates a contract."""
    prefix = assemble(f"{len(runtime)} DUP1 15 0 CODECOPY 0 RETURN")
    assert len(prefix) == 15
    return "0x" + (prefix + runtime).hex()


@dataclass(frozen=True)
class LogEntry:
    """A log to be emitted."""

    topics: tuple[bytes, ...] = ()
    data: bytes = b""

    def record(self) -> bytes:
        return bytes([len(self.topics)]) + len(self.data).to_bytes(2, "big") + b"".join(self.topics) + self.data


def call_data(logs: Sequence[LogEntry]) -> str:
    return "0x" + b"".join(log.record() for log in logs).hex()


def topic(signature: str) -> bytes:
    return bytes(keccak(signature.encode()))


def word(value: int | str) -> bytes:
    """A number or address as a topic."""
    return (int(value, 16) if isinstance(value, str) else value).to_bytes(32, "big")


def erc20(sender: str, receiver: str, value: int) -> LogEntry:
    first = topic("Transfer(address,address,uint256)")
    return LogEntry((first, word(sender), word(receiver)), word(value))


def erc721(sender: str, receiver: str, token: int) -> LogEntry:
    first = topic("Transfer(address,address,uint256)")
    return LogEntry((first, word(sender), word(receiver), word(token)))


def erc1155_single(operator: str, sender: str, receiver: str, token: int, value: int) -> LogEntry:
    first = topic("TransferSingle(address,address,address,uint256,uint256)")
    return LogEntry((first, word(operator), word(sender), word(receiver)), word(token) + word(value))


def erc1155_batch(operator: str, sender: str, receiver: str, tokens: list[int], values: list[int]) -> LogEntry:
    first = topic("TransferBatch(address,address,address,uint256[],uint256[])")
    data = encode(["uint256[]", "uint256[]"], [tokens, values])
    return LogEntry((first, word(operator), word(sender), word(receiver)), data)


class Actors:
    """A chain's contracts and the account that uses them."""

    def __init__(self, node: RpcNode) -> None:
        self.node = node
        self.account, *others = node.rpc("eth_accounts")
        self.other: str = others[0] if others else "0x" + "b0" * 20
        hashes = [self.send(data=deployment(code)) for code in (EMITTER, FORWARDER)]
        self.emitter, self.forwarder = (self._deployed(own) for own in hashes)

    def _deployed(self, own: str) -> str:
        """The contract's address, once its transaction is mined; anvil mines on request, geth by itself."""
        end = time.monotonic() + 60
        while (receipt := self._receipt(own)) is None:
            assert time.monotonic() < end, "the contract was not deployed"
            with suppress(NodeError):
                self.node.rpc("evm_mine")
            time.sleep(0.02)
        address: str = receipt["contractAddress"]
        return address

    def _receipt(self, own: str) -> dict[str, Any] | None:
        """None before it is mined; geth refuses to look while it builds its index of transactions."""
        try:
            found: dict[str, Any] | None = self.node.rpc("eth_getTransactionReceipt", own)
        except NodeError as error:
            if "indexing is in progress" not in str(error):
                raise
            return None
        return found

    def send(self, **transaction: Any) -> str:
        """A transaction into the pool; returns its hash."""
        plain = {"from": self.account, "gas": hex(500_000), **transaction}
        end = time.monotonic() + 20
        while True:
            try:
                own: str = self.node.rpc("eth_sendTransaction", plain)
                return own
            except NodeError as error:
                # geth's pool may still count from the head before the last block, or before a rollback.
                if "underpriced" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def emit(self, *logs: LogEntry) -> str:
        return self.send(to=self.emitter, data=call_data(logs))

    def forward(self, *logs: LogEntry) -> str:
        """The same through an inner call."""
        return self.send(to=self.forwarder, data=self.emitter + call_data(logs)[2:])

    def pay(self, wei: int) -> str:
        return self.send(to=self.other, value=hex(wei))

    def replacement(self, chance: int) -> list[Any]:
        """Transactions for the first block of a new branch, so that it differs from the old one (empty ones may be equal)."""
        payment = {"from": self.other, "to": self.account, "value": hex(chance), "gas": hex(21_000)}
        emission = {
            "from": self.other,
            "to": self.emitter,
            "data": call_data([LogEntry((word(chance),))]),
            "gas": hex(200_000),
        }
        return [[payment, 0], [emission, 0]]
