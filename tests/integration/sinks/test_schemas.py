"""Tables of one connector in several schemas of PostgreSQL: one ledger, pointers to it beside the tables, one owner a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connector_runner.protocols.errors import (
    ActionRequiredError,
    FenceLostError,
    SchemaConflictError,
    TableTakenError,
    TransientError,
)
from connector_runner.protocols.sink import SinkContext, Transaction
from connector_runner.registry import build_inspector, build_sink
from connector_runner.schemas.manifest import TakeOver
from connector_runner.schemas.outcome import ExitCode
from tests.kit.datasets import Dataset, fresh_dataset
from tests.kit.pipeline import Run, context
from tests.scripted.bank import Bank, BankSource
from tests.servers.postgresql import PostgresServer

BANK = Bank(seed=12, moves=240)
TABLES = {"t0": "north.rows", "t1": "south.rows", "t2": "here"}


@pytest.fixture
def database(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Dataset]:
    with fresh_dataset("postgresql", tmp_path, lambda _: postgres_server) as made:
        for schema in ("north", "south", "raw"):
            made.execute(f"CREATE SCHEMA {schema}")
        yield made


def many(database: Dataset, run: int, tables: Mapping[str, str] = TABLES, **more: Any) -> SinkContext:
    return context(database, tables=tables, is_selection=True, run=run, **more)


def alone(database: Dataset, run: int, stream: str, **more: Any) -> SinkContext:
    return context(database, TABLES[stream], stream=stream, run=run, **more)


async def carry(sink: SinkContext, moves: int | None = None) -> None:
    assert await Run(lambda: BankSource(BANK, until=moves), sink).start().end() is ExitCode.END_OF_STREAM


def assert_at(database: Dataset, moves: Mapping[str, int], tables: Mapping[str, str] = TABLES) -> None:
    for stream, at in moves.items():
        found = database.query(f"SELECT id, balance FROM {tables[stream]} ORDER BY id")
        assert found == BANK.balances(stream, at), f"{stream} after {at} moves"


def ledger(database: Dataset, schema: str) -> dict[tuple[str, str], str]:
    """(Stream, table) → what its position is, in the checkpoint table of a schema."""
    (there,) = database.query(f"SELECT to_regclass('{schema}._connector_checkpoints') IS NOT NULL")
    if not there[0]:
        return {}
    rows = database.query(f"SELECT stream, table_name, position FROM {schema}._connector_checkpoints")
    return {(stream, table): position and position.partition(":")[0].strip('{"') for stream, table, position in rows}


@contextmanager
def user(database: Dataset, name: str, *grants: str) -> Iterator[str]:
    """The URL of the database for another user with some rights; the user is dropped afterwards."""
    database.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'p'")
    for grant in grants:
        database.execute(f"GRANT {grant} TO {name}")
    scheme, _, rest = database.url.partition("://")
    try:
        yield f"{scheme}://{name}:p@{rest.rpartition('@')[2]}"
    finally:
        database.execute(f"DROP OWNED BY {name}")
        database.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize("home", ["", "raw", "north"])
async def test_tables_in_three_schemas_have_one_ledger_and_go_on_exactly(database: Dataset, home: str) -> None:
    await carry(many(database, 1, ledger_schema=home), 70)
    await carry(many(database, 2, ledger_schema=home), 130)
    assert_at(database, dict.fromkeys(TABLES, 130))
    where = home or "public"
    for stream, table in TABLES.items():
        schema, _, bare = table.rpartition(".")
        schema = schema or "public"
        key = (stream, bare if schema == where else f"{schema}.{bare}")
        assert ledger(database, where)[key] == "place"
        if schema != where:
            assert ledger(database, schema)[stream, bare] == "ledger"
    await carry(many(database, 3, ledger_schema=home))
    assert_at(database, dict.fromkeys(TABLES, BANK.moves))


@pytest.mark.parametrize("home", ["", "raw"])
async def test_from_one_stream_to_many_and_back_each_goes_on_where_it_was(database: Dataset, home: str) -> None:
    """The first runs are those of a connector that knew nothing of a setting: its ledger is beside its table."""
    await carry(alone(database, 1, "t0"), 40)
    assert ledger(database, "north") == {("t0", "rows"): "next"}
    await carry(many(database, 2, ledger_schema=home), 90)
    assert_at(database, dict.fromkeys(TABLES, 90))
    assert ledger(database, "north") == {("t0", "rows"): "ledger"}
    await carry(alone(database, 3, "t0", ledger_schema=home), 120)
    await carry(alone(database, 4, "t1"), 150)
    assert_at(database, {"t0": 120, "t1": 150, "t2": 90})
    assert ledger(database, "north") == {("t0", "rows"): "ledger"}
    await carry(many(database, 5, {"t1": "south.rows"}), 170)
    await carry(many(database, 6))
    assert_at(database, dict.fromkeys(TABLES, BANK.moves))


async def test_a_ledger_that_is_there_already_stays_where_it_is(database: Dataset) -> None:
    """A selection that began in one schema, as every one had to before, gets tables in another."""
    await carry(many(database, 1, {"t0": "north.rows"}), 50)
    assert set(ledger(database, "north")) == {("*", ""), ("t0", "rows")}
    await carry(many(database, 2), 80)
    await carry(many(database, 3, {"t1": "south.rows"}), 120)
    await carry(many(database, 4))
    assert ledger(database, "public") == {("t2", "here"): "ledger"}
    assert_at(database, dict.fromkeys(TABLES, BANK.moves))
    elsewhere = build_sink(many(database, 5, ledger_schema="raw"))
    with pytest.raises(ActionRequiredError, match="is in schema north; set ledgerSchema: north") as caught:
        await elsewhere.claim()
    await elsewhere.close()
    assert caught.value.reason == "InvalidDataset"
    assert ledger(database, "raw") == {}


@pytest.mark.parametrize("other_home", ["", "raw", "south"])
async def test_a_table_has_one_owner_whichever_ledger_it_is_in(database: Dataset, other_home: str) -> None:
    await carry(many(database, 1, ledger_schema="north"), 30)
    await carry(many(database, 2, {"t0": "north.rows"}), 50)  # t1 and t2 were let go
    others = {"connector": "default/other", "ledger_schema": other_home}
    for table, stream in (("south.rows", "t1"), ("here", "t2"), ("north.rows", "t0")):
        single = context(database, table, stream="x", **others)
        several = context(database, tables={"x": table, "y": "raw.free"}, is_selection=True, **others)
        for sink in map(build_sink, (single, several)):
            said = f"is filled by stream {stream} of connector default/test"
            with pytest.raises(SchemaConflictError, match=said):
                await sink.claim()
            await sink.close()
    apart = build_sink(
        context(database, tables={"x": "south.rows", "y": "raw.free"}, is_selection=True, isolates=True, **others)
    )
    claim = await apart.claim()
    await apart.close()
    assert list(claim.checkpoints) == ["y"]
    assert "default/test" in str(claim.failures["x"])
    await carry(many(database, 3))
    assert_at(database, dict.fromkeys(TABLES, BANK.moves))


async def test_a_table_whose_stream_was_reset_may_be_taken_by_another(database: Dataset) -> None:
    await carry(many(database, 1), 30)
    inspector = build_inspector(context(database, tables={"t1": "south.rows"}, is_selection=True))
    assert inspector.reset_checkpoints() == 1
    inspector.close()
    other = build_sink(context(database, "south.rows", stream="x", connector="default/other"))
    assert (await other.claim()).checkpoints == {"x": None}
    await other.close()
    refused = build_sink(many(database, 2))
    with pytest.raises(SchemaConflictError, match="default/other"):
        await refused.claim()
    await refused.close()


async def test_who_held_a_table_alone_is_fenced_off(database: Dataset) -> None:
    single = build_sink(alone(database, 1, "t0"))
    await single.claim()
    await single.prepare(BANK.schema("t0", 0))
    selection = build_sink(many(database, 2))
    await selection.claim()
    with pytest.raises((FenceLostError, TransientError)) as caught:
        await single.write(Transaction(1))
    if not isinstance(caught.value, FenceLostError):
        with pytest.raises(FenceLostError):
            await single.recover()
    back = build_sink(alone(database, 3, "t0"))
    await back.claim()
    with pytest.raises((FenceLostError, TransientError)) as caught:
        await selection.write(Transaction(1))
    if not isinstance(caught.value, FenceLostError):
        with pytest.raises(FenceLostError, match="run 3"):
            await selection.recover()
    late = build_sink(many(database, 2))
    with pytest.raises(FenceLostError, match="run 3 has already claimed"):
        await late.claim()
    for sink in (single, selection, back, late):
        await sink.close()


@pytest.mark.parametrize("home", ["", "raw", "south"])
async def test_a_table_is_taken_over_from_a_ledger_in_another_schema(database: Dataset, home: str) -> None:
    await carry(many(database, 1, ledger_schema="north"), 50)
    old = build_sink(many(database, 2, ledger_schema="north", isolates=True))
    claim = await old.claim()
    tables = {"t1": "south.rows", "t2": "here"}
    named: dict[str, Any] = {
        "connector": "default/new",
        "uid": "uid-2",
        "take_over": TakeOver("default/test", claim.epoch),
    }
    await carry(context(database, tables=tables, is_selection=True, ledger_schema=home, **named), 80)
    with pytest.raises((FenceLostError, TransientError)) as caught:
        await old.write(Transaction(claim.number + 1))
    if not isinstance(caught.value, TableTakenError):
        with pytest.raises(TableTakenError, match=r"south\.rows by default/new, public\.here by default/new"):
            await old.recover()
    await old.close()
    assert_at(database, {"t0": 50, "t1": 80, "t2": 80})
    again = build_sink(many(database, 3, isolates=True))
    found = await again.claim()
    await again.close()
    assert (list(found.checkpoints), set(found.failures)) == (["t0"], {"t1", "t2"})
    await carry(context(database, tables=tables, is_selection=True, ledger_schema=home, run=2, **named))
    assert_at(database, {"t0": 50, "t1": BANK.moves, "t2": BANK.moves})


async def test_a_schema_that_is_missing_or_forbidden_fails_its_tables_alone_until_it_is_there(
    database: Dataset,
) -> None:
    tables = {**TABLES, "t1": "nowhere.rows"}
    with user(database, "limited", "CREATE, USAGE ON SCHEMA public", "USAGE ON SCHEMA north") as url:
        own: dict[str, Any] = {"read_url": lambda: url}
        sink = build_sink(many(database, 1, tables, isolates=True, **own))
        claim = await sink.claim()
        assert list(claim.checkpoints) == ["t2"]
        said = {stream: (error.reason, str(error)) for stream, error in claim.failures.items()}
        assert said["t1"][0] == "MissingSchema"
        assert 'CREATE SCHEMA "nowhere"' in said["t1"][1]
        assert said["t0"][0] == "MissingDatasetGrant"
        assert 'GRANT USAGE, CREATE ON SCHEMA "north"' in said["t0"][1]
        database.execute("CREATE SCHEMA nowhere AUTHORIZATION limited")
        database.execute("GRANT CREATE ON SCHEMA north TO limited")
        mended = await sink.select(None)
        assert (set(mended.checkpoints), dict(mended.failures)) == (set(tables), {})
        await sink.close()
        strict = build_sink(many(database, 2, {**tables, "t2": "elsewhere.rows"}, **own))
        with pytest.raises(ActionRequiredError, match="has no schema elsewhere"):
            await strict.claim()
        await strict.close()
        home = build_sink(many(database, 3, tables, connector="default/new", ledger_schema="elsewhere", **own))
        with pytest.raises(ActionRequiredError, match="create the schema first") as caught:
            await home.claim()
        await home.close()
        assert caught.value.reason == "MissingSchema"


async def test_streams_of_other_schemas_come_and_go_while_the_runner_lives(database: Dataset) -> None:
    run = Run(lambda: BankSource(BANK, endless=True), many(database, 1, {"t0": "north.rows"})).start()
    try:
        await run.engine.select(dict(TABLES))
        await run.engine.select({"t1": "south.rows", "t2": "here"})
        await run.engine.select(dict(TABLES))
    finally:
        await run.kill()
    database.settle()
    await carry(many(database, 2))
    assert_at(database, dict.fromkeys(TABLES, BANK.moves))


async def test_two_spellings_of_one_table_meet(database: Dataset) -> None:
    tables = {"t0": "here", "t1": "public.here", "t2": "north.rows"}
    sink = build_sink(many(database, 1, tables))
    with pytest.raises(SchemaConflictError, match="streams t0 and t1 meet in one table"):
        await sink.claim()
    await sink.close()
    apart = build_sink(replace(many(database, 1, tables), isolates=True))
    claim = await apart.claim()
    await apart.close()
    assert (set(claim.checkpoints), list(claim.failures)) == ({"t0", "t2"}, ["t1"])


async def test_the_ledgers_are_read_before_any_claim(database: Dataset) -> None:
    await carry(alone(database, 1, "t1"), 20)
    await carry(many(database, 2, {"t0": "north.rows", "t2": "here"}, ledger_schema="raw"), 30)
    inspector = build_inspector(many(database, 0, {"*": "somewhere"}))
    stored = inspector.stored_streams()
    inspector.close()
    found = {(one.stream, one.table, one.has_position, one.is_member) for one in stored.streams}
    assert found == {("t0", "north.rows", True, True), ("t1", "south.rows", True, False), ("t2", "here", True, True)}
