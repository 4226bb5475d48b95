"""Iceberg tables of a REST catalogue (Apache Iceberg's reference server): credentials, lost answers, what a claim finds out, expiry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from connector_runner.datasets.columnar.small_files import MANY_FILES
from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.check import Check, Result
from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.protocols.sink import Sink, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_examiner, build_sink
from connector_runner.sinks.iceberg import compaction, tables
from connector_runner.sinks.iceberg.expiry import EVERY
from tests.kit.iceberg_dataset import RestIcebergDataset
from tests.kit.pipeline import SMALL, batch, context, run_to_end
from tests.servers.catalogue_guard import CREDENTIAL, SECRET, CatalogueGuard
from tests.servers.iceberg_rest import IcebergRestServer

UPSERT, DELETE, INSERT, REPLACE = Operation
MODES = pytest.mark.parametrize("mode", list(WriteMode))


def row(number: int) -> Batch:
    return batch(SMALL, number, (UPSERT, (number, f"row {number}")))


def rows_until(last: int) -> list[tuple[int, str]]:
    return [(number, f"row {number}") for number in range(1, last + 1)]


@pytest.fixture
def dataset(tmp_path: Path, iceberg_server: IcebergRestServer) -> RestIcebergDataset:
    return RestIcebergDataset(iceberg_server, tmp_path)


@pytest.fixture
def guard(tmp_path: Path, dataset: RestIcebergDataset) -> Iterator[CatalogueGuard]:
    """A gateway through which the dataset's sink reaches the catalogue, with TLS and the right options."""
    with CatalogueGuard(dataset.server.port, tmp_path) as made:
        dataset.url = dataset.url.replace(dataset.server.url, made.url)
        dataset.options = {"credential": CREDENTIAL, "ssl.ca.pem": made.authority}
        yield made


async def claimed(dataset: RestIcebergDataset, mode: WriteMode = WriteMode.UPSERT) -> tuple[Sink, int]:
    sink = build_sink(context(dataset, write_mode=mode))
    claim = await sink.claim()
    await sink.prepare(SMALL)
    return sink, claim.number


async def refusal(dataset: RestIcebergDataset) -> ActionRequiredError:
    """Why a claim is refused."""
    sink = build_sink(context(dataset))
    with pytest.raises(ActionRequiredError) as caught:
        await sink.claim()
    await sink.close()
    assert SECRET not in str(caught.value)
    return caught.value


@MODES
async def test_rows_and_position_are_in_tables_of_the_catalogue(dataset: RestIcebergDataset, mode: WriteMode) -> None:
    await run_to_end([row(1), row(2)], context(dataset, write_mode=mode))
    await run_to_end([row(1), row(2), row(3)], context(dataset, run=2, write_mode=mode))
    assert dataset.read(SMALL, "rows", order="k") == rows_until(3)


@MODES
async def test_answers_that_are_lost_are_settled_by_what_is_there(
    dataset: RestIcebergDataset, guard: CatalogueGuard, mode: WriteMode
) -> None:
    """The commit arrives, but its answer does not: that of the ledger, then that of the table."""
    sink, number = await claimed(dataset, mode)
    for lost, table in enumerate(("_connector_checkpoints", "rows"), start=1):
        guard.lose_next("POST", f"tables/{table}")
        with pytest.raises(TransientError, match="does not answer"):
            await sink.write(Transaction(number + lost, (row(lost),), "list"))
        assert guard.lost == lost
        assert await sink.recover() == number + lost
    await sink.close()
    assert dataset.read(SMALL, "rows", order="k") == rows_until(2)


