"""Blocks, transactions, receipts and logs equal ethereum-etl's export, field by field where both have the field."""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.ethereum.running import running, sqlite_dataset, until_head
from tests.servers.anvil import AnvilServer
from tests.servers.ethereum_etl import export_blocks, export_receipts, read
from tests.simulators.ethereum.chains import busy_block
from tests.simulators.ethereum.contracts import Actors

# Names that differ: theirs to ours.
RENAMED = {
    "blocks": {"hash": "block_hash", "number": "block_number"},
    "transactions": {"hash": "transaction_hash", "transaction_type": "type"},
    "receipts": {},
    "logs": {},
}
KEYS = {"blocks": ("block_hash",), "transactions": ("transaction_hash",), "receipts": ("transaction_hash",), "logs": ("transaction_hash", "log_index")}  # fmt: skip
# Known differences: the node's null is their empty list or number 0; topics are one column there and four here.
NOT_COMPARED = {"withdrawals", "block_timestamp", "topics", "blob_versioned_hashes", "l1_fee", "l1_gas_used", "l1_gas_price", "l1_fee_scalar"}  # fmt: skip
FEWEST_SHARED = {"blocks": 15, "transactions": 11, "receipts": 9, "logs": 6}


@pytest.fixture(scope="module")
def node() -> Iterator[AnvilServer]:
    with AnvilServer() as server:
        actors = Actors(server)
        chance = random.Random(11)
        for _ in range(20):
            busy_block(actors, chance)
            server.mine()
        yield server


def plain(value: Any) -> str:
    return "" if value is None else str(value)


@pytest.mark.fault
@pytest.mark.timeout(900)
async def test_equal_field_by_field(node: AnvilServer, tmp_path: Path) -> None:
    paths = dict(zip(("blocks", "transactions"), export_blocks(node.url, 0, node.head(), tmp_path), strict=True))
    hashes = [row["hash"] for row in read(paths["transactions"])]
    paths |= dict(zip(("receipts", "logs"), export_receipts(node.url, hashes, tmp_path), strict=True))
    for stream, path in paths.items():
        dataset = sqlite_dataset(tmp_path, stream)
        async with running({"url": node.url, "startBlock": "earliest"}, stream, dataset) as task:
            await until_head(dataset, node, task)
        connection = sqlite3.connect(tmp_path / "data.db")
        connection.row_factory = sqlite3.Row
        ours = {tuple(row[name] for name in KEYS[stream]): row for row in connection.execute(f"SELECT * FROM {stream}")}
        connection.close()
        theirs = [{RENAMED[stream].get(name, name): value for name, value in row.items()} for row in read(path)]
        assert len(ours) == len(theirs) > 20, stream
        shared = (set(theirs[0]) & set(next(iter(ours.values())).keys())) - NOT_COMPARED
        assert len(shared) >= FEWEST_SHARED[stream], (stream, sorted(shared))
        for row in theirs:
            key = tuple(int(row[name]) if name == "log_index" else row[name] for name in KEYS[stream])
            differing = {name: (row[name], ours[key][name]) for name in shared if row[name] != plain(ours[key][name])}
            assert differing == {}, stream
