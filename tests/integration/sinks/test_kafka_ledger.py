"""What the ledger of a connector says while others write: it is read to its end, and who was there first stays."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from connector_runner.datasets.fencing import COLUMNS
from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import Sink, SinkContext, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_sink
from connector_runner.sinks.kafka import client as kafka
from connector_runner.sinks.kafka.connection import KafkaConnection
from tests.kit.kafka_dataset import KafkaDataset
from tests.kit.pipeline import SMALL, ListSource, Run, batch, context, run_to_end
from tests.kit.waiting import until, wait_until
from tests.servers.kafka import KafkaServer

UPSERT, DELETE, INSERT, REPLACE = Operation
Noticed = Callable[[], AbstractContextManager[None]]
LEDGERS = "_connector_checkpoints"
A, B = (StreamSchema(name, SMALL.columns, SMALL.key) for name in "ab")


@pytest.fixture
def dataset(kafka_server: KafkaServer, tmp_path: Path) -> KafkaDataset:
    return KafkaDataset(kafka_server, tmp_path)


def selected(dataset: KafkaDataset, **tables: str) -> SinkContext:
    return context(dataset, tables=tables, is_selection=True)


async def opened(sink: Sink, *schemas: StreamSchema) -> int:
    claim = await sink.claim()
    for schema in schemas or (SMALL,):
        await sink.prepare(schema)
    return claim.number


def rows_of(schema: StreamSchema, number: int, operation: Operation, key: int) -> Batch:
    return batch(schema, number, (operation, (key, str(key))), place={})


@contextmanager
def open_transaction(dataset: KafkaDataset, topic: str) -> Iterator[None]:
    """Somebody else has begun a transaction in the topic."""
    producer = Producer({"bootstrap.servers": dataset.server.address, "transactional.id": "somebody-else"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"{}", b'"open"')
    producer.flush(30)
    yield
    producer.abort_transaction(30)


@contextmanager
def noticed_early() -> Iterator[None]:
    """The transaction has failed before its last records are sent."""
    pending = KafkaConnection._send_pending

    def send_late(self: KafkaConnection, producer: Producer) -> None:
        with suppress(KafkaException):
            wait_until(lambda: producer.produce("rows", b"{}"), "it has failed", pause=0.05)
        pending(self, producer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KafkaConnection, "_send_pending", send_late)
        yield


async def test_a_claim_does_not_begin_before_what_is_behind_an_open_transaction(
    dataset: KafkaDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As brokers before 3.6 may leave one behind: the position there is an old one, and going on from it would repeat rows."""
    batches = [batch(SMALL, number, (UPSERT, (number, "x"))) for number in range(1, 5)]
    append = {"write_mode": WriteMode.APPEND}
    sink = build_sink(context(dataset, **append))
    number = await opened(sink)
    await sink.write(Transaction(number + 1, (batches[0],), "list"))
    with open_transaction(dataset, f"{LEDGERS}.default.test"):
        await sink.write(Transaction(number + 2, tuple(batches[1:3]), "list"))
        await sink.close()
        monkeypatch.setattr(kafka, "SECONDS", 5.0)  # what fails because of that is tried again
        run = Run(lambda: ListSource(batches), context(dataset, **append, run=2)).start()
        said = f"a transaction of somebody else is open in topic {LEDGERS}.default.test"
        await until(lambda: said in run.log.text() or run.has_ended, "it waits")
    await run.end()
    assert [row[0] for row in dataset.read(SMALL, "rows", order="_id")] == [1, 2, 3, 4]


async def test_who_was_there_first_keeps_its_position_when_another_turns_up(dataset: KafkaDataset) -> None:
    sink = build_sink(selected(dataset, a="a_rows"))
    number = await opened(sink, A)
    await sink.write(Transaction(number + 1, (rows_of(A, 1, UPSERT, 1),), "list"))
    other = build_sink(context(dataset, "others", connector="default/other"))  # which makes its ledger's topic
    await opened(other)
    await other.close()
    holder = ("default/other", "a", "a_rows", 1, 0, "uid-9", 1, "", "", None, "append", "2026-01-01T00:00:00.000Z")
    value = msgspec.json.encode(dict(zip(COLUMNS, holder, strict=True)))
    producer = Producer({"bootstrap.servers": dataset.server.address})
    producer.produce(f"{LEDGERS}.default.other", value, msgspec.json.encode(holder[:3]), 0)
    assert producer.flush(30) == 0
    claim = await sink.select({"a": "a_rows", "b": "b_rows"})
    await sink.close()
    assert (found := claim.checkpoints["a"]) is not None
    assert found.position == {"next": 1}


@pytest.mark.parametrize("mode", list(WriteMode))
async def test_headers_count_when_a_row_is_too_long(dataset: KafkaDataset, mode: WriteMode) -> None:
    long = base64.b64encode(
        random.Random(1).randbytes(784_500)
    ).decode()  # 1,046,000 characters that can't be compressed
    one = batch(SMALL, 1, (UPSERT, (1, long)), (UPSERT, (2, "b")))
    sink = build_sink(context(dataset, write_mode=mode))
    number = await opened(sink)
    rows = Batch(SMALL, one.rows, {"next": 1, "gtids": "x" * 4000}, one.operations, one.size)
    assert (await sink.write(Transaction(number + 1, (rows,), "list"))).refused == 1
    await sink.close()
    assert [row[0] for row in dataset.read(SMALL, "rows")] == [2]
    ((reason,),) = dataset.query("SELECT reason FROM rows_dead_letters")
    assert "beside its headers" in reason


