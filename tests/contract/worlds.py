"""The other side of each source: what the contract of sources reads, and the servers that it needs."""

from __future__ import annotations

import contextlib
import itertools
import random
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol

from connector_runner.protocols.errors import ActionRequiredError, InvalidConfigError
from connector_runner.protocols.source import Checkpoint
from connector_runner.sources.coinbase.streams import STREAMS as COINBASE_STREAMS
from connector_runner.sources.coinbase.streams import Proof
from tests.kit.reading import Reading
from tests.scripted.script import Script, build_script
from tests.servers.anvil import AnvilServer
from tests.servers.mariadb import mariadb
from tests.servers.mysql import mysql
from tests.servers.mysqld import ADMIN_PASSWORD, ADMIN_USER, DatabaseServer
from tests.servers.ports import free_port
from tests.simulators.coinbase.process import Simulator
from tests.simulators.ethereum.chains import busy_block
from tests.simulators.ethereum.contracts import Actors

Config = dict[str, Any]


class World(Protocol):
    """The other side of a source, with one stream of its own.

    Attributes:
        stream: What is read.
        config: That leads there.
        changes: How many times it can change.
        refused: A configuration that can't work, and the error that reports it.
        nowhere: What to change in `config` so that no server answers; empty if there is no server.
    """

    stream: str
    config: Config
    changes: int
    refused: tuple[Config, type[ActionRequiredError]]
    nowhere: Config

    def change(self) -> None:
        """Something new happens."""

    def is_complete(self, reading: Reading) -> bool:
        """Whether the reading has everything, by what the other side itself says."""

    def estrange(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint as if it came from another source of the type."""

    def state(self) -> Any:
        """What the other side would show if somebody had written to it; nobody else changes it meanwhile."""


class ScriptedWorld:
    """The deterministic source of tests, which drives the suite of sinks."""

    changes = 0

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.config: Config = {"seed": 5, "batches": 40, "rows": 8, "ids": 12}
        self.refused: tuple[Config, type[ActionRequiredError]] = ({"identity": 5}, InvalidConfigError)
        self.nowhere: Config = {}
        self._script: Script = build_script(self.config, stream)

    def change(self) -> None:
        raise AssertionError("a script does not change")

    def is_complete(self, reading: Reading) -> bool:
        return reading.place.get("next") == self._script.batches and reading.table == self._script.state()

    def estrange(self, checkpoint: Checkpoint) -> Checkpoint:
        return Checkpoint(checkpoint.position, "another script", checkpoint.schema_version)

    def state(self) -> Any:
        return None


class CoinbaseWorld:
    """The simulated exchange: nothing happens there until a test asks for it."""

    PRODUCTS = ("BTC-USD", "ETH-USD", "LINK-USD")
    STATES = ("internal", "offline", "online")
    changes = 2

    def __init__(self, exchange: Simulator, stream: str) -> None:
        spec = COINBASE_STREAMS[stream]
        self.stream = stream
        self._exchange, self._proof = exchange, spec.proof
        self.config: Config = exchange.config(*self.PRODUCTS, with_key=spec.is_private)
        self.refused: tuple[Config, type[ActionRequiredError]] = ({"productId": ["BTC-USDD"]}, InvalidConfigError)
        self.nowhere: Config = {"url": f"ws://127.0.0.1:{free_port()}", "restUrl": f"http://127.0.0.1:{free_port()}"}
        self._states = itertools.cycle(self.STATES)
        self._state = "online"
        exchange.market(states={"LINK-USD": self._state})

    def change(self) -> None:
        if self._proof is Proof.STATE:
            self._state = next(self._states)
            self._exchange.market(states={"LINK-USD": self._state}, beats=5)
        else:
            self._exchange.market(burst=40, steps=20, beats=5)

    def is_complete(self, reading: Reading) -> bool:
        match self._proof:
            case Proof.TRADE_IDS:
                return bool(reading.place.get("_last") == self._exchange.truth()["last_trade_id"])
            case Proof.BOOK:
                book = {key: row[3] for key, row in reading.table.items()}
                return book == {
                    (product, side, Decimal(price).normalize()): Decimal(size)
                    for product in self.PRODUCTS
                    for side, levels in self._exchange.book(product).items()
                    for price, size in levels.items()
                }
            case Proof.STATE:
                found = reading.table.get(("product", "LINK-USD"))
                return found is not None and found[3] == self._state
            case _:
                return reading.fresh >= 3

    def estrange(self, checkpoint: Checkpoint) -> Checkpoint:
        return Checkpoint(checkpoint.position, "ws-feed.example.com", checkpoint.schema_version)

    def state(self) -> Any:
        truth = self._exchange.truth()
        return {name: truth[name] for name in truth if name not in ("requests", "connections")}


class MysqlWorld:
    """A table of its own on a real server."""

    # What happens to the table: INCREMENTAL sees no deletes, FULL_TABLE nothing after its end.
    CHANGES: Mapping[str, tuple[str, ...]] = {
        "LOG_BASED": (
            "INSERT INTO t (id, name, price) VALUES (1001, 'new', 1.50), (1002, 'newer', NULL)",
            "UPDATE t SET name = 'changed', version = version + 1000 WHERE id % 5 = 0",
            "DELETE FROM t WHERE id % 7 = 0",
            "UPDATE t SET id = 2000 WHERE id = 1",
        ),
        "INCREMENTAL": (
            "INSERT INTO t (id, name, price, version) VALUES (1001, 'new', 1.50, 1001), (1002, 'newer', NULL, 1002)",
            "UPDATE t SET name = 'changed', version = version + 2000 WHERE id % 5 = 0",
        ),
        "FULL_TABLE": (),
    }

    def __init__(self, server: DatabaseServer, mode: str, database: str) -> None:
        self._server, self._mode, self._database = server, mode, database
        self.stream = f"{database}.t"
        self.config: Config = {
            "host": server.host, "port": server.port, "user": ADMIN_USER, "password": ADMIN_PASSWORD,
            "database": database, "mode": mode, "chunkRows": 7, "pollSeconds": 1,
            **({"cursorColumn": "version"} if mode == "INCREMENTAL" else {}),
        }  # fmt: skip
        self.refused: tuple[Config, type[ActionRequiredError]] = ({"password": "wrong"}, ActionRequiredError)
        self.nowhere: Config = {"port": free_port()}
        self.changes = 1 if self.CHANGES[mode] else 0
        values = ", ".join(f"({n}, 'name {n}', {n}.25, '2026-01-01 00:00:00.{n:06}', {n})" for n in range(1, 41))
        server.execute(
            f"CREATE DATABASE {database}",
            f"USE {database}",
            "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, price DECIMAL(10,2), at DATETIME(6), "
            "version BIGINT NOT NULL DEFAULT 0)",
            f"INSERT INTO t VALUES {values}",
        )

    def change(self) -> None:
        self._server.execute(*self.CHANGES[self._mode], database=self._database)

    def is_complete(self, reading: Reading) -> bool:
        if self._mode == "FULL_TABLE" and not reading.has_ended:
            return False
        if "copy" in reading.place:
            return False
        rows = self._server.query("SELECT * FROM t", database=self._database)
        return sorted(reading.table.values()) == sorted(rows)

    def estrange(self, checkpoint: Checkpoint) -> Checkpoint:
        position = dict(checkpoint.position)
        if self._server.is_mariadb:
            identity, gtids = "mariadb:7-77", "7-77-123"
        else:
            stranger = str(uuid.UUID(int=7))
            identity, gtids = f"mysql:{stranger}", f"{stranger}:1-99"
        if "log" in position:
            position["log"] = {**position["log"], "gtids": gtids}
        return Checkpoint(position, identity, checkpoint.schema_version)

    def state(self) -> Any:
        """The end of the log, which every change moves, and the rows."""
        log = self._server.query("SHOW BINARY LOGS")
        return log, self._server.query("SELECT * FROM t", database=self._database)


class MysqlSharedWorld(MysqlWorld):
    """A table in a database of its own, of which several are read together; it may change any number of times."""

    def __init__(self, server: DatabaseServer, stream: str) -> None:
        database = stream.partition(".")[0]
        server.execute(f"DROP DATABASE IF EXISTS {database}")
        super().__init__(server, "LOG_BASED", database)
        del self.config["database"]
        self._numbers = itertools.count(5000)

    def change(self) -> None:
        number = next(self._numbers)
        self._server.execute(
            f"INSERT INTO t (id, name, price) VALUES ({number}, 'new', 1.50)",
            f"UPDATE t SET name = 'changed {number}', version = version + 1000 WHERE id % 5 = 0",
            f"DELETE FROM t WHERE id IN ({number - 1}, {number - 4993})",
            database=self._database,
        )


TRANSFER = "Transfer(address indexed from, address indexed to, uint256 value)"


class EthereumWorld:
    """A chain that grows, and then replaces its last blocks."""

    changes = 2

    def __init__(self, node: AnvilServer, actors: Actors, stream: str) -> None:
        self._node, self._actors = node, actors
        self.stream = stream
        self.config: Config = {"url": node.url, "startBlock": "earliest", "events": [TRANSFER]}
        self.refused: tuple[Config, type[ActionRequiredError]] = ({"abi": "[{]"}, InvalidConfigError)
        self.nowhere: Config = {"url": f"http://127.0.0.1:{free_port()}"}
        self._chance = random.Random(3)
        self._is_longer = False

    def change(self) -> None:
        if self._is_longer:
            self._node.reorganise(2, self._actors.replacement(self._chance.randrange(10**6)))
        else:
            for _ in range(3):
                busy_block(self._actors, self._chance)
                self._node.mine()
        self._is_longer = not self._is_longer

    def is_complete(self, reading: Reading) -> bool:
        return bool(reading.place.get("hash") == self._node.block("latest")["hash"])

    def estrange(self, checkpoint: Checkpoint) -> Checkpoint:
        return Checkpoint(checkpoint.position, "chain 1, genesis 0xd4e56740", checkpoint.schema_version)

    def state(self) -> Any:
        return self._node.block("latest")["hash"]


class Servers:
    """The servers that the worlds need; started when they are first needed, and shared."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, Any] = {}
        self._databases = itertools.count(1)

    def _shared(self, name: str, start: Callable[[], Any]) -> Any:
        if name not in self._running:
            self._running[name] = start()
        return self._running[name]

    def coinbase(self) -> Simulator:
        server: Simulator = self._shared(
            "coinbase", lambda: self._stack.enter_context(Simulator(rate=0, connection_limit=0, request_limit=0))
        )
        return server

    def database(self, dialect: str) -> DatabaseServer:
        options = () if dialect == "mariadb" else ("--gtid-mode=ON", "--enforce-gtid-consistency=ON")
        kind = mariadb if dialect == "mariadb" else mysql
        server: DatabaseServer = self._shared(
            dialect, lambda: self._stack.enter_context(DatabaseServer(kind(), options))
        )
        return server

    def chain(self) -> tuple[AnvilServer, Actors]:
        def start() -> tuple[AnvilServer, Actors]:
            node = self._stack.enter_context(AnvilServer())
            actors, chance = Actors(node), random.Random(2)
            for _ in range(8):
                busy_block(actors, chance)
                node.mine()
            return node, actors

        found: tuple[AnvilServer, Actors] = self._shared("anvil", start)
        return found

    def new_name(self) -> str:
        return f"contract_{next(self._databases)}"
