"""Uploads of staged files to S3 that are cut or get no answer: the store gets them when it can be reached again; on a real server."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from connector_runner.datasets.columnar import staged_files
from connector_runner.datasets.columnar.s3 import upload
from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.sink import Sink, SinkContext, Staging, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_sink
from tests.kit.lake_dataset import S3LakeDataset
from tests.kit.pipeline import SMALL, ListSource, Run, batch, context
from tests.kit.waiting import until
from tests.servers.gateway import Gateway
from tests.servers.proxy import CuttingProxy
from tests.servers.s3 import SeaweedServer

UPSERT = Operation.UPSERT
ROWS = 500


def noise(position: int) -> Batch:
    """Six megabytes of rows that can't be compressed."""
    random_ = random.Random(position)
    numbers = range(position * ROWS, (position + 1) * ROWS)
    return batch(SMALL, position, *((UPSERT, (number, random_.randbytes(12_000).hex())) for number in numbers))


def numbers_until(position: int) -> list[int]:
    return list(range(ROWS, (position + 1) * ROWS))


def found(dataset: S3LakeDataset) -> list[int]:
    return [key for key, _ in dataset.read(SMALL, "rows", order="_id")]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are as small as S3 takes them, and row groups small, so that a few rows have some of them."""
    monkeypatch.setattr(staged_files, "GROUP_ROWS", ROWS)
    monkeypatch.setattr(upload, "PART_BYTES", 5 << 20)


@pytest.mark.parametrize("delivers", [pytest.param(False, marks=pytest.mark.fault), True])
async def test_a_network_that_is_cut_in_the_midst_of_uploads_is_waited_out(
    tmp_path: Path, s3_server: SeaweedServer, request: pytest.FixtureRequest, delivers: bool
) -> None:
    """What takes more than a megabyte of traffic is cut: each part of an upload, and nothing else."""
    is_cut = True
    proxy = CuttingProxy(s3_server.host, s3_server.port, lambda _: (20, delivers) if is_cut else None)
    request.addfinalizer(proxy.close)
    dataset = S3LakeDataset(s3_server, tmp_path, "commitEvery=1")
    options = {**dataset.options, "s3.endpoint": f"http://127.0.0.1:{proxy.port}"}
    source = ListSource([noise(1)], endless=True)
    sink = context(dataset, write_mode=WriteMode.APPEND, read_options=lambda: options)
    run = Run(lambda: source, sink).start()
    for position in range(2, 5):
        source.add(noise(position))
    await until(lambda: run.meters.counts["sink_reconnects"] >= 2, "it is tried again", 120)
    assert "can't be reached" in run.log.text()
    assert proxy.cuts > 0
    assert not run.has_ended
    is_cut = False
    await until(lambda: run.telemetry.totals.rows == 4 * ROWS, "the commit", 120)
    await run.stop()
    assert found(dataset) == numbers_until(4)
    committed = [path for path in dataset.objects() if path.startswith("rows/connector-")]
    assert sum(pq.read_metadata(dataset.root / path).num_rows for path in committed) == 4 * ROWS, (
        "nothing was left behind"
    )


@pytest.mark.parametrize(
    ("method", "part"),
    [
        pytest.param("POST", "uploads", marks=pytest.mark.fault),
        pytest.param("PUT", "partNumber=1", marks=pytest.mark.fault),
        ("PUT", "partNumber=2"),
        pytest.param("POST", "uploadId=", marks=pytest.mark.fault),
        pytest.param("PUT", "_delta_log", marks=pytest.mark.fault),
    ],
)
async def test_an_answer_to_any_part_of_an_upload_may_be_lost(
    tmp_path: Path, s3_server: SeaweedServer, method: str, part: str
) -> None:
    with Gateway(s3_server.port) as gateway:
        dataset = S3LakeDataset(s3_server, tmp_path, "commitEvery=3600")
        options = {**dataset.options, "s3.endpoint": gateway.endpoint}
        sink, number = await claimed(context(dataset, write_mode=WriteMode.APPEND, read_options=lambda: options))
        gateway.lose_next(method, part)
        for position in (1, 2):
            await sink.write(Transaction(number + position, (noise(position),), "list"))
        await flushed(sink, number + 2)
        await sink.close()
        assert gateway.lost == 1
        assert found(dataset) == numbers_until(2)
        assert len([path for path in dataset.objects() if path.startswith("rows/connector-")]) == 1


async def claimed(sink: SinkContext) -> tuple[Sink, int]:
    made = build_sink(sink)
    claim = await made.claim()
    await made.prepare(SMALL)
    return made, claim.number


async def flushed(sink: Sink, number: int) -> None:
    """Commits what is staged as the pipeline does: until it works, and nothing staged is given up."""
    assert isinstance(sink, Staging)
    for _ in range(5):
        try:
            await sink.flush()
        except TransientError:
            assert await sink.recover() == number
        else:
            return
    pytest.fail("it is not committed")


@pytest.mark.fault
async def test_a_small_file_is_sent_at_once_and_again_if_there_is_no_answer(
    tmp_path: Path, s3_server: SeaweedServer
) -> None:
    with Gateway(s3_server.port) as gateway:
        dataset = S3LakeDataset(s3_server, tmp_path, "commitEvery=3600")
        options = {**dataset.options, "s3.endpoint": gateway.endpoint}
        sink, number = await claimed(context(dataset, write_mode=WriteMode.APPEND, read_options=lambda: options))
        await sink.write(Transaction(number + 1, (batch(SMALL, 1, (UPSERT, (1, "row 1"))),), "list"))
        gateway.lose_next("PUT", "rows/connector-")
        await flushed(sink, number + 1)
        await sink.close()
        assert gateway.lost == 1
        assert dataset.read(SMALL, "rows", order="k") == [(1, "row 1")]
