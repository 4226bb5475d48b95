"""Iceberg tables of a REST catalogue with their files on S3, both real servers: what is committed, and what each wrong setting is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import ActionRequiredError, FenceLostError, StagedFileGoneError, TransientError
from connector_runner.protocols.sink import Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_inspector, build_sink
from connector_runner.sinks.iceberg.tables import Table
from tests.kit.iceberg_dataset import S3IcebergDataset
from tests.kit.pipeline import SMALL, batch, context, run_to_end
from tests.servers.gateway import Gateway
from tests.servers.iceberg_s3 import IcebergS3Server
from tests.servers.s3 import SECRET_KEY

UPSERT = Operation.UPSERT
MODES = pytest.mark.parametrize("mode", list(WriteMode))


def row(number: int) -> Batch:
    return batch(SMALL, number, (UPSERT, (number, f"row {number}")))


def rows_until(last: int) -> list[tuple[int, str]]:
    return [(number, f"row {number}") for number in range(1, last + 1)]


@pytest.fixture
def dataset(tmp_path: Path, iceberg_s3_server: IcebergS3Server) -> S3IcebergDataset:
    return S3IcebergDataset(iceberg_s3_server, tmp_path)


@MODES
async def test_a_life_on_s3(tmp_path: Path, iceberg_s3_server: IcebergS3Server, mode: WriteMode) -> None:
    """Committed, gone on with by a second run, read by the inspector, taken over; the one that was overtaken commits nothing."""
    dataset = S3IcebergDataset(iceberg_s3_server, tmp_path, "commitEvery=0&partitionBy=v")
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


@pytest.mark.parametrize(
    ("name", "value", "reason", "said"),
    [
        ("s3.access-key-id", "AKIAOTHER", "WrongCredentials", "correct s3.access-key-id and s3.secret-access-key"),
        ("s3.secret-access-key", "other-secret", "WrongCredentials", "correct s3.access-key-id and s3.secret-access-key"),
        ("s3.access-key-id", "AKIAREADER", "NotAllowed", "allow it to list the bucket, and to read, write and delete"),
        ("s3.access-key-id", "", "InvalidDataset", "the catalogue gives no keys"),
        ("s3.endpoint", "https://127.0.0.1:{port}", "TlsProblem", "does not speak TLS"),
        ("s3.endpoint", "http://127.0.0.1:1", "DatasetUnavailable", "can't be reached"),
    ],
)  # fmt: skip
async def test_wrong_options_have_their_sentence(
    dataset: S3IcebergDataset, name: str, value: str, reason: str, said: str
) -> None:
    dataset.options[name] = value.replace("{port}", str(dataset.store.port))
    sink = build_sink(context(dataset))
    with pytest.raises((ActionRequiredError, TransientError), match=said) as caught:
        await sink.claim()
    await sink.close()
    assert caught.value.reason == reason
    assert "s3://" in caught.value.message
    assert SECRET_KEY not in caught.value.message
    assert "other-secret" not in caught.value.message


async def test_a_bucket_that_is_missing_has_its_sentence(tmp_path: Path, iceberg_s3_server: IcebergS3Server) -> None:
    with IcebergS3Server(iceberg_s3_server.store, "no-such-bucket") as server:
        sink = build_sink(context(S3IcebergDataset(server, tmp_path)))
        with pytest.raises(ActionRequiredError, match="the bucket does not exist") as caught:
            await sink.claim()
        await sink.close()
    assert caught.value.reason == "MissingBucket"


@pytest.mark.parametrize("mode", [WriteMode.UPSERT, pytest.param(WriteMode.APPEND, marks=pytest.mark.fault)])
@pytest.mark.parametrize("part", ["_staged/connector-", "/metadata/"])
async def test_an_upload_that_gets_no_answer_is_sent_again(
    dataset: S3IcebergDataset, mode: WriteMode, part: str
) -> None:
    """The object arrives, but its answer does not."""
    with Gateway(dataset.store.port) as gateway:
        dataset.options["s3.endpoint"] = gateway.endpoint
        await run_to_end([row(1)], context(dataset, write_mode=mode))
        gateway.lose_next("PUT", part)
        await run_to_end([row(1), row(2)], context(dataset, run=2, write_mode=mode))
        assert gateway.lost == 1
    assert dataset.read(SMALL, "rows", order="k") == rows_until(2)


class _Died(BaseException):
    """Stands for a kill: nothing after it runs."""


@MODES
async def test_what_a_killed_run_has_decided_is_carried_out_and_a_staged_object_that_is_gone_is_named(
    dataset: S3IcebergDataset, mode: WriteMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise _Died

    for run, is_removed in ((1, False), (3, True)):
        sink = build_sink(context(dataset, run=run, write_mode=mode))
        number = (await sink.claim()).number
        await sink.prepare(SMALL)
        with monkeypatch.context() as patched:
            patched.setattr(Table, "carry_out", die)
            with pytest.raises(_Died):
                await sink.write(Transaction(number + 1, (row(run),), "list"))
        (staged,) = (path for path in dataset.objects() if path.startswith("rows/_staged/"))
        heir = build_sink(context(dataset, run=run + 1, write_mode=mode))
        if is_removed:
            dataset.store.files().delete_file(f"{dataset.path}/{staged}")
            with pytest.raises(StagedFileGoneError, match="put it back, or start over") as caught:
                await heir.claim()
            assert staged in caught.value.message
        else:
            await heir.claim()
            assert dataset.read(SMALL, "rows") == rows_until(1)
            if mode is WriteMode.APPEND:
                assert staged not in dataset.objects()
            else:
                dataset.store.files().delete_file(f"{dataset.path}/{staged}")
        await heir.close()
