"""What only PostgreSQL has: backends that outlive their client, rights, narrower types, several databases a server."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pytest

from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import FenceLostError, SchemaConflictError, TransientError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import DECIMAL, INT64, JSON, STRING, TIMESTAMP, Kind, LogicalType
from connector_runner.registry import build_sink
from connector_runner.sinks.postgresql.bulk import LEAST_ROWS
from tests.contract.datasets import PostgresDataset
from tests.contract.driving import ListSource, Run, batch, context, run_to_end, until
from tests.contract.test_sinks import SMALL
from tests.servers.postgresql import PostgresServer

UPSERT, DELETE, INSERT, REPLACE = Operation
BATCHES = [batch(SMALL, number, (UPSERT, (number, "a"))) for number in range(1, 6)]
WAITING = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '{}'"
)

SESSIONS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'connector-%'"


@pytest.fixture
def dataset(postgres_server: PostgresServer) -> PostgresDataset:
    return PostgresDataset(postgres_server)


@pytest.mark.parametrize("mode", list(WriteMode))
async def test_a_claim_goes_on_after_the_commit_that_an_older_backend_makes_meanwhile(
    dataset: PostgresDataset, mode: WriteMode
) -> None:
    """The older runner is another user of the database, so that the newcomer can't end its session."""
    elder = f"elder_{dataset.database}"
    dataset.execute(f"CREATE ROLE {elder} LOGIN SUPERUSER PASSWORD 'elder-password'")
    url = dataset.server.url(dataset.database, elder, "elder-password")
    older = build_sink(context(dataset, read_url=lambda: url, write_mode=mode))
    claim = await older.claim()
    await older.prepare(SMALL)
    await older.write(Transaction(claim.number + 1, tuple(BATCHES[:1]), "list"))
    with dataset.held("rows"):
        writing = asyncio.create_task(older.write(Transaction(claim.number + 2, tuple(BATCHES[1:3]), "list")))
        await until(lambda: dataset.query(WAITING.format("INSERT%")), "the older one's rows wait for the lock")
        newer = Run(lambda: ListSource(BATCHES), context(dataset, run=2, write_mode=mode)).start()
        await until(
            lambda: dataset.query(WAITING.format("%checkpoints%")), "the newer one's claim waits for the commit"
        )
    await writing
    await newer.end()
    assert dataset.query("SELECT k FROM rows ORDER BY k") == [(1,), (2,), (3,), (4,), (5,)]
    await older.close()


async def test_a_claim_ends_no_session_in_another_database(
    postgres_server: PostgresServer, dataset: PostgresDataset
) -> None:
    other = PostgresDataset(postgres_server)
    sink, neighbour = build_sink(context(dataset)), build_sink(context(other))
    claim = await neighbour.claim()
    await neighbour.prepare(SMALL)
    await sink.claim()
    await neighbour.write(Transaction(claim.number + 1, tuple(BATCHES), "list"))
    await sink.close()
    await neighbour.close()


NARROW = [
    ("numeric(10,2)", DECIMAL, "needed is numeric"),
    ("character varying(10)", STRING, "needed is text"),
    ("timestamp(0) without time zone", TIMESTAMP, "needed is timestamp without time zone"),
    ("time(3) without time zone", LogicalType(Kind.TIME), "needed is time without time zone"),
    ("jsonb", JSON, "needed is json"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "wanted", "text"), NARROW, ids=[found for found, _, _ in NARROW])
async def test_a_column_that_would_round_or_rewrite_is_refused(
    dataset: PostgresDataset, found: str, wanted: LogicalType, text: str
) -> None:
    schema = StreamSchema("test", (Column("k", INT64), Column("v", wanted)), ("k",))
    dataset.execute(f"CREATE TABLE rows (k bigint PRIMARY KEY, v {found})")
    run = Run(lambda: ListSource([batch(schema, 1)]), context(dataset)).start()
    with pytest.raises(SchemaConflictError) as caught:
        await run.end()
    assert f"column v is {found}, {text}" in caught.value.message


async def test_a_modifier_that_changes_nothing_is_fine(dataset: PostgresDataset) -> None:
    schema = StreamSchema("test", (Column("k", INT64), Column("v", TIMESTAMP), Column("w", STRING)), ("k",))
    dataset.execute("CREATE TABLE rows (k bigint PRIMARY KEY, v timestamp(6), w character varying)")
    await run_to_end([batch(schema, 1, (UPSERT, (1, None, "x" * 1000)))], context(dataset))
    assert dataset.query("SELECT k, length(w) FROM rows") == [(1, 1000)]


