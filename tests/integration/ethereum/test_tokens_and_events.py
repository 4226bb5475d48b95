"""Token transfers and decoded events against an independent decoding: web3.py's own contract API on the same chain."""

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_abi.exceptions import DecodingError
from web3 import Web3
from web3.exceptions import Web3Exception

from tests.integration.ethereum.running import running, sqlite_dataset, until_head
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.chains import busy_block, comparable
from tests.simulators.ethereum.contracts import Actors, LogEntry, erc1155_batch, topic, word


def event(name: str, *inputs: tuple[str, str, bool], anonymous: bool = False) -> dict[str, Any]:
    arguments = [{"type": kind, "name": name, "indexed": indexed} for kind, name, indexed in inputs]
    return {"type": "event", "name": name, "inputs": arguments, "anonymous": anonymous}


ERC20 = event("Transfer", ("address", "from", True), ("address", "to", True), ("uint256", "value", False))
ERC721 = event("Transfer", ("address", "from", True), ("address", "to", True), ("uint256", "tokenId", True))
SINGLE = event("TransferSingle", ("address", "operator", True), ("address", "from", True), ("address", "to", True), ("uint256", "id", False), ("uint256", "value", False))  # fmt: skip
BATCH = event("TransferBatch", ("address", "operator", True), ("address", "from", True), ("address", "to", True), ("uint256[]", "ids", False), ("uint256[]", "values", False))  # fmt: skip
MIXED = event("Mixed", ("int64", "small", True), ("string", "label", True), ("bytes", "raw", False), ("int256", "wide", False), ("bool", "flag", False), ("uint128[]", "many", False), ("string", "words", False))  # fmt: skip
MIXED_SIGNATURE = "Mixed(int64,string,bytes,int256,bool,uint128[],string)"


def mixed(small: int, wide: int, many: list[int], words: str) -> LogEntry:
    data = encode(["bytes", "int256", "bool", "uint128[]", "string"], [b"\x01\xff", wide, True, many, words])
    return LogEntry((topic(MIXED_SIGNATURE), small.to_bytes(32, "big", signed=True), topic("label")), data)


@pytest.fixture(scope="module")
def chain() -> Iterator[tuple[AnvilServer, Actors]]:
    with AnvilServer() as node:
        actors = Actors(node)
        chance = random.Random(3)
        for _ in range(30):
            busy_block(actors, chance)
            node.mine()
        actors.emit(mixed(-5, -(2**255), [1, 2**127], "naïve"), mixed(7, 2**200, [], ""))
        actors.emit(
            erc1155_batch(actors.account, actors.account, actors.other, [], []),
            # The topics of transfers with something else behind them.
            LogEntry((topic("Transfer(address,address,uint256)"),), word(1) * 3),
            LogEntry((topic("TransferBatch(address,address,address,uint256[],uint256[])"), word(1), word(2), word(3)), word(2**255) * 2),
            LogEntry((topic(MIXED_SIGNATURE), word(1), word(2)), b"short"),
        )  # fmt: skip
        node.mine(2)
        yield node, actors


def by_web3(node: AnvilServer, abi: dict[str, Any]) -> list[Any]:
    w3 = Web3(Web3.HTTPProvider(node.url))
    decoder = getattr(w3.eth.contract(abi=[abi]).events, abi["name"])()
    found = []
    for number in range(1, node.head() + 1):
        for receipt in w3.eth.get_block_receipts(number):
            for log in receipt["logs"]:
                with suppress(Web3Exception, DecodingError):  # another event, or nonsense under its topic
                    found.append(decoder.process_log(log))
    return found


