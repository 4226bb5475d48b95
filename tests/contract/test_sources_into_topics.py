"""The sources whose rows need most of a topic (TRUNCATE, trades that are filled in, reorganisations), into Kafka in each format and mode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.source import Source, SourceContext, WriteMode
from connector_runner.schemas.config import fill_defaults
from tests.contract.worlds import CoinbaseWorld, EthereumWorld, MysqlWorld, Servers, World
from tests.kit.kafka_avro_dataset import AvroDataset
from tests.kit.kafka_dataset import KafkaDataset
from tests.kit.pipeline import Run, context
from tests.kit.reading import Reading, Table
from tests.kit.report import RecordingReport
from tests.kit.waiting import until
from tests.scripted.source import TestRegistry
from tests.servers.kafka import KafkaServer
from tests.servers.schema_registry import SmallRegistry

pytestmark = pytest.mark.fault
REGISTRY = TestRegistry()


@pytest.fixture(params=["json", "avro"])
def topics(request: pytest.FixtureRequest, kafka_server: KafkaServer, tmp_path: Path) -> Iterator[KafkaDataset]:
    with SmallRegistry() as registry:
        is_json = request.param == "json"
        yield KafkaDataset(kafka_server, tmp_path) if is_json else AvroDataset(kafka_server, tmp_path, registry)


@dataclass(frozen=True)
class Case:
    """A stream.

    Attributes:
        build: Its world.
        change: Changes the world; the number says how often that has been done.
        compare: Whether the rows are those of the world; None for what another reading of the whole stream says.
    """

    connector_type: str
    build: Callable[[Servers], World] = field(repr=False)
    change: Callable[[Any, int], None] = field(repr=False)
    compare: Callable[[Any, Table, StreamSchema], bool] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.connector_type.lower()


def truncate(world: MysqlWorld, number: int) -> None:
    """Each change removes all rows in its midst."""
    first = 10_000 * (number + 1)
    rows = ", ".join(f"({first + n}, 'again', {n}.5, {first + n})" for n in range(30))
    world._server.execute(
        f"UPDATE t SET name = 'gone {number}', version = version + 1",
        "TRUNCATE TABLE t",
        f"INSERT INTO t (id, name, price, version) VALUES {rows}",
        f"DELETE FROM t WHERE id % 3 = {number % 3}",
        f"INSERT INTO t (id, name, price) VALUES (1, 'back', {number}.25)",
        database=world._database,
    )


def in_table(world: MysqlWorld, table: Table, schema: StreamSchema) -> bool:
    names = ", ".join(f"`{name}`" for name in schema.names)
    rows = world._server.query(f"SELECT {names} FROM t", database=world._database)
    return sorted(table.values(), key=repr) == sorted(rows, key=repr)


def trade(world: CoinbaseWorld, number: int) -> None:
    """What happens while nobody listens is filled in later."""
    del number
    world._exchange.market(burst=60, steps=5, beats=5)


def has_traded(world: CoinbaseWorld, table: Table, schema: StreamSchema) -> bool:
    """No trade is missing from the first one that was seen, and each is that of the exchange."""
    at = {name: schema.names.index(name) for name in ("trade_id", "price", "size", "side", "product_id")}
    last = world._exchange.truth()["last_trade_id"]
    for product in world.PRODUCTS:
        found = {
            row[at["trade_id"]]: tuple(row[at[name]] for name in ("price", "size", "side"))
            for row in table.values()
            if row[at["product_id"]] == product
        }
        if not found or max(found) < last[product]:
            return False
        told = {
            trade["trade_id"]: (Decimal(trade["price"]), Decimal(trade["size"]), trade["side"])
            for trade in world._exchange.trades(product, min(found))
        }
        assert found == told
    return True


CASES = (
    Case(
        "MYSQL",
        lambda servers: MysqlWorld(servers.database("mysql"), "LOG_BASED", servers.new_name()),
        truncate,
        in_table,
    ),
    Case("COINBASE", lambda servers: CoinbaseWorld(servers.coinbase(), "matches"), trade, has_traded),
    Case("ETHEREUM", lambda servers: EthereumWorld(*servers.chain(), "logs"), lambda world, _: world.change()),
)


def build(case: Case, world: World, report: Any, mode: WriteMode) -> Source:
    config = fill_defaults(world.config, REGISTRY.schema(case.connector_type))
    return REGISTRY.build(case.connector_type, SourceContext(config, "default/test", mode, report))


async def whole(case: Case, world: World) -> Reading:
    """The stream as another reader sees it from its beginning."""
    reading = Reading(build(case, world, RecordingReport(), WriteMode.UPSERT), world.stream)
    await reading.open()
    if case.compare is None:
        await reading.until(world.is_complete)
    await reading.close()
    return reading


def live(topics: KafkaDataset, schema: StreamSchema, mode: WriteMode) -> Table:
    """The rows that a reader of the topic has at its end, by key."""
    places = schema.key_indices
    if mode is WriteMode.UPSERT:
        return {tuple(row[place] for place in places): row for row in topics.read(schema, "rows")}
    table: Table = {}
    for *row, operation in topics.read(schema, "rows", ["_op"], order="_id"):
        key = tuple(row[place] for place in places)
        if operation == "delete":
            assert key in table, f"{key} is taken back, and was not there"
            del table[key]
        else:
            table[key] = tuple(row)
    return table


@pytest.mark.parametrize("mode", list(WriteMode))
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.timeout(900)
async def test_the_topic_is_the_source(case: Case, mode: WriteMode, topics: KafkaDataset, servers: Servers) -> None:
    """Changes come while the runner works, while there is none, and right before it is killed."""
    world = case.build(servers)
    schema = (await whole(case, world)).opened.schemas[world.stream]  # type: ignore[union-attr]

    def start(number: int) -> Run:
        sink = context(topics, stream=world.stream, write_mode=mode, run=number)
        run = Run(lambda: build(case, world, run.telemetry, mode), sink, retry=0.5)
        return run.start()

    async def complete() -> None:
        reading = await whole(case, world)
        wanted = reading.table

        def is_complete() -> bool:
            table = live(topics, schema, mode)
            return table == wanted if case.compare is None else case.compare(world, table, schema)

        await until(is_complete, "the topic is the source", 120, pause=0.2, blocks=True)

    run = start(1)
    await until(lambda: "the source is connected" in run.log.text() or run.has_ended, "it follows")
    for number in range(3):
        case.change(world, number)
        await complete()
    case.change(world, 3)  # it may be in the midst of it
    await run.kill()
    case.change(world, 4)
    run = start(2)
    case.change(world, 5)
    await complete()
    await run.stop()
    if case.connector_type == "COINBASE":  # a trade is never told again, also not one that was filled in
        assert set(Counter(each.key() for each in topics.topics.committed("rows")).values()) == {1}


ALTERATIONS = (
    ("ALTER TABLE t ADD COLUMN big BIGINT UNSIGNED", "UPDATE t SET big = 18446744073709551615 WHERE id % 4 = 0"),
    ("ALTER TABLE t DROP COLUMN price", "UPDATE t SET name = 'without' WHERE id % 5 = 0"),
    ("ALTER TABLE t ADD COLUMN price BIGINT NOT NULL DEFAULT 7", "UPDATE t SET price = -1 WHERE id % 6 = 0"),
    ("ALTER TABLE t MODIFY name VARCHAR(80) NULL", "UPDATE t SET name = NULL WHERE id % 7 = 0"),
    (
        "ALTER TABLE t ADD COLUMN `odd name-é` DECIMAL(40,20), ADD COLUMN kind ENUM('', 'a', 'é')",
        "UPDATE t SET `odd name-é` = -12345678901234567890.00000000000000000001, kind = 'é', at = '1901-01-01 00:00:00.000001'",
    ),
    ("ALTER TABLE t MODIFY `odd name-é` DECIMAL(42,21)", "UPDATE t SET kind = '' WHERE id % 3 = 0"),
)
"""A statement that changes the table, and one that writes rows of its new form; after the fifth the copied rows are read again."""


@pytest.mark.timeout(900)
async def test_columns_that_change(topics: KafkaDataset, servers: Servers) -> None:
    """Added, dropped, added again with another type, nullable, with a name and digits that Avro has not; each row as the table has it."""
    case, world = CASES[0], CASES[0].build(servers)
    assert isinstance(world, MysqlWorld)

    def start(number: int) -> Run:
        sink = context(topics, stream=world.stream, run=number)
        run = Run(lambda: build(case, world, run.telemetry, WriteMode.UPSERT), sink, retry=0.5)
        return run.start()

    run = start(1)
    for number, statements in enumerate(ALTERATIONS):
        world._server.execute(
            *statements, f"INSERT INTO t (id, name) VALUES ({5000 + number}, 'new')", database=world._database
        )
        if number == 2:  # the next runner begins with what this one has not read
            await run.kill()
            run = start(2)
        schema = (await whole(case, world)).opened.schemas[world.stream]  # type: ignore[union-attr]
        await until(
            lambda run=run, schema=schema: in_table(world, live(topics, schema, WriteMode.UPSERT), schema) or run.has_ended,  # type: ignore[misc]
            f"the topic is the table after {statements[0]}", 120, pause=0.2, blocks=True,
        )  # fmt: skip
        assert not run.has_ended, run.log.text()
    await run.stop()