@MODES
async def test_a_gateway_that_asks_for_a_commit_again_loses_no_file(
    dataset: RestIcebergDataset, guard: CatalogueGuard, mode: WriteMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second answer is that somebody else has committed, and that was the first one: its files are the table's."""
    dataset.url += "&compactEvery=1&partitionBy=v"
    monkeypatch.setattr(tables, "time", SimpleNamespace(time=lambda: 10.0**10))  # each commit looks for small files
    monkeypatch.setattr(compaction, "LOOK_SECONDS", 0.0)
    sink, number = await claimed(dataset, mode)
    guard.asks_again = "/tables/rows"
    last = MANY_FILES + 2
    for turn in range(1, last + 1):
        changed = batch(SMALL, turn, (UPSERT, (turn, "a")), (UPSERT, (1 - turn % 2, f"turn {turn}")))
        await sink.write(Transaction(number + turn, (changed,), "list"))
    await sink.close()
    with dataset.table("rows") as table:
        said = [each.summary.operation.value for each in table.snapshots() if each.summary is not None]
    assert "replace" in said, "small files have become one"
    found = dataset.read(SMALL, "rows", order="k, v")
    if mode is WriteMode.UPSERT:
        others = [(0, f"turn {last - 1}"), (1, f"turn {last}")]
        assert found == [*others, *((number, "a") for number in range(2, last + 1))]
    else:
        assert len(found) == 2 * last


async def test_a_token_that_expires_is_renewed(dataset: RestIcebergDataset, guard: CatalogueGuard) -> None:
    sink, number = await claimed(dataset)
    guard.expire()
    await sink.write(Transaction(number + 1, (row(1),), "list"))
    await sink.close()
    assert dataset.read(SMALL, "rows") == rows_until(1)


async def test_wrong_credentials_and_rights_are_said(dataset: RestIcebergDataset, guard: CatalogueGuard) -> None:
    right = dataset.options
    for wrong in ({"credential": f"{CREDENTIAL}x"}, {"token": SECRET}):
        dataset.options = {"ssl.ca.pem": guard.authority, **wrong}
        assert (await refusal(dataset)).reason == "WrongCredentials"
    dataset.options = right
    guard.forbidden = "POST"
    assert (await refusal(dataset)).reason == "NotAllowed"


async def test_certificates_are_checked(dataset: RestIcebergDataset, guard: CatalogueGuard) -> None:
    del dataset.options["ssl.ca.pem"]
    error = await refusal(dataset)
    assert error.reason == "TlsProblem"
    assert "ssl.ca.pem" in str(error)


async def test_what_does_not_speak_tls_is_said(dataset: RestIcebergDataset) -> None:
    dataset.url = dataset.url.replace("http:", "https:")
    error = await refusal(dataset)
    assert error.reason == "TlsProblem"
    assert "does not speak TLS" in str(error)


async def test_a_catalogue_that_takes_overtaken_commits_is_refused(
    dataset: RestIcebergDataset, guard: CatalogueGuard
) -> None:
    guard.is_liar = True
    error = await refusal(dataset)
    assert error.reason == "InvalidDataset"
    assert "no longer there" in str(error)


async def test_tables_that_this_runner_does_not_see_are_refused(
    dataset: RestIcebergDataset, guard: CatalogueGuard
) -> None:
    guard.moved = (str(dataset.server.warehouse), "/somewhere/else")
    error = await refusal(dataset)
    assert error.reason == "InvalidDataset"
    assert "does not see" in str(error)


def examined(dataset: RestIcebergDataset) -> dict[str, Check]:
    examiner = build_examiner(context(dataset))
    try:
        return {check.name: check for check in examiner.examine({"test": SMALL})}
    finally:
        examiner.close()


async def test_a_check_says_what_a_run_would_find_and_writes_nothing(dataset: RestIcebergDataset) -> None:
    found = examined(dataset)
    assert "will be made" in found["table"].message
    assert found["rights"].result is Result.UNKNOWN
    with dataset.catalog() as catalog:
        assert (dataset.namespace,) not in catalog.list_namespaces()
    await run_to_end([row(1)], context(dataset))
    with dataset.table("rows") as table:
        before = table.metadata_location
    found = examined(dataset)
    assert "fits" in found["table"].message
    assert "belongs to this connector" in found["owner"].message
    with dataset.table("rows") as table:
        assert table.metadata_location == before


async def test_options_on_a_folder_are_refused(tmp_path: Path, dataset: RestIcebergDataset) -> None:
    dataset.url, dataset.options = "iceberg+sqlite:///lake", {"token": "x"}
    assert "options.token has no effect on a folder" in str(await refusal(dataset))


async def test_old_snapshots_are_forgotten_but_no_tag(dataset: RestIcebergDataset) -> None:
    dataset.url += "&keepSnapshots=3"
    await run_to_end([row(1)], context(dataset, write_mode=WriteMode.APPEND))
    with dataset.table("rows") as table:
        tagged = table.metadata.current_snapshot_id
        assert tagged is not None
        table.manage_snapshots().create_tag(tagged, "first").commit()
    await run_to_end(
        [row(number) for number in range(1, EVERY + 6)], context(dataset, run=2, write_mode=WriteMode.APPEND)
    )
    with dataset.table("rows") as table:
        assert len(table.snapshots()) <= 3 + 6
        assert table.scan(snapshot_id=tagged).to_arrow().num_rows == 1
        lists = {each.manifest_list.removeprefix("file://") for each in table.snapshots()}
        found = {str(path) for path in (dataset.root / "rows" / "metadata").glob("snap-*.avro")}
    assert found == lists, "manifest lists of forgotten snapshots are removed, and no others"
    assert dataset.read(SMALL, "rows", order="k") == rows_until(EVERY + 5)
