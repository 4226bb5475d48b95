"""Avro with several streams of one connector: a subject for each topic, and what the registry refuses is one stream's failure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from connector_runner.protocols.errors import SchemaConflictError
from connector_runner.protocols.sink import SinkContext
from connector_runner.schemas.outcome import ExitCode
from tests.integration.sinks.test_kafka_avro import rows_of
from tests.kit.kafka_dataset import KafkaDataset
from tests.kit.pipeline import Run, context
from tests.kit.waiting import until
from tests.scripted.bank import Bank, BankSource
from tests.servers.kafka import KafkaServer
from tests.servers.schema_registry import Apicurio, SmallRegistry, ask

REFUSED = {"t1_rows-value"}
SAYS = "refuses the schema of t1_rows-value: READER_FIELD_MISSING_DEFAULT_VALUE in t1_rows-value"


@pytest.fixture
def small() -> Iterator[SmallRegistry]:
    with SmallRegistry() as registry:
        yield registry


@pytest.fixture
def dataset(kafka_server: KafkaServer, tmp_path: Path) -> KafkaDataset:
    return KafkaDataset(kafka_server, tmp_path)


def selection(dataset: KafkaDataset, url: str, bank: Bank, run: int = 1, *, isolates: bool = True) -> SinkContext:
    options = {"format": "avro", "schema.registry.url": url}
    tables = {stream: f"{stream}_rows" for stream in bank.streams}
    return context(dataset, tables=tables, is_selection=True, isolates=isolates, run=run, read_options=lambda: options)


def balances(dataset: KafkaDataset, url: str, streams: Sequence[str]) -> dict[str, list[tuple[int, int]]]:
    """The newest row of each account."""
    found = {}
    for stream in streams:
        rows = [row[0] for row in rows_of(dataset, url, f"{stream}_rows") if row is not None]
        found[stream] = sorted({row["id"]: (row["id"], row["balance"]) for row in rows}.values())
    return found


def truth(bank: Bank, streams: Sequence[str], moves: int | None = None) -> dict[str, list[tuple[int, int]]]:
    return {stream: bank.balances(stream, moves) for stream in streams}


async def carried(dataset: KafkaDataset, url: str, bank: Bank, streams: Sequence[str]) -> None:
    wanted = truth(bank, streams)
    await until(lambda: balances(dataset, url, streams) == wanted, "all rows are there", 120, blocks=True, pause=0.2)


async def check_parking(dataset: KafkaDataset, registry: SmallRegistry, bank: Bank, kept: int | None) -> None:
    """While the registry refuses t1 the others go on; afterwards it reaches them, and no row is missing."""
    registry.frozen = REFUSED
    sink = selection(dataset, registry.url, bank, 2)
    run = Run(lambda: BankSource(bank, endless=True), sink, retry=0.3).start()
    others = ["t0", "t2"]
    await carried(dataset, registry.url, bank, others)
    await until(lambda: set(run.telemetry.streams.failed()) == {"t1"}, "t1 has failed")
    assert SAYS in run.telemetry.streams.failed()["t1"]
    if kept is not None:
        assert balances(dataset, registry.url, ["t1"]) == truth(bank, ["t1"], kept)
        incidents = [json.loads(message.value() or b"") for message in dataset.topics.committed("t1_rows_incidents")]
        assert {(each["kind"], each["stream"]) for each in incidents} == {("parked", "t1")}
        assert SAYS in incidents[0]["message"]
    registry.frozen = set()
    await carried(dataset, registry.url, bank, bank.streams)
    await until(lambda: not run.telemetry.streams.failed(), "no failed stream")
    assert await run.stop() is ExitCode.TERMINATED


async def test_each_topic_has_its_subject_and_a_change_is_a_version_of_one(
    dataset: KafkaDataset, small: SmallRegistry
) -> None:
    bank = Bank(seed=31, moves=120, wide_from=60)
    assert await Run(lambda: BankSource(bank), selection(dataset, small.url, bank)).start().end() is (
        ExitCode.END_OF_STREAM
    )
    assert balances(dataset, small.url, bank.streams) == truth(bank, bank.streams)
    assert {subject: len(versions) for subject, versions in small.subjects.items()} == {
        "t0_rows-value": 1, "t1_rows-value": 2, "t2_rows-value": 1
    }  # fmt: skip


@pytest.mark.fault
async def test_a_first_schema_that_is_refused_parks_this_stream_alone(
    dataset: KafkaDataset, small: SmallRegistry
) -> None:
    await check_parking(dataset, small, Bank(seed=32, moves=120), None)


async def test_a_change_that_is_refused_in_mid_stream_parks_this_stream_alone(
    dataset: KafkaDataset, small: SmallRegistry
) -> None:
    bank = Bank(seed=33, moves=200, wide_from=100)
    first = Run(lambda: BankSource(bank, until=60), selection(dataset, small.url, bank)).start()
    assert await first.end() is ExitCode.END_OF_STREAM
    await check_parking(dataset, small, bank, 100)


async def test_without_isolation_the_run_ends_with_what_the_registry_said(
    dataset: KafkaDataset, small: SmallRegistry
) -> None:
    small.frozen = REFUSED
    bank = Bank(seed=34, moves=50)
    run = Run(lambda: BankSource(bank), selection(dataset, small.url, bank, isolates=False)).start()
    with pytest.raises(SchemaConflictError, match=SAYS):
        await run.end()


@pytest.mark.fault  # the registry is 100 MB
async def test_compatibility_of_one_subject_with_apicurio(dataset: KafkaDataset) -> None:
    """Set at the subject: where a registry has a compatibility for all, Apicurio takes that in place of a subject's NONE."""
    bank, subject = Bank(seed=35, moves=120, wide_from=60), "t1_rows-value"
    with Apicurio() as server:
        other = {"fields": [{"name": "note", "type": "int"}], "type": "record", "name": "t1_rows"}
        ask(server.url, "POST", f"/subjects/{subject}/versions", {"schema": json.dumps(other)})
        ask(server.url, "PUT", f"/config/{subject}", {"compatibility": "FULL"})
        run = Run(lambda: BankSource(bank, endless=True), selection(dataset, server.url, bank), retry=0.3).start()
        await carried(dataset, server.url, bank, ["t0", "t2"])
        await until(lambda: set(run.telemetry.streams.failed()) == {"t1"}, "t1 has failed")
        assert f"refuses the schema of {subject}" in run.telemetry.streams.failed()["t1"]
        ask(server.url, "PUT", f"/config/{subject}", {"compatibility": "NONE"})
        await carried(dataset, server.url, bank, bank.streams)
        assert await run.stop() is ExitCode.TERMINATED
