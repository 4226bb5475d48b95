"""A chain through the operator: the examples, the URL in a Secret, rows through a reorganisation, and an error with both names for another chain."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import psycopg
import pytest

from tests.e2e.examples import Documents, rows_in, type_readme
from tests.kit.cluster import Kit
from tests.localkube.cluster import LocalKube, eventually
from tests.servers.anvil import AnvilServer
from tests.servers.postgresql import PostgresServer
from tests.simulators.ethereum.contracts import Actors, erc20
from tests.simulators.ethereum.tables import QUERY, STREAMS, disagreement, rows_of

DISPATCH = Path(__file__).parents[1] / "simulators" / "ethereum" / "dispatch.py"


def secret(kit: Kit, url: str, name: str = "node") -> None:
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"url": url}}
    kit.kubectl("apply", "-f", "-", input=json.dumps(manifest))


def until_equal(node: AnvilServer, postgres: PostgresServer) -> None:
    """Until the dataset's blocks are the node's, hash by hash."""

    def is_equal() -> bool:
        expected = [(number, node.block(number)["hash"]) for number in range(node.head() + 1)]
        with psycopg.connect(postgres.url()) as session:
            rows = session.execute('SELECT block_number, block_hash FROM "chain" ORDER BY block_number').fetchall()
        if rows != expected:
            raise LookupError(f"the dataset ends with {rows[-3:]}, the chain with {expected[-3:]}")
        return True

    eventually(is_equal, timeout=60, what="the chain in the dataset")


def until_volume_equals(node: AnvilServer, path: Path, first: int) -> None:
    """Until the volume's transactions are those of the node's blocks from one on."""

    def is_equal() -> bool:
        blocks = [node.block(number, full=True) for number in range(first, node.head() + 1)]
        expected = [
            (
                int(block["number"], 16),
                block["hash"],
                sent["hash"],
                sent["from"],
                sent["to"],
                str(int(sent["value"], 16)),
            )
            for block in blocks
            for sent in block["transactions"]
        ]
        rows = rows_in(
            path,
            "SELECT block_number, block_hash, transaction_hash, from_address, to_address, value FROM transactions"
            " ORDER BY block_number, transaction_index",
        )
        if rows != expected:
            raise LookupError(f"the dataset holds {rows}, the chain {expected}")
        return True

    eventually(is_equal, what="the chain's transactions in the dataset")


def until_tables_equal(node: AnvilServer, path: Path, first: int) -> None:
    """Until the five tables are what the node's blocks from one on hold; until then each state is one branch in all of them."""
    torn = []

    def is_equal() -> bool:
        expected, rows = rows_of(node, first), set(rows_in(path, QUERY))
        if found := disagreement(rows):
            torn.append(found)
        if rows != expected:
            raise LookupError(f"too much: {rows - expected}, missing: {expected - rows}")
        return True

    eventually(is_equal, what="the chain in all tables")
    assert torn == [], "a reader saw tables of different blocks"


def test_the_example_runs_on_a_cluster(kit: Kit, localkube: LocalKube, tmp_path: Path) -> None:
    localkube.map_images({"null-runner:test": {"command": [sys.executable, str(DISPATCH)], "user": 65532}})
    with AnvilServer() as node:
        actors = Actors(node)
        actors.pay(1)
        node.mine()
        first = node.head()

        def adapt(documents: Documents) -> None:
            documents["Secret"]["stringData"]["url"] = node.websocket_url

        type_readme(kit, "ethereum", tmp_path, adapt)
        assert re.search(r"^chain +ETHEREUM +5 streams ", kit.kubectl("get", "connectors"), flags=re.MULTILINE)
        path = localkube.volume_path(kit.namespace, "transactions") / "transactions.db"
        many = localkube.volume_path(kit.namespace, "chain") / "chain.db"
        until_volume_equals(node, path, first)
        until_tables_equal(node, many, first)
        actors.pay(2)
        actors.pay(10**21)
        actors.emit(erc20(actors.account, actors.other, 5))
        node.mine()
        until_volume_equals(node, path, first)
        until_tables_equal(node, many, first)
        assert {stream for stream, *_ in rows_of(node, first)} == set(STREAMS), "each table has rows to be compared"
        node.reorganise(1, actors.replacement(3))
        node.mine()
        until_volume_equals(node, path, first)
        until_tables_equal(node, many, first)
        for name in ("transactions", "chain"):
            kit.delete(name)
        for name in ("transactions", "chain"):
            kit.wait_gone(name)


@pytest.mark.timeout(600)
def test_a_chain_is_followed_and_another_one_is_refused(kit: Kit, localkube: LocalKube) -> None:
    localkube.map_images({"null-runner:test": {"command": [sys.executable, str(DISPATCH)], "user": 65532}})
    with PostgresServer() as postgres, AnvilServer() as node, AnvilServer(["--no-mining", "--chain-id", "77"]) as other:
        actors = Actors(node)
        node.mine(10)
        secret(kit, node.websocket_url)
        secret(kit, postgres.url(), "database")
        kit.dataset("chain", urlFrom={"secretKeyRef": {"name": "database", "key": "url"}}, table="chain")
        kit.apply(
            "chain",
            connectorType="ETHEREUM",
            datasetId="chain",
            config={"startBlock": "earliest"},
            configFrom=[{"secretRef": {"name": "node"}}],
        )
        status = kit.wait("chain", "received", ready=True, timeout=120)
        assert {"blocks", "logs", "token_transfers", "traces"} <= {stream["id"] for stream in status["streams"]}
        kit.patch("chain", selectedStream="blocks", status="running")
        kit.wait("chain", "running", ready=True, timeout=120)
        until_equal(node, postgres)
        node.reorganise(4, actors.replacement(1))
        node.mine()
        until_equal(node, postgres)

        secret(kit, other.url)
        kit.wait("chain", "errored", timeout=240)
        message = kit.condition("chain")["message"]
        assert "chain 31337" in message
        assert "chain 77" in message

        secret(kit, node.url)
        kit.wait("chain", "running", ready=True, timeout=240)
        node.mine(2)
        until_equal(node, postgres)
        kit.delete("chain")
        kit.wait_gone("chain")
