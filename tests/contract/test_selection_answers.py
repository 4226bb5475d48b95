"""A change of a running selection that is answered otherwise than expected: refused, because a later run holds a stream, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from connector_runner.protocols.errors import FenceLostError, TransientError
from connector_runner.protocols.sink import Claim, Sink, Transaction
from connector_runner.registry import build_sink
from connector_runner.schemas.outcome import ExitCode
from tests.contract.test_live_selection import Gate, GatedSource, named, settled
from tests.contract.test_many_streams import A, B, balances, rows_of, selection, truth
from tests.kit.datasets import Dataset
from tests.kit.pipeline import Run, context
from tests.scripted.bank import Bank


async def test_a_stream_that_another_run_holds_is_added_only_by_a_later_run(dataset: Dataset) -> None:
    """The row of the added stream is held by a connector of that one stream: an older one is fenced off, a newer one refuses."""
    both = {"a": "a_rows", "b": "b_rows"}
    early, late = build_sink(selection(dataset, "a", run=1)), build_sink(selection(dataset, "a", run=3))
    await early.claim()
    held = build_sink(context(dataset, "b_rows", stream="b", run=2))
    claim = await held.claim()
    with pytest.raises(FenceLostError, match="run 2"):
        await early.select(both)
    await early.close()
    await late.claim()
    added = await late.select(both)
    assert added.epoch > claim.epoch
    with pytest.raises((FenceLostError, TransientError)) as caught:
        await held.write(Transaction(claim.number + 1))
    if not isinstance(caught.value, FenceLostError):
        with pytest.raises(FenceLostError, match="run 3"):
            await held.recover()
    for schema in (A, B):
        await late.prepare(schema)
    await late.write(Transaction(added.number + 1, (rows_of(A, 1, (1, "a")), rows_of(B, 1, (1, "b"))), "list"))
    for sink in (held, late):
        await sink.close()


class LosingSink:
    """A real sink of which the answer to each change of the selection is lost once, after it was carried out."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.lost = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    async def select(self, tables: Mapping[str, str] | None, record: str = "") -> Claim:
        claim = await self._sink.select(tables, record)
        if self.lost % 2 == 0:
            self.lost += 1
            raise TransientError("the answer was lost")
        self.lost += 1
        return claim


async def test_a_change_of_the_selection_whose_answer_was_lost_is_made_again(dataset: Dataset) -> None:
    bank, gate = Bank(seed=27, moves=120), Gate()
    sink = LosingSink(build_sink(selection(dataset, bank.streams[:2])))
    run = Run(lambda: GatedSource(bank, gate), sink).start()
    gate.open(40)
    await settled(run, dataset, bank, bank.streams[:2], 40)
    await run.engine.select(named(bank.streams))
    gate.open(70)
    await settled(run, dataset, bank, bank.streams, 70)
    await run.engine.select(named(["t0", "t2"]))
    gate.open(100)
    await settled(run, dataset, bank, ["t0", "t2"], 100)
    assert balances(dataset, bank, ["t1"]) == truth(bank, ["t1"], 70)
    await run.engine.select(named(bank.streams))
    gate.open(120)
    await settled(run, dataset, bank, bank.streams, 120)
    assert await run.stop() is ExitCode.TERMINATED
    assert sink.lost == 6
