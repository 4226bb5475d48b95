"""Taking a topic over writes into two ledgers by the other connector's transactional id; a later run of the taker is not undone by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import FenceLostError, TransientError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import Sink, SinkContext, Transaction
from connector_runner.registry import build_sink
from connector_runner.schemas.manifest import TakeOver
from connector_runner.sinks.kafka import client as kafka
from tests.kit.kafka_dataset import KafkaDataset
from tests.kit.pipeline import SMALL, batch, context
from tests.servers.kafka import KafkaServer

UPSERT, *_ = Operation
A, B = (StreamSchema(name, SMALL.columns, SMALL.key) for name in "ab")
STEPS = ["init_transactions", "begin_transaction", "commit_transaction"]
"""What the taker does by the other one's transactional id; only at the first step is it not fenced yet."""


@pytest.fixture
def dataset(kafka_server: KafkaServer, tmp_path: Path) -> KafkaDataset:
    return KafkaDataset(kafka_server, tmp_path)


def row(schema: StreamSchema, number: int) -> Batch:
    return batch(schema, number, (UPSERT, (number, str(number))), place={})


def selected(dataset: KafkaDataset, run: int, *, take_over: TakeOver | None = None, **tables: str) -> SinkContext:
    return context(dataset, tables=tables, is_selection=True, run=run, take_over=take_over)


async def begun(where: SinkContext, *schemas: StreamSchema) -> tuple[Sink, int]:
    sink = build_sink(where)
    number = (await sink.claim()).number
    for schema in schemas:
        await sink.prepare(schema)
    return sink, number


async def ready(dataset: KafkaDataset) -> None:
    """The other connector has a row in a topic, and so has an earlier run of the taker in its own."""
    other, number = await begun(context(dataset, "b_rows", "b", connector="default/other", uid="uid-2"), B)
    await other.write(Transaction(number + 1, (batch(B, 1, (UPSERT, (1, "b"))),), "list"))
    await other.close()
    first, number = await begun(selected(dataset, 1, a="a_rows"), A)
    await first.write(Transaction(number + 1, (row(A, 1),), "list"))
    await first.close()


class Held(Producer):
    """A producer of the other one's transactional id that stops at a step, where something else happens first."""

    step, happens = "", staticmethod(lambda: None)

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self._is_other = settings["transactional.id"].endswith(".default.other")

    def _at(self, name: str) -> None:
        if self._is_other and Held.step == name:
            Held.step = ""
            Held.happens()

    def init_transactions(self, *arguments: Any) -> None:
        self._at("init_transactions")
        super().init_transactions(*arguments)

    def begin_transaction(self, *arguments: Any) -> None:
        self._at("begin_transaction")
        super().begin_transaction(*arguments)

    def commit_transaction(self, *arguments: Any) -> None:
        self._at("commit_transaction")
        super().commit_transaction(*arguments)


@pytest.mark.parametrize("step", [STEPS[0], *(pytest.param(step, marks=pytest.mark.fault) for step in STEPS[1:])])
async def test_a_later_run_is_not_undone(dataset: KafkaDataset, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Run 2 is to take a topic over, and hangs in the midst of it; run 3 is not to any more, and writes."""
    await ready(dataset)
    monkeypatch.setattr(kafka, "Producer", Held)
    order = TakeOver("default/other", 1)
    late = build_sink(selected(dataset, 2, take_over=order, a="a_rows", b="b_rows"))
    later = build_sink(selected(dataset, 3, a="a_rows"))
    numbers: list[int] = []

    def happens() -> None:
        numbers.append(later._claim().number)  # type: ignore[attr-defined]
        later._prepare(A, False)  # type: ignore[attr-defined]
        later._write(Transaction(numbers[0] + 1, (row(A, 2),), "list"))  # type: ignore[attr-defined]

    monkeypatch.setattr(Held, "step", step)
    monkeypatch.setattr(Held, "happens", staticmethod(happens))
    with pytest.raises(TransientError):
        await late.claim()
    with pytest.raises(FenceLostError, match="run 3 has already claimed"):
        await late.claim()
    await late.close()
    await later.write(Transaction(numbers[0] + 2, (row(A, 3),), "list"))  # at the first attempt
    await later.close()
    last, number = await begun(selected(dataset, 4, a="a_rows"), A)
    await last.close()
    assert number == numbers[0] + 2
    assert dataset.query("SELECT run, position FROM _connector_checkpoints WHERE stream = '*'") == [(4, '{"next":3}')]
    assert dataset.query("SELECT connector FROM _connector_checkpoints WHERE stream = 'b'") == [("default/other",)]


@pytest.mark.fault
@pytest.mark.parametrize("is_still_wanted", [True, False])
@pytest.mark.parametrize("step", STEPS)
async def test_the_next_run_ends_what_was_begun(
    dataset: KafkaDataset, monkeypatch: pytest.MonkeyPatch, step: str, is_still_wanted: bool
) -> None:
    """Run 2 dies in the midst of a takeover."""
    await ready(dataset)
    monkeypatch.setattr(kafka, "Producer", Held)
    order = TakeOver("default/other", 1)
    dead = build_sink(selected(dataset, 2, take_over=order, a="a_rows", b="b_rows"))

    def happens() -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(Held, "step", step)
    monkeypatch.setattr(Held, "happens", staticmethod(happens))
    with pytest.raises(RuntimeError, match="killed"):
        await dead.claim()
    wanted = {"take_over": order, "b": "b_rows"} if is_still_wanted else {}
    sink, number = await begun(selected(dataset, 3, a="a_rows", **wanted), A)  # type: ignore[arg-type]
    await sink.write(Transaction(number + 1, (row(A, 2),), "list"))
    await sink.close()
    await dead.close()
    owner = "default/test" if is_still_wanted else "default/other"
    assert dataset.query("SELECT connector FROM _connector_checkpoints WHERE stream = 'b'") == [(owner,)]
    assert dataset.query("SELECT run, position FROM _connector_checkpoints WHERE stream = '*'") == [(3, '{"next":2}')]
    records = dataset.topics.committed("_connector_checkpoints.default.test")
    takings = [each.value() for each in records if b"taking" in (each.key() or b"")]
    assert len(takings) > 1
    assert takings[-1] is None