@pytest.mark.parametrize("mode", list(WriteMode))
async def test_tables_that_are_there_need_no_right_to_create(dataset: PostgresDataset, mode: WriteMode) -> None:
    keyed = [batch(SMALL, 1, (UPSERT, (1, "a"))), batch(SMALL, 2, (REPLACE, (1,)), (UPSERT, (2, "b")))]
    await run_to_end(keyed, context(dataset, write_mode=mode))
    clerk = f"clerk_{dataset.database}"
    dataset.execute(f"CREATE ROLE {clerk} LOGIN PASSWORD 'clerk-password'")
    dataset.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {clerk}")
    url = dataset.server.url(dataset.database, clerk, "clerk-password")
    more = [keyed[1], batch(SMALL, 3, (REPLACE, (2,)), (UPSERT, (3, "c")))]
    await run_to_end(more, context(dataset, run=2, write_mode=mode, read_url=lambda: url))
    assert dataset.query("SELECT max(k) FROM rows") == [(3,)]


async def test_two_rows_that_are_one_to_the_table_are_stored_one_after_the_other(dataset: PostgresDataset) -> None:
    """Python's NaN differ from each other, PostgreSQL's do not."""
    schema = StreamSchema("test", (Column("k", DECIMAL), Column("v", STRING)), ("k",))
    rows = [(UPSERT, (Decimal("NaN"), "first")), (UPSERT, (Decimal(1), "one")), (UPSERT, (Decimal("NaN"), "last"))]
    run = await run_to_end([batch(schema, 1, *rows)], context(dataset))
    assert dataset.query("SELECT v FROM rows ORDER BY v") == [("last",), ("one",)]
    assert run.telemetry.totals.refused == 0


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("moment", ["at the claim", "between commits"])
async def test_a_read_only_database_is_waited_for(
    postgres_server: PostgresServer, dataset: PostgresDataset, moment: str, wait: bool
) -> None:
    """A session keeps the setting that it was made with: it takes a new one to notice that it was mended."""
    setting = f"ALTER DATABASE {dataset.database} SET default_transaction_read_only"
    gate = asyncio.Event()

    class Gated(ListSource):
        async def batches(self):  # type: ignore[no-untyped-def]
            async for item in super().batches():
                yield item
                await gate.wait()

    run = Run(lambda: Gated(BATCHES), context(dataset, wait=wait), wait=wait)
    if moment == "between commits":
        run.start()
        await until(lambda: run.telemetry.totals.rows == 1, "the first row")
    postgres_server.execute(f"{setting} = on")
    if moment == "between commits":
        await until(lambda: dataset.query(f"SELECT pg_terminate_backend(pid) {SESSIONS}") == [], "its session ends")
    else:
        run.start()
    gate.set()
    await until(lambda: "read-only" in run.log.text(), "it says so")
    assert not run.telemetry.health.is_ready
    postgres_server.execute(f"{setting} = off")
    await run.end()
    assert dataset.read(SMALL, "rows") == [(number, "a") for number in range(1, 6)]


async def test_a_session_that_hangs_in_a_transaction_lets_go(dataset: PostgresDataset) -> None:
    url = f"{dataset.url}?options=-c%20idle_in_transaction_session_timeout%3D10ms"
    sink = build_sink(context(dataset, read_url=lambda: url))
    await sink.claim()
    await sink.prepare(SMALL)
    session = sink._session  # type: ignore[attr-defined]
    async with session.ordinary() as connection:
        assert (await (await connection.execute("SHOW idle_in_transaction_session_timeout")).fetchone()) == ("10ms",)
    await sink.close()
    sink = build_sink(context(dataset, run=2))
    await sink.claim()
    async with sink._session.ordinary() as connection:  # type: ignore[attr-defined]
        assert (await (await connection.execute("SHOW idle_in_transaction_session_timeout")).fetchone()) == ("1min",)
    with pytest.raises(TransientError):
        await sink.write(Transaction(99, (), ""))
    await sink.close()


# One value of each kind and null; with the numbers whose bytes a wrong column would take for others.
SAMPLES: dict[Kind, list[Any]] = {
    Kind.BOOL: [True, False], Kind.INT64: [0, 5, -(2**63), 2**63 - 1], Kind.UINT64: [0, 2**64 - 1],
    Kind.INT256: [-(2**255), 2**256 - 1], Kind.DECIMAL: [Decimal("1.500"), Decimal("-0.00001"), Decimal("NaN")],
    Kind.FLOAT32: [0.5, -math.inf], Kind.FLOAT64: [0.1, math.nan, -0.0], Kind.STRING: ["", "ünï 🎈", "x" * 3000],
    Kind.BYTES: [b"", bytes(range(256))], Kind.DATE: [dt.date.min, dt.date.max, "0000-02-29"],
    Kind.TIME: [dt.time.max], Kind.TIMESTAMP: [dt.datetime.max, "294276-12-31T23:59:59.999999"],
    Kind.TIMESTAMPTZ: [dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "10000-01-01T00:00:00Z"],
    Kind.JSON: ['{"a": 1.0000000000000000000001, "a": "\\u0000"}'], Kind.UUID: ["00000000-0000-0000-0000-0000000000ff"],
}  # fmt: skip
EVERY = StreamSchema("test", (Column("k", INT64), *(Column(kind.value, LogicalType(kind)) for kind in Kind)), ("k",))


