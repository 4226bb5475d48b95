"""What Kafka alone has: fences of the broker, late transactions, partitions, limits, ACLs, topics of others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from connector_runner.protocols.batch import Operation
from connector_runner.protocols.check import Result
from connector_runner.protocols.errors import ActionRequiredError, FenceLostError, SchemaConflictError, TransientError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import Sink, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import INT64, STRING
from connector_runner.registry import build_examiner, build_inspector, build_sink
from connector_runner.sinks.kafka import client as kafka
from tests.kit.kafka_dataset import KafkaDataset, headers
from tests.kit.pipeline import PAIR, SMALL, ListSource, Run, batch, context, run_to_end
from tests.kit.waiting import until
from tests.servers.kafka import KafkaServer

UPSERT, DELETE, INSERT, REPLACE = Operation
OURS = "connector-runner.default.test"


@pytest.fixture
def dataset(kafka_server: KafkaServer, tmp_path: Path) -> KafkaDataset:
    return KafkaDataset(kafka_server, tmp_path)


def raw_producer(dataset: KafkaDataset, transactional_id: str) -> Producer:
    producer = Producer(
        {"bootstrap.servers": dataset.server.address, "transactional.id": transactional_id, "error_cb": lambda _: None}
    )
    producer.init_transactions(30)
    return producer


def create(dataset: KafkaDataset, name: str, partitions: int = 1, **settings: str) -> None:
    config = {name.replace("_", "."): value for name, value in settings.items()}
    admin = dataset.server.admin()
    (answer,) = admin.create_topics([NewTopic(name, partitions, 1, config=config)]).values()
    answer.result(30)


async def opened(sink: Sink, schema: StreamSchema = SMALL) -> int:
    claim = await sink.claim()
    await sink.prepare(schema)
    return claim.number


async def test_who_was_only_late_goes_on(dataset: KafkaDataset) -> None:
    """The broker says the same to a producer that was overtaken and to one that was late or met by an older run: the ledger tells."""
    sink = build_sink(context(dataset))
    number = await opened(sink)
    await sink.write(Transaction(number + 1, (batch(SMALL, 1, (UPSERT, (1, "a"))),), "list"))
    raw_producer(dataset, OURS)  # whoever it is, it has committed no claim
    second = Transaction(number + 2, (batch(SMALL, 2, (UPSERT, (2, "b"))),), "list")
    with pytest.raises(TransientError, match="took the transaction from this runner"):
        await sink.write(second)
    assert await sink.recover() == number + 1
    await sink.write(second)
    await sink.close()
    assert dataset.read(SMALL, "rows") == [(1, "a"), (2, "b")]


async def test_a_claim_does_not_wait_for_the_open_transaction_of_another_connector(dataset: KafkaDataset) -> None:
    other = build_sink(context(dataset, "others", connector="default/other"))
    await opened(other)
    await other.close()
    held = raw_producer(dataset, "connector-runner.default.other")
    held.begin_transaction()
    held.produce("_connector_checkpoints.default.other", b"{}", b'"held"')
    held.flush(30)
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], context(dataset))
    held.abort_transaction(30)  # it was open until now
    assert dataset.read(SMALL, "rows") == [(1, "a")]


async def test_an_older_run_leaves_without_fencing_whoever_is_there(dataset: KafkaDataset) -> None:
    newer, older = build_sink(context(dataset, run=2)), build_sink(context(dataset, run=1))
    number = await opened(newer)
    with pytest.raises(FenceLostError, match="run 2 has already claimed"):
        await older.claim()
    await older.close()
    await newer.write(Transaction(number + 1, (batch(SMALL, 1, (UPSERT, (1, "a"))),), "list"))  # at the first attempt
    await newer.close()


async def test_of_two_that_claim_a_topic_in_one_moment_at_most_one_keeps_it(
    dataset: KafkaDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (build_sink(context(dataset, connector=f"default/{name}")) for name in ("one", "two"))
    commit, claimed = kafka.Client.commit, list[Any]()

    def commit_after_the_other(self: kafka.Client, producer: Producer, *more: float) -> None:
        if not claimed:  # the first one has read the ledgers, and the second one claims before it commits
            claimed.append(None)
            with pytest.raises(TransientError, match="default/one has claimed topic rows in the same moment"):
                second._claim()  # type: ignore[attr-defined]
        commit(self, producer, *more)

    monkeypatch.setattr(kafka.Client, "commit", commit_after_the_other)
    await first.claim()
    with pytest.raises(SchemaConflictError, match="default/one"):
        await second.claim()
    await first.close()
    await second.close()


async def test_a_reset_fences_off_who_writes_and_starts_over(dataset: KafkaDataset) -> None:
    batches = [batch(SMALL, 1, (UPSERT, (1, "a"))), batch(SMALL, 2, (UPSERT, (2, "b")))]
    run = Run(lambda: ListSource(batches, endless=True), context(dataset)).start()
    await until(lambda: run.telemetry.totals.rows == 2, "two rows")
    with closing(build_inspector(context(dataset))) as inspector:
        assert inspector.checkpoints()[0].position == {"next": 2}
        assert inspector.reset_checkpoints() == 1
        assert inspector.checkpoints()[0].position is None
    with pytest.raises(FenceLostError, match="reset"):  # its heartbeat finds out
        await run.end()
    await run_to_end([batch(SMALL, 1, (UPSERT, (3, "c")))], context(dataset, run=1))
    assert dataset.read(SMALL, "rows") == [(1, "a"), (2, "b"), (3, "c")]


async def test_records_have_operation_and_position_and_deletes_are_tombstones(dataset: KafkaDataset) -> None:
    await run_to_end(
        [
            batch(PAIR, 1, (UPSERT, ("x", 1, "one")), (UPSERT, ("x", 2, "two"))),
            batch(PAIR, 2, (DELETE, ("x", 1, None))),
        ],
        context(dataset),
    )
    found = [(m.key(), m.value(), headers(m)) for m in dataset.topics.committed("rows")]
    assert found == [
        (b'{"a":"x","b":1}', b'{"a":"x","b":1,"v":"one"}', {"op": "upsert", "position": '{"next":1}'}),
        (b'{"a":"x","b":2}', b'{"a":"x","b":2,"v":"two"}', {"op": "upsert", "position": '{"next":1}'}),
        (b'{"a":"x","b":1}', None, {"op": "delete", "position": '{"next":2}'}),
    ]


@pytest.mark.parametrize("mode", list(WriteMode))
async def test_replacements_and_inserts_after_a_restart_know_what_the_topic_holds(
    dataset: KafkaDataset, mode: WriteMode
) -> None:
    dataset.url += "?partitions=3"
    first = [batch(PAIR, 1, *((UPSERT, (a, b, "old")) for a in "xyz" for b in range(4)), (DELETE, ("x", 0, None)))]
    second = [
        batch(PAIR, 2, (INSERT, ("z", 0, "WRONG")), (INSERT, ("w", 0, "new"))),
        batch(PAIR, 3, (REPLACE, ("x",)), (UPSERT, ("x", 9, "new")), (INSERT, ("x", 1, "back")), (REPLACE, ("y", 2))),
    ]
    await run_to_end(first, context(dataset, write_mode=mode))
    await run_to_end([*first, *second], context(dataset, run=2, write_mode=mode))
    if mode is WriteMode.UPSERT:
        expected = [("w", 0, "new"), ("x", 1, "back"), ("x", 9, "new")]
        expected += [("y", b, "old") for b in (0, 1, 3)] + [("z", b, "old") for b in range(4)]
        assert dataset.read(PAIR, "rows") == expected
        return
    found = dataset.read(PAIR, "rows", ["_op", "_position"], order="_id")
    retracted = sorted(row[:4] for row in found if json.loads(row[4]) == {"next": 3} and row[3] == "delete")
    assert retracted == [("x", b, "old", "delete") for b in (1, 2, 3)] + [("y", 2, "old", "delete")]


async def test_the_order_of_a_key_is_kept_over_partitions(dataset: KafkaDataset) -> None:
    dataset.url += "?partitions=4"
    rows = [(UPSERT, (k, str(version))) for version in range(50) for k in range(20)]
    await run_to_end([batch(SMALL, 1, *rows)], context(dataset))
    messages = dataset.topics.committed("rows")
    places: dict[Any, set[Any]] = {}
    versions: dict[Any, list[int]] = {}
    for message in messages:
        places.setdefault(message.key(), set()).add(message.partition())
        versions.setdefault(message.key(), []).append(int(json.loads(message.value() or b"")["v"]))
    assert {len(partitions) for partitions in places.values()} == {1}
    assert all(each == list(range(50)) for each in versions.values())
    assert len({message.partition() for message in messages}) == 4


async def test_a_row_that_is_too_long_is_a_dead_letter_and_the_others_are_stored(dataset: KafkaDataset) -> None:
    long = "x" * 1_100_000
    run = await run_to_end(
        [
            batch(SMALL, 1, (UPSERT, (1, "a")), (UPSERT, (2, long)), (UPSERT, (3, "c"))),
            batch(SMALL, 2, (UPSERT, (4, "d"))),
        ],
        context(dataset),
    )
    assert dataset.read(SMALL, "rows") == [(1, "a"), (3, "c"), (4, "d")]
    ((reason, row),) = dataset.query('SELECT reason, "row" FROM rows_dead_letters')
    assert "longer than" in reason
    assert "cut" in reason
    assert row.startswith('{"k":2,"v":"xxx')
    assert run.telemetry.totals.refused == 1


async def test_a_template_in_the_url_names_the_topics(dataset: KafkaDataset) -> None:
    dataset.url += "/raw.{table}-v1"
    for run in (1, 2):
        await run_to_end([batch(SMALL, n, (UPSERT, (n, "a"))) for n in range(1, run + 1)], context(dataset, run=run))
    names = {name for name in dataset.topics.names() if not name.startswith("_connector")}
    assert names == {"raw.rows-v1", "raw.rows-v1_dead_letters", "raw.rows-v1_incidents"}
    with closing(build_inspector(context(dataset))) as inspector:
        assert [stream.table for stream in inspector.stored_streams().streams] == ["raw.rows-v1"]
        assert inspector.newest_rows(5) == (["k", "v"], [[1, "a"], [2, "a"]])


# what only a person can mend


@contextmanager
def told(reason: str, says: str, kind: type[ActionRequiredError] = ActionRequiredError) -> Iterator[None]:
    with pytest.raises(kind, match=says) as caught:
        yield
    assert caught.value.reason == reason


async def refused(dataset: KafkaDataset, schema: StreamSchema = SMALL, **more: Any) -> None:
    sink = build_sink(context(dataset, **more))
    try:
        await opened(sink, schema)
    finally:
        await sink.close()


async def test_a_topic_that_must_exist_and_does_not(dataset: KafkaDataset) -> None:
    dataset.url += "?topics=exist"
    with told("MissingTopic", "the topic rows does not exist"):
        await refused(dataset)
    assert "rows" not in dataset.topics.names()


async def test_topics_that_would_lose_rows(dataset: KafkaDataset) -> None:
    create(dataset, "rows", cleanup_policy="compact")
    with told("InvalidDataset", "a history .* needs a topic with cleanup.policy=delete"):
        await refused(dataset, write_mode=WriteMode.APPEND)
    create(dataset, "small", max_message_bytes="10000")
    with told("InvalidDataset", "max.message.bytes=10000"):
        await refused(dataset, table="small", run=2)
    create(dataset, "_connector_checkpoints.default.lost", cleanup_policy="delete")
    with told("InvalidDataset", "must have one partition and cleanup.policy=compact"):
        await refused(dataset, table="lost", connector="default/lost")


async def test_topics_of_others(dataset: KafkaDataset) -> None:
    create(dataset, "rows", partitions=2)
    producer = raw_producer(dataset, "somebody")
    producer.begin_transaction()
    producer.produce("rows", b"\x00\x01avro", b"key", partition=1)
    producer.commit_transaction(30)
    with told("SchemaConflict", "partition 1, offset 0.* is not JSON", SchemaConflictError):
        await refused(dataset)


async def test_another_key_and_another_mode_are_conflicts(dataset: KafkaDataset) -> None:
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], context(dataset))
    other = StreamSchema("test", (Column("id", INT64), Column("v", STRING)), ("id",))
    with told("SchemaConflict", r"with the key \(k\), but the key of stream test is \(id\)", SchemaConflictError):
        await refused(dataset, other, run=2)
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], context(dataset, "history", write_mode=WriteMode.APPEND))
    with told("SchemaConflict", "a history", SchemaConflictError):
        await refused(dataset, table="history", run=2)


async def test_names_that_no_topic_can_have(dataset: KafkaDataset) -> None:
    for table in ("a b", "ä", "x" * 240, ".."):
        with told("InvalidConfig", "no name of a topic|too long"):
            build_sink(context(dataset, table))


@pytest.mark.parametrize(
    ("allowed", "lacking"),
    [((AclOperation.ALL,), "WRITE on"), ((), "READ, WRITE, DESCRIBE on")],
    ids=["seen", "hidden"],
)
async def test_what_an_acl_refuses_is_named(
    dataset: KafkaDataset, allowed: Sequence[AclOperation], lacking: str
) -> None:
    """WRITE is refused; a topic with any ACL refuses all else that is not allowed."""
    create(dataset, "rows")
    admin = dataset.server.admin()
    rules = [
        AclBinding(ResourceType.TOPIC, "rows", ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation, kind)
        for operation, kind in [
            (AclOperation.WRITE, AclPermissionType.DENY), *((each, AclPermissionType.ALLOW) for each in allowed)
        ]
    ]  # fmt: skip
    for answer in admin.create_acls(rules).values():
        answer.result(30)
    try:
        with closing(build_examiner(context(dataset))) as examiner:
            checks = await asyncio.to_thread(examiner.examine, {"test": SMALL})
        assert [(one.name, one.reason) for one in checks if one.result is Result.FAILED] == [("rights", "NotAllowed")]
        assert f"allow {lacking} topic rows" in checks[0].message
        run = Run(lambda: ListSource([batch(SMALL, 1, (UPSERT, (1, "a")))]), context(dataset)).start()
        with told("NotAllowed", "to read, write, describe, create and configure its topics"):
            await run.end()
    finally:
        every: Any = (
            ResourceType.TOPIC, "rows", ResourcePatternType.LITERAL, None, None, AclOperation.ANY, AclPermissionType.ANY
        )  # fmt: skip
        named = AclBindingFilter(*every)
        for removed in admin.delete_acls([named]).values():
            removed.result(30)
