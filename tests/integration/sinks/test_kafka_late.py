"""Transactions that take longer than the brokers keep one: the next attempt may take longer, and each comes to its end."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from connector_runner.protocols.batch import Operation
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_sink
from connector_runner.schemas.outcome import ExitCode
from connector_runner.sinks.kafka import client as kafka
from connector_runner.sinks.kafka.key_state import KeyState
from tests.integration.sinks.test_kills import truth_of
from tests.integration.sinks.truth import assert_true
from tests.kit.kafka_dataset import KafkaDataset
from tests.kit.pipeline import PAIR, batch, context, run_to_end
from tests.kit.waiting import until
from tests.scripted.kafka_late import SHORT, LateThen, SlowReplacements
from tests.scripted.process import start_runner, write_manifest
from tests.scripted.script import Script
from tests.servers.kafka import KafkaServer

UPSERT, DELETE, INSERT, REPLACE = Operation
FIRST = [batch(PAIR, 1, *((UPSERT, (a, b, "old")) for a in "xy" for b in range(3)))]
SECOND = [*FIRST, batch(PAIR, 2, (UPSERT, ("x", 7, "gone")), (REPLACE, ("x",)), (UPSERT, ("x", 1, "new")))]


@pytest.fixture
def dataset(kafka_server: KafkaServer, tmp_path: Path) -> KafkaDataset:
    return KafkaDataset(kafka_server, tmp_path)


@contextmanager
def slow_replacements(*, always: bool = False) -> Iterator[SlowReplacements]:
    slow = SlowReplacements(always=always)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka, "TRANSACTION_SECONDS", SHORT)
        take, commit = slow.hooks()
        patch.setattr(KeyState, "take", take)
        patch.setattr(kafka.Client, "commit", commit)
        yield slow


@pytest.mark.parametrize("mode", [WriteMode.UPSERT, pytest.param(WriteMode.APPEND, marks=pytest.mark.fault)])
async def test_a_replacement_that_takes_too_long_gets_more_time(
    dataset: KafkaDataset, caplog: pytest.LogCaptureFixture, mode: WriteMode
) -> None:
    await run_to_end(FIRST, context(dataset, write_mode=mode))
    with slow_replacements() as slow, caplog.at_level(logging.WARNING):
        await run_to_end(SECOND, context(dataset, run=2, write_mode=mode))
    assert slow.held > 0
    assert "longer than the brokers keep one of this runner; it is sent again" in caplog.text
    rest = [("y", b, "old") for b in range(3)]
    if mode is WriteMode.UPSERT:
        assert dataset.read(PAIR, "rows") == [("x", 1, "new"), *rest]
        return
    rows = [row for row in dataset.read(PAIR, "rows", ["_op"], order="_id") if row[0] == "x"]
    assert rows[3:] == [
        ("x", 7, "gone", "upsert"), *(("x", b, "old", "delete") for b in range(3)), ("x", 7, "gone", "delete"),
        ("x", 1, "new", "upsert"),
    ]  # fmt: skip


@pytest.mark.fault
async def test_one_that_takes_longer_than_the_brokers_allow_ends_the_run(
    dataset: KafkaDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was sent again for ever; nothing of it is stored, and the next run goes on there."""
    await run_to_end(FIRST, context(dataset))
    with slow_replacements(always=True) as slow:
        monkeypatch.setattr(kafka.Client, "longest_transaction", lambda _: SHORT)
        with pytest.raises(ActionRequiredError, match=r"Raise transaction\.max\.timeout\.ms of the brokers") as caught:
            await run_to_end(SECOND, context(dataset, run=2))
    assert caught.value.reason == "InvalidDataset"
    assert slow.held == 3
    assert dataset.read(PAIR, "rows") == [(a, b, "old") for a in "xy" for b in range(3)]
    await run_to_end(SECOND, context(dataset, run=3))
    assert dataset.read(PAIR, "rows") == [("x", 1, "new"), *(("y", b, "old") for b in range(3))]


@contextmanager
def denied(dataset: KafkaDataset) -> Iterator[None]:
    """What the brokers are set to can't be asked for."""
    cluster = (ResourceType.BROKER, "kafka-cluster", ResourcePatternType.LITERAL)
    rules = [
        AclBinding(*cluster, "User:ANONYMOUS", "*", AclOperation.ALL, AclPermissionType.ALLOW),  # else all is refused
        AclBinding(*cluster, "User:ANONYMOUS", "*", AclOperation.DESCRIBE_CONFIGS, AclPermissionType.DENY),
    ]
    admin = dataset.server.admin()
    for answer in admin.create_acls(rules).values():
        answer.result(30)
    try:
        yield
    finally:
        every: Any = (*cluster, None, None, AclOperation.ANY, AclPermissionType.ANY)
        for removed in admin.delete_acls([AclBindingFilter(*every)]).values():
            removed.result(30)


async def test_the_longest_time_is_that_of_the_brokers(dataset: KafkaDataset) -> None:
    sink: Any = build_sink(context(dataset))
    sink._cluster.transactions.seconds = 2000.0  # more than the 900 s of this broker
    await sink.claim()
    assert sink._cluster.transactions.seconds == 500.0
    client = sink._cluster.connection.client
    assert client.longest_transaction() == 900.0
    with denied(dataset):
        await until(lambda: client.longest_transaction() is None, "the rule counts")
    await until(client.longest_transaction, "it does not count any more")
    await sink.close()


@pytest.mark.fault
@pytest.mark.parametrize("mode", list(WriteMode))
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.timeout(600)
def test_a_runner_that_ends_in_the_midst_of_the_longer_attempt(
    dataset: KafkaDataset, tmp_path: Path, sent: signal.Signals, mode: WriteMode
) -> None:
    """The next one waits for nothing, and does the whole replacement; one that wakes up again commits nothing."""
    script = Script(seed=41, batches=400, rows=8)
    config, truth = {"seed": 41, "batches": script.batches, "rows": script.rows}, truth_of(script, mode)
    first = start_runner(
        write_manifest(tmp_path / "1.yaml", dataset.url, config, write_mode=mode.value), hook=LateThen(sent)
    )
    if sent is signal.SIGKILL:
        assert first.wait() == -signal.SIGKILL, first.text()[-2000:]
    first.wait_for(f"{sent.name} in the midst")
    assert "it is sent again, and may take" in first.text()
    if sent is signal.SIGKILL:
        assert_true(dataset, truth)
    second = start_runner(write_manifest(tmp_path / "2.yaml", dataset.url, config, write_mode=mode.value))
    assert second.wait() == ExitCode.END_OF_STREAM, second.text()[-2000:]
    assert assert_true(dataset, truth) == script.batches
    if sent is signal.SIGSTOP:
        records = dataset.topics.committed("rows")
        first.signal(signal.SIGCONT)
        assert first.wait() == ExitCode.ACTION_REQUIRED, first.text()[-2000:]
        assert "FenceLost" in first.text()
        assert [each.offset() for each in dataset.topics.committed("rows")] == [each.offset() for each in records]
