"""The one suite that every source must pass, whatever it reads: the promises of `connector_runner.protocols.source`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import pytest

from connector_runner.protocols.batch import Operation, Row
from connector_runner.protocols.errors import (
    ActionRequiredError,
    ConnectorError,
    SourceChangedError,
    TransientError,
    UnknownStreamError,
)
from connector_runner.protocols.source import Checkpoint, Source, SourceContext, WriteMode
from connector_runner.schemas.config import config_problems, connector_types, fill_defaults
from tests.contract.leftovers import nothing_left
from tests.contract.sources import SOURCES, Resumes, SourceCase
from tests.contract.worlds import Servers, World
from tests.kit.reading import Reading
from tests.kit.report import RecordingReport
from tests.scripted.source import TestRegistry

REGISTRY = TestRegistry()
MOST_POSITIONS = 12


@pytest.fixture(params=SOURCES, ids=str)
def case(request: pytest.FixtureRequest) -> SourceCase:
    found: SourceCase = request.param
    return found


@pytest.fixture
def world(case: SourceCase, servers: Servers) -> World:
    return case.world(servers)


def build(case: SourceCase, world: World, report: RecordingReport | None = None, **changes: Any) -> Source:
    """As a runner builds it: validated, defaults filled in."""
    schema = REGISTRY.schema(case.connector_type)
    config = fill_defaults({**world.config, **changes}, schema)
    assert not config_problems(config, schema)
    context = SourceContext(config, "contract/test", WriteMode.UPSERT, report or RecordingReport())
    return REGISTRY.build(case.connector_type, context)


def read(
    case: SourceCase,
    world: World,
    checkpoint: Checkpoint | None = None,
    table: Any = None,
    report: RecordingReport | None = None,
) -> Reading:
    return Reading(build(case, world, report), world.stream, checkpoint, table)


async def follow(case: SourceCase, world: World, reading: Reading) -> int:
    """Reads everything through every change of the world; returns how many batches came before the last change."""
    await reading.open()
    news = case.resumes is Resumes.WITH_NEWS
    last = 0
    for number in range(world.changes + 1):
        if number or news:
            last = reading.mark()
            world.change()
        await reading.until(world.is_complete)
    return last


def test_every_type_has_its_entries() -> None:
    assert {case.connector_type for case in SOURCES} == {*connector_types(), "SCRIPTED"}


async def test_discovery_lists_what_open_gives(case: SourceCase, world: World) -> None:
    async with nothing_left():
        source = build(case, world)
        catalogue = await source.discover(world.stream)
        await source.close()
        told = RecordingReport()
        reading = read(case, world, report=told)
        opened = await reading.open()
        await reading.source.close()
    listed = {stream.id: stream for stream in catalogue.streams}[world.stream]
    assert catalogue.total >= len(catalogue.streams)
    assert case.mode in listed.modes
    assert listed.key == opened.schemas[world.stream].key
    assert catalogue.identity == opened.identity
    assert opened.schemas[world.stream].stream == world.stream
    columns = [(column.name, str(column.type), column.nullable) for column in opened.schemas[world.stream].columns]
    assert [(column.name, column.type, column.nullable) for column in listed.columns] == columns
    assert told.is_connected


@pytest.mark.parametrize("attempt", ["discover", "open"])
async def test_discovery_and_open_can_be_cancelled(case: SourceCase, world: World, attempt: str) -> None:
    for turns in (1, 3, 10, 40):
        async with nothing_left():
            await ask_and_cancel(build(case, world), attempt, world.stream, turns)


async def ask_and_cancel(source: Source, attempt: str, stream: str, turns: int) -> None:
    task = asyncio.create_task(ask(source, attempt, stream))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await source.close()


async def ask(source: Source, attempt: str, stream: str) -> None:
    """Discovers, or opens from the start."""
    if attempt == "discover":
        await source.discover(None)
    else:
        await source.open({stream: None})


async def test_rows_are_of_the_schema_and_positions_lead_on(case: SourceCase, world: World) -> None:
    reading = read(case, world)
    await follow(case, world, reading)
    await reading.source.close()
    reading.check_given_away()
    assert any(operation is Operation.UPSERT for operation, _ in reading.operations) is case.has_rows
    if case.resumes is not Resumes.ANEW:
        passed: list[Any] = []
        for batch in reading.batches:
            if batch.rows:
                assert batch.position not in passed, "rows that came with a position that was there before"
                passed.append(batch.position)


def positions(count: int) -> list[int]:
    """The numbers of some batches, the first and the last always among them."""
    step = max(1, count // MOST_POSITIONS)
    return sorted({*range(0, count, step), count - 1})


async def test_what_comes_after_a_position_is_the_rest(case: SourceCase, world: World) -> None:
    first = read(case, world)
    changed = await follow(case, world, first)
    await first.source.close()
    has_rest = case.resumes in {Resumes.EXACTLY, Resumes.BY_KEY}
    for number in positions(len(first.batches) - has_rest):
        told_before = {row for batch in first.batches[: number + 1] for row in batch.rows}
        resumed = read(case, world, first.checkpoint_after(number), first.tables[number])
        await resumed.open()
        if case.resumes is Resumes.WITH_NEWS:
            world.change()
        await resumed.until(world.is_complete)
        if case.resumes is Resumes.WITH_NEWS and first.operations_after(number):
            await resumed.until(lambda reading: bool(reading.incidents))  # that these were missed is told
        await resumed.source.close()
        if case.resumes is Resumes.WITH_NEWS:
            assert not told_before.intersection(row for _, row in resumed.operations), "told again"
        elif case.resumes is not Resumes.ANEW:  # there the world itself has said that all is there
            assert by_key(case, resumed) == by_key(case, first), f"after batch {number}"
        if has_rest and number >= changed:
            assert rest(case, resumed.operations) == rest(case, first.operations_after(number)), f"after batch {number}"


def by_key(case: SourceCase, reading: Reading) -> Any:
    return set(reading.table) if case.resumes is Resumes.BY_KEY else reading.table


def rest(case: SourceCase, operations: list[tuple[Operation, Row]]) -> Any:
    """What must be the same in both readings, in order (that of each first key column, where sources have several)."""
    if case.resumes is Resumes.EXACTLY:
        return operations
    keys: dict[Any, list[Any]] = {}
    for _, row in operations:
        keys.setdefault(row[0], []).append(row[1])
    return keys


@pytest.mark.parametrize("when", ["new", "opened", "reading", "waiting"])
async def test_close_is_safe_at_any_time_and_twice(case: SourceCase, world: World, when: str) -> None:
    async with nothing_left():
        reading = read(case, world)
        task = None
        if when != "new":
            await reading.open()
        if when == "reading":
            task = asyncio.create_task(reading.step())
            await asyncio.sleep(0)
        if when == "waiting":
            if case.resumes is Resumes.WITH_NEWS:
                world.change()
            await reading.until(world.is_complete)
            task = asyncio.create_task(reading.until(lambda reading: reading.has_ended))
            await asyncio.sleep(0.05)
        await reading.source.close()
        await reading.source.close()
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectorError):
                await task
        await reading.source.close()


@pytest.mark.parametrize("batches", [0, 1, None])
async def test_reading_can_be_cancelled_anywhere(case: SourceCase, world: World, batches: int | None) -> None:
    """As the pipeline does it: the task that reads is cancelled, then the source is closed; the position still holds."""
    async with nothing_left():
        reading = read(case, world)
        await reading.open()
        if case.resumes is Resumes.WITH_NEWS:
            world.change()
        if batches is None:
            await reading.until(world.is_complete)
        elif batches:
            await reading.until(lambda reading: len(reading.batches) >= batches)
        task = asyncio.create_task(reading.until(lambda reading: reading.has_ended))
        await asyncio.sleep(0)
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(outcome, asyncio.CancelledError) or (outcome is None and reading.has_ended)
        await reading.source.close()
    if case.resumes is not Resumes.WITH_NEWS:
        resumed = read(case, world, reading.checkpoint, reading.table)
        await resumed.open()
        await resumed.until(world.is_complete)
        await resumed.source.close()


async def test_a_position_of_another_source_is_never_gone_on_from(case: SourceCase, world: World) -> None:
    reading = read(case, world)
    opened = await reading.open()
    if case.resumes is Resumes.WITH_NEWS:
        world.change()
    await reading.until(lambda reading: bool(reading.batches))
    await reading.source.close()
    assert reading.checkpoint is not None
    strange = world.estrange(reading.checkpoint)
    if case.starts_over:
        again = read(case, world, strange)
        await again.open()
        await again.until(world.is_complete)
        await again.source.close()
        assert again.operations[0] == (Operation.REPLACE, ())
        return
    async with nothing_left():
        source = build(case, world)
        with pytest.raises(SourceChangedError) as caught:
            await source.open({world.stream: strange})
        await source.close()
    assert opened.identity in caught.value.message
    assert strange.identity in caught.value.message


async def test_a_stream_that_is_not_there_needs_a_person(case: SourceCase, world: World) -> None:
    async with nothing_left():
        source = build(case, world)
        with pytest.raises(UnknownStreamError):
            await source.open({"no_such_stream": None})
        await source.close()


ONE_OF_EACH = {case.connector_type + case.variant: case for case in SOURCES}.values()
SERVED = [case for case in ONE_OF_EACH if case.has_server]


@pytest.mark.parametrize("case", SERVED, ids=str)
@pytest.mark.parametrize("attempt", ["discover", "open"])
async def test_a_source_that_is_down_may_come_back(case: SourceCase, world: World, attempt: str) -> None:
    async with nothing_left():
        source = build(case, world, **world.nowhere)
        with pytest.raises(TransientError):
            await ask(source, attempt, world.stream)
        await source.close()


@pytest.mark.parametrize("case", SERVED, ids=str)
@pytest.mark.parametrize("attempt", ["discover", "open"])
async def test_a_configuration_that_can_not_work_needs_a_person(case: SourceCase, world: World, attempt: str) -> None:
    changes, expected = world.refused
    assert issubclass(expected, ActionRequiredError)
    async with nothing_left():
        with pytest.raises(expected):
            await try_config(case, world, attempt, changes)


async def try_config(case: SourceCase, world: World, attempt: str, changes: Mapping[str, Any]) -> None:
    source = build(case, world, **changes)
    try:
        await ask(source, attempt, world.stream)
    finally:
        await source.close()
