"""What the runner has to know about a topic: read at the claim once it was needed, and bounded on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions

from connector_runner.protocols.batch import Operation
from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.protocols.sink import Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_sink
from tests.kit.kafka_dataset import KafkaDataset
from tests.kit.pipeline import PAIR, SMALL, batch, context, run_to_end
from tests.servers.kafka import KafkaServer

UPSERT, DELETE, INSERT, REPLACE = Operation
LONG = "x" * 400


@pytest.fixture
def dataset(kafka_server: KafkaServer, tmp_path: Path) -> KafkaDataset:
    return KafkaDataset(kafka_server, tmp_path)


async def is_known_at_the_claim(dataset: KafkaDataset, run: int, mode: WriteMode = WriteMode.UPSERT) -> bool:
    sink: Any = build_sink(context(dataset, run=run, write_mode=mode))
    await sink.claim()
    known: bool = sink._cluster.connection.keys.is_loaded("test")
    await sink.close()
    return known


@pytest.mark.parametrize("mode", list(WriteMode))
async def test_who_has_needed_to_know_the_topic_reads_it_at_the_claim(dataset: KafkaDataset, mode: WriteMode) -> None:
    """While no source is open, which would have to wait; who has never needed it reads nothing."""
    first = [batch(PAIR, 1, (UPSERT, ("x", 1, "old")), (UPSERT, ("y", 1, "old")))]
    await run_to_end(first, context(dataset, write_mode=mode))
    assert not await is_known_at_the_claim(dataset, 2, mode)
    second = [*first, batch(PAIR, 2, (REPLACE, ("x",)), (UPSERT, ("x", 2, "new")))]
    await run_to_end(second, context(dataset, run=3, write_mode=mode))
    assert await is_known_at_the_claim(dataset, 4, mode)
    third = [*second, batch(PAIR, 3, (REPLACE, ("x",)))]
    await run_to_end(third, context(dataset, run=5, write_mode=mode))
    if mode is WriteMode.UPSERT:
        assert dataset.read(PAIR, "rows") == [("y", 1, "old")]
    else:
        operations = [(row[1], row[3]) for row in dataset.read(PAIR, "rows", ["_op"], order="_id") if row[0] == "x"]
        assert operations == [(1, "upsert"), (1, "delete"), (2, "upsert"), (2, "delete")]


def limited(dataset: KafkaDataset, run: int, mebibytes: int, **more: Any) -> Any:
    return context(dataset, run=run, read_options=lambda: {"state.max.mib": str(mebibytes)}, **more)


async def test_what_is_known_has_a_limit_on_disk(dataset: KafkaDataset) -> None:
    """Nothing of the transaction is stored; with more room the next run goes on there."""
    rows = [(UPSERT, (f"{LONG}{number}", number, "v")) for number in range(4000)]
    first = [batch(PAIR, 1, *rows)]
    await run_to_end(first, context(dataset))
    more = [*first, batch(PAIR, 2, (UPSERT, ("new", 1, "v")), (INSERT, ("new", 2, "v")))]
    with pytest.raises(
        ActionRequiredError, match=r"takes more than 1 MiB .* raise the option state\.max\.mib"
    ) as caught:
        await run_to_end(more, limited(dataset, 2, 1))
    assert caught.value.reason == "InvalidDataset"
    assert len(dataset.topics.committed("rows")) == 4000
    await run_to_end(more, limited(dataset, 3, 16))
    assert len(dataset.topics.committed("rows")) == 4002
    with pytest.raises(ActionRequiredError, match=r"raise the option state\.max\.mib"):
        await run_to_end([*more, batch(PAIR, 3, (INSERT, ("new", 3, "v")))], limited(dataset, 4, 1))


async def test_the_limit_is_kept_while_rows_are_added(dataset: KafkaDataset) -> None:
    sink = build_sink(limited(dataset, 1, 1))
    number = (await sink.claim()).number
    await sink.prepare(PAIR)
    await sink.write(Transaction(number + 1, (batch(PAIR, 1, (INSERT, ("a", 1, "v"))),), "list"))
    rows = [(UPSERT, (f"{LONG}{each}", each, "v")) for each in range(4000)]
    with pytest.raises(ActionRequiredError, match=r"raise the option state\.max\.mib"):
        await sink.write(Transaction(number + 2, (batch(PAIR, 2, *rows),), "list"))
    assert await sink.recover() == number + 1
    await sink.write(Transaction(number + 2, (batch(PAIR, 2, (UPSERT, ("b", 1, "v"))),), "list"))
    await sink.close()
    assert dataset.read(PAIR, "rows") == [("a", 1, "v"), ("b", 1, "v")]


async def test_a_full_disk_is_waited_out(dataset: KafkaDataset) -> None:
    """As SQLite reports it; there may be room again."""
    await run_to_end([batch(SMALL, 1, *((UPSERT, (k, "v")) for k in range(2000)))], context(dataset))
    sink: Any = build_sink(context(dataset, run=2))
    number = (await sink.claim()).number
    await sink.prepare(SMALL)
    insert = Transaction(number + 1, (batch(SMALL, 2, (INSERT, (5000, "v"))),), "list")
    sink._cluster.connection._local.execute("PRAGMA max_page_count = 1")
    with pytest.raises(TransientError, match="temporary folder is full"):
        await sink.write(insert)
    assert await sink.recover() == number
    await sink.write(insert)
    await sink.close()
    assert len(dataset.topics.committed("rows")) == 2001


async def test_a_full_disk_is_waited_out_where_the_position_is_kept(dataset: KafkaDataset) -> None:
    sink: Any = build_sink(context(dataset))
    number = (await sink.claim()).number
    await sink.prepare(SMALL)
    local = sink._cluster.connection._local
    local.execute(f"PRAGMA max_page_count = {local.execute('PRAGMA page_count').fetchone()[0]}")
    one = batch(SMALL, 1, (UPSERT, (1, "v")))
    large = Transaction(number + 1, (replace(one, position={"next": 1, "gtids": "x" * 200_000}),), "list")
    with pytest.raises(TransientError, match="temporary folder is full"):
        await sink.write(large)
    assert await sink.recover() == number
    await sink.write(Transaction(number + 1, (one,), "list"))
    await sink.close()
    assert dataset.read(SMALL, "rows") == [(1, "v")]


async def test_partitions_that_were_added_are_read_too(dataset: KafkaDataset) -> None:
    sink = build_sink(context(dataset, write_mode=WriteMode.APPEND))
    number = (await sink.claim()).number
    await sink.prepare(PAIR)
    await sink.write(Transaction(number + 1, (batch(PAIR, 1, (UPSERT, ("x", 1, "old"))),), "list"))
    admin = dataset.server.admin()
    for answer in admin.create_partitions([NewPartitions("rows", 3)]).values():
        answer.result(30)
    (record,) = dataset.topics.committed("rows")
    producer = Producer({"bootstrap.servers": dataset.server.address})
    key, value = (text.replace(b"1", b"2") for text in (record.key() or b"", record.value() or b""))
    producer.produce(
        "rows", value, key, 2, headers=record.headers()
    )  # as a producer does that knows of the new partitions
    assert producer.flush(30) == 0
    await sink.write(Transaction(number + 2, (batch(PAIR, 2, (REPLACE, ())),), "list"))
    await sink.close()
    found = dataset.read(PAIR, "rows", ["_op"], order="_id")
    assert sorted(row for row in found if row[3] == "delete") == [("x", 1, "old", "delete"), ("x", 2, "old", "delete")]


async def test_of_several_streams_only_the_one_that_needs_too_much_is_parked(dataset: KafkaDataset) -> None:
    a, b = (replace(PAIR, stream=name) for name in "ab")
    own = limited(dataset, 1, 1, tables={"a": "a_rows", "b": "b_rows"}, is_selection=True, isolates=True)
    sink = build_sink(own)
    number = (await sink.claim()).number
    for schema in (a, b):
        await sink.prepare(schema)
    rows = [(UPSERT, (f"{LONG}{each}", each, "v")) for each in range(4000)]
    await sink.write(Transaction(number + 1, (batch(a, 1, *rows, place={}),), "list"))
    with pytest.raises(ActionRequiredError, match=r"raise the option state\.max\.mib") as caught:
        await sink.write(Transaction(number + 2, (batch(a, 2, (INSERT, ("a", 1, "v")), place={}),), "list"))
    assert caught.value.stream == "a"
    await sink.close()
