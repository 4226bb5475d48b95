"""A dataset that loses commits that were confirmed: restored under a runner, or failed over to a server that lacked them."""

from __future__ import annotations

import pytest

from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import DatasetWentBackError
from connector_runner.schemas.outcome import ExitCode
from tests.kit.datasets import Dataset
from tests.kit.pipeline import SMALL, ListSource, Run, batch, context
from tests.kit.waiting import until

BEFORE = """UPDATE _connector_checkpoints SET number = number - 1, position = '{"next":1}'"""


def row(number: int) -> Batch:
    return batch(SMALL, number, (Operation.UPSERT, (number, "a")))


@pytest.mark.parametrize("what", [BEFORE, f"{BEFORE}, epoch = epoch - 1"], ids=["a commit", "the claim"])
@pytest.mark.parametrize("wait", [True, False])
async def test_what_was_confirmed_and_is_gone_is_read_again_by_the_next_run(
    dataset: Dataset, wait: bool, what: str
) -> None:
    source = ListSource([row(1), row(2)], endless=True)
    run = Run(lambda: source, context(dataset), wait=wait).start()
    await until(lambda: run.telemetry.totals.rows == 2, "two rows are confirmed")
    dataset.execute("DELETE FROM rows WHERE k = 2")
    dataset.execute(what)
    source.add(row(3))
    with pytest.raises(DatasetWentBackError, match="restored from a backup"):
        await run.end()
    following = Run(lambda: ListSource([row(1), row(2), row(3)]), context(dataset, run=2)).start()
    assert await following.end() is ExitCode.END_OF_STREAM
    assert dataset.read(SMALL, "rows") == [(1, "a"), (2, "a"), (3, "a")]
