"""Delta tables on S3: what the ledger names, or may name, is removed by nobody; on a real server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from connector_runner.datasets.columnar.staging_folder import own_prefix
from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import FenceLostError, StagedFileGoneError, TransientError
from connector_runner.protocols.sink import Sink, SinkContext, Staging, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_sink
from connector_runner.sinks.delta import upkeep
from connector_runner.sinks.delta.tables import Table
from tests.kit.lake_dataset import S3LakeDataset
from tests.kit.pipeline import SMALL, batch, context, run_to_end
from tests.servers.gateway import Gateway
from tests.servers.s3 import SeaweedServer

UPSERT = Operation.UPSERT
MODES = pytest.mark.parametrize("mode", list(WriteMode))


def row(number: int) -> Batch:
    return batch(SMALL, number, (UPSERT, (number, f"row {number}")))


def rows_until(last: int) -> list[tuple[int, str]]:
    return [(number, f"row {number}") for number in range(1, last + 1)]


async def claimed(sink: SinkContext) -> tuple[Sink, int]:
    made = build_sink(sink)
    claim = await made.claim()
    await made.prepare(SMALL)
    return made, claim.number


async def write_and_flush(sink: Sink, transaction: Transaction) -> None:
    await sink.write(transaction)
    assert isinstance(sink, Staging)
    await sink.flush()


class _Died(BaseException):
    """Stands for a kill: nothing after it runs."""


def die(*_: object) -> None:
    raise _Died


@MODES
@pytest.mark.parametrize("options", ["commitEvery=0", "commitEvery=3600"])
async def test_an_overtaken_runner_removes_nothing_that_its_successor_has_committed(
    tmp_path: Path, s3_server: SeaweedServer, mode: WriteMode, options: str
) -> None:
    """Its commit of the ledger arrives and the answer is lost; before it notices, the successor has carried that out."""
    with Gateway(s3_server.port) as gateway:
        dataset = S3LakeDataset(s3_server, tmp_path, options)
        through = {**dataset.options, "s3.endpoint": gateway.endpoint}
        older, number = await claimed(context(dataset, write_mode=mode, read_options=lambda: through))

        def overtake() -> None:
            newer = context(dataset, run=2, write_mode=mode)
            asyncio.run(run_to_end([row(at) for at in range(1, 4)], newer))

        gateway.lose_next("PUT", "_connector_checkpoints/_delta_log", overtake)
        with pytest.raises(TransientError):
            await write_and_flush(older, Transaction(number + 1, (row(1),), "list"))
        assert gateway.lost == 1
        if options == "commitEvery=0":
            with pytest.raises(FenceLostError, match="run 2"):
                await older.recover()
        await older.close()
        assert dataset.read(SMALL, "rows", order="k") == rows_until(3)


async def test_a_vacuum_leaves_the_files_that_another_connector_still_needs(
    tmp_path: Path, s3_server: SeaweedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One was killed in the midst of a commit; another one writes into the same table, and here every file is old."""
    dataset = S3LakeDataset(s3_server, tmp_path)
    append = {"write_mode": WriteMode.APPEND}
    other = {"connector": "default/other", "uid": "uid-2", **append}
    made, number = await claimed(context(dataset, **other))
    with monkeypatch.context() as patched:
        patched.setattr(Table, "carry_out", die)
        with pytest.raises(_Died):
            await made.write(Transaction(number + 1, (row(1),), "list"))
    own, theirs = own_prefix("default/test/test"), f"{own_prefix('default/other/test')}left.parquet"
    names = (f"{own}left.parquet", f"{own}left.changes.parquet", "theirs.parquet", theirs)
    for name in names:
        with s3_server.files().open_output_stream(f"{dataset.path}/rows/{name}") as file:
            file.write(b"-")
    monkeypatch.setattr(upkeep, "STAGED_HOURS", 0)
    monkeypatch.setattr(upkeep, "retention_hours", lambda *_: 0)
    await run_to_end([row(2), row(3)], context(dataset, **append))
    assert [name for name in names if f"rows/{name}" in dataset.objects()] == ["theirs.parquet", theirs]
    await run_to_end([row(1)], context(dataset, run=2, **other))
    assert dataset.read(SMALL, "rows", order="k") == rows_until(3)


@MODES
async def test_an_object_that_is_gone_has_its_sentence(
    tmp_path: Path, s3_server: SeaweedServer, mode: WriteMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = S3LakeDataset(s3_server, tmp_path)
    made, number = await claimed(context(dataset, write_mode=mode))
    before = set(dataset.objects())
    with monkeypatch.context() as patched:
        patched.setattr(Table, "carry_out", die)
        with pytest.raises(_Died):
            await made.write(Transaction(number + 1, (row(1),), "list"))
    (name,) = (path for path in set(dataset.objects()) - before if path.startswith("rows/connector-"))
    s3_server.files().delete_file(f"{dataset.path}/{name}")
    heir = build_sink(context(dataset, run=2, write_mode=mode))
    with pytest.raises(StagedFileGoneError, match="put it back, or start over") as caught:
        await heir.claim()
    assert f"{dataset.path}/{name}" in caught.value.message
    await heir.close()