async def test_what_was_known_of_a_topic_does_not_count_for_another(dataset: KafkaDataset) -> None:
    sink = build_sink(selected(dataset, a="a_rows", b="b_rows"))
    number = await opened(sink, A, B)
    await sink.write(Transaction(number + 1, (rows_of(A, 1, INSERT, 1),), "list"))
    await sink.select({"a": "moved", "b": "b_rows"})
    await sink.prepare(A)
    await sink.write(Transaction(number + 2, (rows_of(A, 2, INSERT, 1),), "list"))
    await sink.close()
    assert dataset.read(A, "a_rows") == dataset.read(A, "moved") == [(1, "1")]


async def test_a_topic_that_a_broker_does_not_know_yet_is_not_taken_for_a_new_one(
    dataset: KafkaDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], context(dataset))
    describe, asked = kafka.Client.describe, list[str]()

    def describe_late(self: kafka.Client, name: str) -> kafka.Topic | None:
        asked.append(name)
        return None if name == "rows" and asked.count(name) == 1 else describe(self, name)

    monkeypatch.setattr(kafka.Client, "describe", describe_late)
    sink = build_sink(context(dataset, run=2))
    await opened(sink)
    await sink.close()
    assert asked.count("rows") == 2
    assert dataset.topics.committed("rows_incidents") == []


@pytest.mark.parametrize("noticed", [nullcontext, noticed_early], ids=["at the commit", "before"])
async def test_a_topic_that_takes_less_than_before_is_told(dataset: KafkaDataset, noticed: Noticed) -> None:
    sink = build_sink(context(dataset))
    number = await opened(sink)
    await sink.write(Transaction(number + 1, (batch(SMALL, 1, (UPSERT, (1, "a"))),), "list"))
    entry = ConfigEntry("max.message.bytes", "1000", incremental_operation=AlterConfigOpType.SET)
    admin = dataset.server.admin()  # its answers come only as long as it lives
    resource = ConfigResource(ResourceType.TOPIC, "rows", incremental_configs=[entry])
    (answer,) = admin.incremental_alter_configs([resource]).values()
    answer.result(30)
    rows = batch(SMALL, 2, (UPSERT, (1, base64.b64encode(random.Random(1).randbytes(3000)).decode())))
    with noticed(), pytest.raises(TransientError, match="SIZE"):
        await sink.write(Transaction(number + 2, (rows,), "list"))
    with pytest.raises(ActionRequiredError, match=r"max\.message\.bytes=1000"):
        await sink.recover()
    await sink.close()


async def test_batches_that_are_longer_than_a_topic_takes_are_refused_at_the_start(dataset: KafkaDataset) -> None:
    """The brokers refuse such a batch as they refuse a record that is too long, but no row is: it was sent for ever."""
    options = {"batch.size": "983040", "compression.type": "none"}
    own = context(dataset, read_options=lambda: options)
    sink = build_sink(own)
    number = await opened(sink)
    rows = [(UPSERT, (each, "x" * 100_000)) for each in range(30)]
    await sink.write(Transaction(number + 1, (batch(SMALL, 1, *rows),), "list"))  # the largest that the option may be
    await sink.close()
    assert len(dataset.topics.committed("rows")) == 30
    entry = ConfigEntry("max.message.bytes", "900000", incremental_operation=AlterConfigOpType.SET)
    admin = dataset.server.admin()  # its answers come only as long as it lives
    for answer in admin.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, "rows", incremental_configs=[entry])]
    ).values():
        answer.result(30)
    later = build_sink(context(dataset, run=2, read_options=lambda: options))
    with pytest.raises(ActionRequiredError, match=r"max\.message\.bytes=900000; at least 1048576 is needed"):
        await opened(later)
    await later.close()


@pytest.mark.parametrize("noticed", [nullcontext, noticed_early], ids=["at the commit", "before"])
async def test_who_was_fenced_learns_it_whenever_it_is_noticed(dataset: KafkaDataset, noticed: Noticed) -> None:
    """It was a "fatal error" when records were still to come."""
    sink = build_sink(context(dataset))
    number = await opened(sink)
    other = Producer({"bootstrap.servers": dataset.server.address, "transactional.id": "connector-runner.default.test"})
    other.init_transactions(30)
    with noticed(), pytest.raises(TransientError, match="took the transaction from this runner"):
        await sink.write(Transaction(number + 1, (batch(SMALL, 1, (UPSERT, (1, "a"))),), "list"))
    assert await sink.recover() == number
    await sink.close()


async def test_a_claim_of_another_that_is_not_seen_as_committed_yet_counts(dataset: KafkaDataset) -> None:
    """A broker may take its time to write into a ledger that its transaction has been committed, and neither would see the other."""
    other = build_sink(context(dataset, "others", connector="default/other"))  # which makes its ledger's topic
    await opened(other)
    await other.close()
    holder = ("default/other", "test", "rows", 1, 0, "uid-9", 1, "", "", None, "upsert", "2026-01-01T00:00:00.000Z")
    value = msgspec.json.encode(dict(zip(COLUMNS, holder, strict=True)))
    producer = Producer(
        {"bootstrap.servers": dataset.server.address, "transactional.id": "connector-runner.default.other"}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(f"{LEDGERS}.default.other", value, msgspec.json.encode(holder[:3]), 0)
    assert producer.flush(30) == 0
    sink = build_sink(context(dataset))
    with pytest.raises(TransientError, match="default/other has claimed topic rows in the same moment"):
        await sink.claim()
    producer.abort_transaction(30)
    assert dataset.query("SELECT uid FROM _connector_checkpoints WHERE connector = 'default/test'") in ([], [("",)])
    await sink.claim()
    await sink.close()
