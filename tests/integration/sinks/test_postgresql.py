"""What only PostgreSQL has: backends that outlive their client, rights, narrower types, several databases a server."""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal

import pytest

from connector_runner.protocols.batch import Incident, Operation
from connector_runner.protocols.check import Check, Part, Result, failed
from connector_runner.protocols.errors import ActionRequiredError, SchemaConflictError, TransientError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import DECIMAL, INT64, JSON, STRING, TIMESTAMP, Kind, LogicalType
from connector_runner.registry import build_examiner, build_sink
from tests.kit.datasets import PostgresDataset
from tests.kit.pipeline import SMALL, ListSource, Run, batch, context, run_to_end
from tests.kit.waiting import until
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


NEEDED = [
    *(("_connector_checkpoints", right) for right in ("SELECT", "INSERT", "UPDATE")),
    *(("rows", right) for right in ("SELECT", "INSERT", "UPDATE", "DELETE")),
    ("rows_dead_letters", "INSERT"),
    ("rows_incidents", "INSERT"),
]


@pytest.mark.fault
async def test_a_check_asks_for_exactly_the_rights_that_a_run_needs(dataset: PostgresDataset) -> None:
    """Without any one of them both refuse; with all of them both go through; and no transaction of a check may write."""
    incident = Incident("gap", "test", "a gap", {})

    async def run(number: int, url: str) -> None:
        rows = [(UPSERT, (1, "a")), (UPSERT, (2, "\0")), (DELETE, (3, None))]
        batches = [batch(SMALL, one, *rows, incidents=(incident,)) for one in range(1, number + 1)]
        await run_to_end(batches, context(dataset, run=number, read_url=lambda: url))

    def check(url: str) -> list[Check]:
        try:
            with contextlib.closing(build_examiner(context(dataset, read_url=lambda: url))) as examiner:
                return [one for one in examiner.examine({"test": SMALL}) if one.result is Result.FAILED]
        except ActionRequiredError as error:
            return [failed(Part.DATASET, "rights", error)]

    await run(1, dataset.url)
    clerk = f"clerk_{dataset.database}"
    dataset.execute(f"CREATE ROLE {clerk} LOGIN PASSWORD 'clerk-password'")
    url = dataset.server.url(dataset.database, clerk, "clerk-password")
    for table, right in NEEDED:
        dataset.execute(f"GRANT {right} ON {table} TO {clerk}")
    assert check(url) == []
    await run(2, url)
    for number, (table, right) in enumerate(NEEDED, 3):
        dataset.execute(f"REVOKE {right} ON {table} FROM {clerk}")
        told = check(url)
        assert [one.reason for one in told] == ["MissingDatasetGrant"], (table, right)
        if (table, right) != (
            "_connector_checkpoints",
            "SELECT",
        ):  # there the first statement is refused, with its own words
            assert f'{right} ON "public"."{table}" TO' in told[0].message
        with pytest.raises(ActionRequiredError) as refused:
            await run(number, url)
        assert refused.value.reason == "MissingDatasetGrant", (table, right)
        dataset.execute(f"GRANT {right} ON {table} TO {clerk}")


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
    """A session keeps the setting that it was opened with, so only a new session sees the corrected one."""
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


async def test_of_many_rows_only_those_refused_become_dead_letters(dataset: PostgresDataset) -> None:
    good = [(UPSERT, (number, "a")) for number in range(500)]
    by_value = batch(SMALL, 1, *good, (UPSERT, (-1, "\0")))
    by_table = batch(SMALL, 2, (UPSERT, (-2, "no")), *good)
    await run_to_end([batch(SMALL, 0)], context(dataset, write_mode=WriteMode.APPEND))
    dataset.execute("ALTER TABLE rows ADD CHECK (v <> 'no')")
    sink = context(dataset, run=2, write_mode=WriteMode.APPEND)
    run = await run_to_end([batch(SMALL, 0), by_value, by_table], sink)
    assert run.telemetry.totals.refused == 2
    assert dataset.query("SELECT count(*) FROM rows") == [(2 * len(good),)]
    letters = dataset.query('SELECT "row" FROM rows_dead_letters ORDER BY id')
    assert [letter["k"] for (letter,) in letters] == [-1, -2]


async def test_a_column_that_is_altered_meanwhile_gets_the_same_values(dataset: PostgresDataset) -> None:
    """Rows are converted by the server, whatever the column's type is by now."""
    sink = build_sink(context(dataset, write_mode=WriteMode.APPEND))
    number = (await sink.claim()).number
    await sink.prepare(SMALL)
    await sink.write(Transaction(number + 1, (BATCHES[0],), "list"))
    dataset.execute("ALTER TABLE rows ALTER k TYPE numeric")
    await sink.write(Transaction(number + 2, tuple(BATCHES[1:]), "list"))
    await sink.close()
    assert dataset.query("SELECT k FROM rows ORDER BY _id") == [(number,) for number in range(1, 6)]
