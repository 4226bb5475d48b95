"""Delta tables on S3, on a real server: what is committed, what the claim proves, and what each wrong setting is answered with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.check import Check, Result
from connector_runner.protocols.errors import ActionRequiredError, FenceLostError, TransientError
from connector_runner.protocols.sink import SinkContext, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_examiner, build_inspector, build_sink
from connector_runner.sinks.delta import tables
from tests.kit.lake_dataset import S3LakeDataset
from tests.kit.pipeline import SMALL, batch, context, run_to_end
from tests.servers.gateway import Gateway
from tests.servers.s3 import SECRET_KEY, SeaweedServer

UPSERT, DELETE, INSERT, REPLACE = Operation
MODES = pytest.mark.parametrize("mode", list(WriteMode))


def row(number: int) -> Batch:
    return batch(SMALL, number, (UPSERT, (number, f"row {number}")))


def rows_until(last: int) -> list[tuple[int, str]]:
    return [(number, f"row {number}") for number in range(1, last + 1)]


@MODES
@pytest.mark.parametrize("partitions", ["", "&partitionBy=v"])
async def test_a_life_on_s3(tmp_path: Path, s3_server: SeaweedServer, mode: WriteMode, partitions: str) -> None:
    """Committed, gone on with by a second run, read by the inspector, taken over; the one that was overtaken commits nothing."""
    dataset = S3LakeDataset(s3_server, tmp_path, f"commitEvery=0{partitions}")
    await run_to_end([row(number) for number in range(1, 4)], context(dataset, write_mode=mode))
    assert dataset.read(SMALL, "rows", order="k") == rows_until(3)
    older = build_sink(context(dataset, run=2, write_mode=mode))
    number = (await older.claim()).number
    await older.prepare(SMALL)
    await older.write(Transaction(number + 1, (row(4),), "list"))
    await run_to_end([row(number) for number in range(1, 7)], context(dataset, run=3, write_mode=mode))
    with pytest.raises(TransientError):
        await older.write(Transaction(number + 2, (row(99),), "list"))
    with pytest.raises(FenceLostError, match="run 3"):
        await older.recover()
    await older.close()
    assert dataset.read(SMALL, "rows", order="k") == rows_until(6)
    inspector = build_inspector(context(dataset))
    assert inspector.checkpoints()[0].position == {"next": 6}
    assert len(inspector.newest_rows(2)[1]) == 2
    inspector.close()


def wrong(dataset: S3LakeDataset, name: str, value: str) -> dict[str, Any]:
    options = {**dataset.options, name: value}
    return {"read_options": lambda: options}


@pytest.mark.parametrize(
    ("name", "value", "reason", "said"),
    [
        ("s3.access-key-id", "AKIAOTHER", "WrongCredentials", "correct s3.access-key-id and s3.secret-access-key"),
        ("s3.secret-access-key", "other-secret", "WrongCredentials", "correct s3.access-key-id and s3.secret-access-key"),
        ("s3.access-key-id", "AKIAREADER", "NotAllowed", "allow it to list the bucket, and to read, write and delete"),
        ("s3.endpoint", "https://127.0.0.1:{port}", "TlsProblem", "does not speak TLS"),
        ("s3.endpoint", "http://127.0.0.1:1", "DatasetUnavailable", "can't be reached"),
    ],
)  # fmt: skip
async def test_wrong_options_have_their_sentence(
    tmp_path: Path, s3_server: SeaweedServer, name: str, value: str, reason: str, said: str
) -> None:
    dataset = S3LakeDataset(s3_server, tmp_path)
    sink = build_sink(context(dataset, **wrong(dataset, name, value.replace("{port}", str(s3_server.port)))))
    with pytest.raises((ActionRequiredError, TransientError), match=said) as caught:
        await sink.claim()
    assert caught.value.reason == reason
    assert "s3://" in caught.value.message
    assert SECRET_KEY not in caught.value.message
    assert "other-secret" not in caught.value.message
    await sink.close()
    assert dataset.objects() == []


async def test_a_bucket_that_is_missing_has_its_sentence(tmp_path: Path, s3_server: SeaweedServer) -> None:
    dataset = S3LakeDataset(s3_server, tmp_path)
    given = context(dataset, read_url=lambda: "delta+s3://no-such-bucket/path")
    sink = build_sink(given)
    with pytest.raises(ActionRequiredError, match="the bucket does not exist") as claiming:
        await sink.claim()
    with pytest.raises(ActionRequiredError, match="the bucket does not exist") as looking:
        build_inspector(given)
    assert [caught.value.reason for caught in (claiming, looking)] == ["MissingBucket"] * 2
    await sink.close()


async def test_a_store_without_conditional_writes_is_refused(tmp_path: Path) -> None:
    """A real server behind a gateway that drops If-None-Match, as older ones ignore it."""
    with SeaweedServer(knows_keys=False) as server, Gateway(server.port, without=("if-none-match",)) as gateway:
        dataset = S3LakeDataset(server, tmp_path)
        options = {**dataset.options, "s3.endpoint": gateway.endpoint}
        for run in (1, 2):
            sink = build_sink(dataclasses.replace(context(dataset, run=run), read_options=lambda: options))
            with pytest.raises(ActionRequiredError, match="If-None-Match") as caught:
                await sink.claim()
            assert caught.value.reason == "InvalidDataset"
            await sink.close()
        assert [path for path in dataset.objects() if "_delta_log" in path] == []


@pytest.mark.parametrize("mode", [WriteMode.UPSERT, pytest.param(WriteMode.APPEND, marks=pytest.mark.fault)])
async def test_an_answer_that_is_lost_is_settled_by_what_is_there(tmp_path: Path, mode: WriteMode) -> None:
    """Every other commit arrives, but its answer does not: first that of the ledger, then that of the table."""
    with SeaweedServer() as server, Gateway(server.port) as gateway:
        dataset = S3LakeDataset(server, tmp_path)
        dataset.options = {**dataset.options, "s3.endpoint": gateway.endpoint}
        await run_to_end([row(1)], context(dataset, write_mode=mode))
        for last, part in enumerate(("_connector_checkpoints/_delta_log", "rows/_delta_log", "rows/"), start=2):
            gateway.lose_next("PUT", part)
            await run_to_end([row(at) for at in range(1, last + 1)], context(dataset, run=last, write_mode=mode))
            assert gateway.lost == last - 1
        assert dataset.read(SMALL, "rows", order="k") == rows_until(4)


async def test_a_check_says_what_a_claim_would_find_and_writes_nothing(
    tmp_path: Path, s3_server: SeaweedServer
) -> None:
    dataset = S3LakeDataset(s3_server, tmp_path)
    found = {check.name: check for check in examined(context(dataset))}
    assert found["rights"].result is Result.UNKNOWN
    assert "will be made" in found["table"].message
    assert dataset.objects() == []
    await run_to_end([row(1)], context(dataset))
    before = sorted(dataset.objects())
    found = {check.name: check for check in examined(context(dataset))}
    assert {check.result for check in found.values()} == {Result.OK}
    assert "belongs to this connector" in found["owner"].message
    reader = examined(context(dataset, **wrong(dataset, "s3.access-key-id", "AKIAREADER")))
    assert [(check.name, check.reason) for check in reader if check.result is Result.FAILED] == [
        ("rights", "NotAllowed")
    ]
    assert sorted(dataset.objects()) == before


def examined(sink: SinkContext) -> Sequence[Check]:
    examiner = build_examiner(sink)
    try:
        return examiner.examine({"test": SMALL})
    finally:
        examiner.close()


async def test_a_claim_removes_no_file_that_a_table_has(
    tmp_path: Path, s3_server: SeaweedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Staged files lie beside committed ones; here all of them are old from the beginning."""
    dataset = S3LakeDataset(s3_server, tmp_path)
    append = context(dataset, write_mode=WriteMode.APPEND)
    await run_to_end([row(1), row(2)], append)
    monkeypatch.setattr(tables, "STAGED_SECONDS", -1)
    await run_to_end([row(number) for number in range(1, 5)], dataclasses.replace(append, run=2))
    assert dataset.read(SMALL, "rows", order="k") == rows_until(4)