def every_row(number: int) -> tuple[Any, ...]:
    return (number, *([*SAMPLES[kind], None][number % (len(SAMPLES[kind]) + 1)] for kind in Kind))


async def copied(dataset: PostgresDataset, batches: list[Batch], table: str = "rows", **more: Any) -> tuple[Run, bool]:
    """The run over, and whether the sink still takes COPY for the best way."""
    sink = build_sink(context(dataset, table, write_mode=WriteMode.APPEND, **more))
    run = Run(lambda: ListSource(batches), sink).start()
    await run.end()
    return run, sink._bulk is not None  # type: ignore[attr-defined]


async def test_what_is_copied_is_what_arrays_would_have_brought(dataset: PostgresDataset) -> None:
    rows = [(UPSERT, every_row(number)) for number in range(2 * LEAST_ROWS)]
    _, fits = await copied(dataset, [batch(EVERY, 1, *rows)])
    assert fits
    few = [batch(EVERY, place, *rows[place : place + 100]) for place in range(0, len(rows), 100)]
    sink = build_sink(context(dataset, "by_arrays", write_mode=WriteMode.APPEND))
    number = (await sink.claim()).number
    await sink.prepare(EVERY)
    for place, item in enumerate(few, 1):
        await sink.write(Transaction(number + place, (item,), "list"))
    await sink.close()
    names = ", ".join(f'"{name}"::text' for name in [*EVERY.names, "_op", "_connector", "_stream"])
    both = f"(SELECT {names} FROM rows) EXCEPT ALL (SELECT {names} FROM by_arrays)"
    assert dataset.query(both) == []
    assert dataset.query("SELECT count(*), min(_id) < max(_id), count(DISTINCT _written_at) FROM rows") == [
        (len(rows), True, 1)
    ]
    assert dataset.query("SELECT bool_and(_written_at BETWEEN now() - interval '5 minutes' AND now()) FROM rows") == [
        (True,)
    ]


async def test_of_many_rows_only_those_refused_become_dead_letters(dataset: PostgresDataset) -> None:
    good = [(UPSERT, (number, "a")) for number in range(LEAST_ROWS)]
    by_value = batch(SMALL, 1, *good, (UPSERT, (-1, "\0")))
    by_table = batch(SMALL, 2, (UPSERT, (-2, "no")), *good)
    await copied(dataset, [batch(SMALL, 0)])
    dataset.execute("ALTER TABLE rows ADD CHECK (v <> 'no')")
    run, fits = await copied(dataset, [batch(SMALL, 0), by_value, by_table], run=2)
    assert fits
    assert run.telemetry.totals.refused == 2
    assert dataset.query("SELECT count(*) FROM rows") == [(2 * LEAST_ROWS,)]
    letters = dataset.query('SELECT "row" FROM rows_dead_letters ORDER BY id')
    assert [letter["k"] for (letter,) in letters] == [-1, -2]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE rows ALTER k TYPE numeric",
        "CREATE RULE mine AS ON INSERT TO rows WHERE new.k < 0 DO INSTEAD NOTHING",
    ],
)
async def test_a_table_that_copy_would_misread_gets_arrays(dataset: PostgresDataset, change: str) -> None:
    """Also when it was changed while the runner writes: the types are looked at in each transaction."""
    rows = [[(UPSERT, (number, "a")) for number in range(first, first + LEAST_ROWS)] for first in (0, LEAST_ROWS)]
    sink = build_sink(context(dataset, write_mode=WriteMode.APPEND))
    number = (await sink.claim()).number
    await sink.prepare(SMALL)
    await sink.write(Transaction(number + 1, (batch(SMALL, 1, *rows[0]),), "list"))
    dataset.execute(change)
    await sink.write(Transaction(number + 2, (batch(SMALL, 2, *rows[1]),), "list"))
    await sink.close()
    assert dataset.query("SELECT k FROM rows ORDER BY _id") == [(number,) for number in range(2 * LEAST_ROWS)]


async def test_many_rows_of_an_overtaken_runner_are_refused(dataset: PostgresDataset) -> None:
    dataset.execute("CREATE ROLE overtaken LOGIN SUPERUSER PASSWORD 'overtaken-password'")
    url = dataset.server.url(dataset.database, "overtaken", "overtaken-password")
    older = build_sink(context(dataset, read_url=lambda: url, write_mode=WriteMode.APPEND))
    number = (await older.claim()).number
    await older.prepare(SMALL)
    newer = build_sink(context(dataset, run=2, write_mode=WriteMode.APPEND))
    await newer.claim()
    rows = [(UPSERT, (number, "a")) for number in range(LEAST_ROWS)]
    with pytest.raises(FenceLostError, match="run 2"):
        await older.write(Transaction(number + 1, (batch(SMALL, 1, *rows),), "list"))
    assert dataset.query("SELECT count(*) FROM rows") == [(0,)]
    await older.close()
    await newer.close()