def transfers_by_web3(node: AnvilServer) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []

    def add(standard: str, log: Any, item: int, operator: str | None, token: int | None, value: int) -> None:
        parties = (log.args["from"].lower(), log.args["to"].lower())
        place = (log.blockHash.to_0x_hex(), log.logIndex, item, log.transactionHash.to_0x_hex(), log.address.lower())
        rows.append((*place, standard, operator, *parties, token, value))

    for log in by_web3(node, ERC20):
        add("ERC20", log, 0, None, None, log.args["value"])
    for log in by_web3(node, ERC721):
        add("ERC721", log, 0, None, log.args["tokenId"], 1)
    for log in by_web3(node, SINGLE):
        add("ERC1155", log, 0, log.args["operator"].lower(), log.args["id"], log.args["value"])
    for log in by_web3(node, BATCH):
        for item, (token, value) in enumerate(zip(log.args["ids"], log.args["values"], strict=True)):
            add("ERC1155", log, item, log.args["operator"].lower(), token, value)
    return rows


async def test_token_transfers_equal_web3s_decoding(chain: tuple[AnvilServer, Actors], tmp_path: Path) -> None:
    node, _ = chain
    dataset = sqlite_dataset(tmp_path)
    async with running({"url": node.url, "startBlock": "earliest"}, "token_transfers", dataset) as task:
        await until_head(dataset, node, task)
    columns = "block_hash, log_index, batch_index, transaction_hash, token_address, standard, operator, from_address, to_address, token_id, value"
    expected = transfers_by_web3(node)
    assert {row[5] for row in expected} == {"ERC20", "ERC721", "ERC1155"}
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == comparable(expected)


async def test_events_are_typed_columns(chain: tuple[AnvilServer, Actors], tmp_path: Path) -> None:
    node, _ = chain
    dataset = sqlite_dataset(tmp_path)
    config = {"url": node.url, "startBlock": "earliest", "abi": json.dumps([MIXED, ERC20])}
    async with running(config, "events.Mixed", dataset) as task:
        await until_head(dataset, node, task)
    rows = dataset.query("SELECT small, label, raw, wide, flag, many, words, undecoded FROM chain ORDER BY log_index")
    one, two = by_web3(node, MIXED)
    for row, log in zip(rows, (one, two), strict=False):
        args = log.args
        expected = (
            args["small"],
            "0x" + bytes(args["label"]).hex(),
            "0x" + bytes(args["raw"]).hex(),
            str(args["wide"]),
            args["flag"],
        )
        assert row[:5] == expected
        assert json.loads(row[5]) == list(args["many"])
        assert row[6:] == (args["words"], None)
    assert rows[2:] == [(None, None, None, None, None, None, None, "0x" + b"short".hex())]
    other = sqlite_dataset(tmp_path, "transfers")
    signature = "Transfer(address indexed from, address indexed to, uint value)"
    async with running({"url": node.url, "startBlock": 0, "events": [signature]}, "events.Transfer", other) as task:
        await until_head(other, node, task)
    found = other.query('SELECT block_hash, log_index, "from", "to", "value" FROM transfers')
    expected_rows = [
        (log.blockHash.to_0x_hex(), log.logIndex, log.args["from"].lower(), log.args["to"].lower(), log.args["value"])
        for log in by_web3(node, ERC20)
    ]
    assert comparable(found) == comparable(expected_rows)


async def test_filters_by_address_and_topic(chain: tuple[AnvilServer, Actors], tmp_path: Path) -> None:
    node, actors = chain
    wanted = "0x" + topic("Transfer(address,address,uint256)").hex()
    config = {
        "url": node.url, "startBlock": 0, "addresses": [actors.emitter.upper().replace("X", "x", 1)], "topics": [wanted],
        "maxBlockRange": 10,
    }  # fmt: skip
    dataset = sqlite_dataset(tmp_path)
    async with running(config, "logs", dataset) as task:
        await until_head(dataset, node, task)
    expected = node.rpc(
        "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "address": actors.emitter, "topics": [wanted]}
    )
    found = dataset.query("SELECT block_hash, log_index FROM chain")
    assert comparable(found) == comparable([(log["blockHash"], int(log["logIndex"], 16)) for log in expected])
    assert len(found) > 5
