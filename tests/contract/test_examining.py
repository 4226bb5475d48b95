"""`connector-runner check` on every dataset: it says what a run would find, and leaves the dataset as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import TopicPartition
from confluent_kafka.admin import OffsetSpec

from connector_runner.cli import main
from connector_runner.registry import can_examine
from tests.contract.sources import SOURCES, SourceCase
from tests.contract.worlds import Servers
from tests.kit.datasets import Dataset, HttpDataset, PostgresDataset, SqliteDataset
from tests.kit.kafka_dataset import KafkaDataset
from tests.scripted.process import write_manifest
from tests.scripted.source import TestRegistry
from tests.servers.ports import free_port

CONFIG = {"batches": 6, "rows": 4, "seed": 3}
# As many tables as a test may have; every row with the transaction that wrote it and its place.
TABLES = "SELECT relname, relkind::text, relfilenode::bigint FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"


@dataclass
class Checked:
    """What a check has printed and with which code it ended."""

    code: int
    document: dict[str, Any]

    def found(self, part: str, name: str) -> list[dict[str, Any]]:
        return [one for one in self.document["checks"] if (one["part"], one["check"]) == (part, name)]

    @property
    def failures(self) -> list[tuple[str, str, str]]:
        checks = self.document["checks"]
        return [(one["part"], one["check"], one["reason"]) for one in checks if one["result"] == "failed"]


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, dataset: Dataset) -> Command:
    """Runs a command by hand, in the dataset's folder; returns its exit code and what it printed."""
    monkeypatch.setenv("CONNECTOR_DATA_DIR", str(dataset.directory))

    def run(name: str, manifest: Path, *options: str) -> tuple[int, str]:
        code = main([name, "-f", str(manifest), *options], TestRegistry())
        return code, capsys.readouterr().out

    return run


@pytest.fixture
def check(command: Command) -> Callable[[Path], Checked]:
    def run(manifest: Path) -> Checked:
        code, printed = command("check", manifest, "-o", "json")
        document = json.loads(printed)
        assert document["exitCode"] == code
        return Checked(code, document)

    return run


Check = Callable[[Path], Checked]


@pytest.fixture
def manifest(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_manifest(tmp_path_factory.mktemp("manifest") / "m.yaml", dataset.url, CONFIG, stream="upserts")


def renamed(manifest: Path, name: str) -> Path:
    """The same as another connector."""
    documents = list(yaml.safe_load_all(manifest.read_text()))
    documents[0]["metadata"]["name"] = name
    other = manifest.with_name(f"{name}.yaml")
    other.write_text(yaml.safe_dump_all(documents))
    return other


def state(dataset: Dataset) -> Any:
    """Everything that a write would change."""
    if isinstance(dataset, PostgresDataset):
        found = dataset.query(TABLES)
        rows = {
            name: dataset.query(f'SELECT xmin::text, ctid::text, t::text FROM "{name}" AS t ORDER BY ctid')
            for name, kind, _ in found
            if kind == "r"
        }
        return found, rows
    if isinstance(dataset, KafkaDataset):
        names = dataset.topics.names()
        places = [TopicPartition(name, each) for name, count in names.items() for each in range(count)]
        if not places:
            return names, {}
        admin = dataset.server.admin()
        asked = admin.list_offsets({place: OffsetSpec.latest() for place in places})  # type: ignore[no-untyped-call]
        return names, {(place.topic, place.partition): answer.result(30).offset for place, answer in asked.items()}
    files = {str(path): path.read_bytes() for path in sorted(dataset.directory.rglob("*")) if path.is_file()}
    return files, len(dataset.server.received) if isinstance(dataset, HttpDataset) else 0


def test_a_fresh_dataset_is_said_to_work_and_stays_empty(dataset: Dataset, manifest: Path, check: Check) -> None:
    before = state(dataset)
    checked = check(manifest)
    assert (checked.code, checked.failures) == (0, [])
    assert state(dataset) == before
    assert [one["result"] for one in checked.found("source", "streams")] == ["ok"]
    if not can_examine(dataset.url):
        assert [one["result"] for one in checked.found("dataset", "reachable")] == ["unknown"]
    elif not isinstance(dataset, HttpDataset):
        assert "will be made" in checked.found("dataset", "table")[0]["message"]


def test_a_dataset_in_use_is_looked_at_without_a_trace(
    dataset: Dataset, manifest: Path, command: Command, check: Check
) -> None:
    assert command("run", manifest)[0] == 0
    before = state(dataset)
    checked = check(manifest)
    assert (checked.code, checked.failures) == (0, [])
    if can_examine(dataset.url):
        assert "belongs to this connector" in checked.found("dataset", "owner")[0]["message"]
        assert "position in the dataset" in checked.found("source", "readable")[0]["message"]
    assert state(dataset) == before


@pytest.mark.needs_transaction
def test_another_owner_is_named_and_may_be_taken_over(
    dataset: Dataset, manifest: Path, command: Command, check: Check
) -> None:
    """Not over HTTP: that ledger lies beside each runner, so nobody else's is in it."""
    assert command("run", manifest)[0] == 0
    before = state(dataset)
    other = renamed(manifest, "other")
    if not can_examine(dataset.url):
        assert check(other).failures == []  # it is unknown, and said so
        return
    checked = check(other)
    assert (checked.code, checked.failures) == (78, [("dataset", "owner", "SchemaConflict")])
    assert "connector default/test, with epoch 1" in checked.found("dataset", "owner")[0]["message"]
    documents = list(yaml.safe_load_all(other.read_text()))
    documents[0]["spec"]["takeOver"] = {"connector": "default/test", "epoch": 1}
    other.write_text(yaml.safe_dump_all(documents))
    taken = check(other)
    assert (taken.code, taken.failures) == (0, [])
    assert "is taken over from connector default/test" in taken.found("dataset", "owner")[0]["message"]
    assert state(dataset) == before


@pytest.mark.needs_tables
def test_a_table_that_does_not_fit_is_said_as_a_run_would(
    dataset: Dataset, manifest: Path, command: Command, check: Check
) -> None:
    dataset.execute("CREATE TABLE rows (book text PRIMARY KEY, mine text)")
    before = state(dataset)
    checked = check(manifest)
    assert (checked.code, checked.failures) == (78, [("dataset", "table", "SchemaConflict")])
    assert "column id" in checked.found("dataset", "table")[0]["message"]
    assert state(dataset) == before
    assert command("run", manifest)[0] == 78


@pytest.mark.needs_tables
def test_what_does_not_answer_may_answer_later(
    dataset: Dataset, manifest: Path, tmp_path: Path, command: Command, check: Check
) -> None:
    """An SQLite file whose folder is missing needs a person; a server may only be away."""
    is_file = isinstance(dataset, SqliteDataset)
    url = f"sqlite:////{tmp_path}/missing/rows.db" if is_file else f"postgresql://127.0.0.1:{free_port()}/x"
    write_manifest(manifest, url, CONFIG, stream="upserts")
    expected = 78 if is_file else 1
    checked = check(manifest)
    assert (checked.code, checked.failures) == (expected, [("dataset", "reachable", "DatasetUnavailable")])
    assert [one["result"] for one in checked.found("source", "readable")] == ["ok"], "the source is asked all the same"


@pytest.mark.needs_tables
def test_a_stream_that_does_not_exist(dataset: Dataset, manifest: Path, check: Check) -> None:
    write_manifest(manifest, dataset.url, CONFIG, stream="absent")
    before = state(dataset)
    checked = check(manifest)
    assert (checked.code, checked.failures) == (78, [("source", "streams", "UnknownStream")])
    assert state(dataset) == before


@pytest.mark.needs_tables
def test_the_table_for_people(dataset: Dataset, manifest: Path, command: Command) -> None:
    code, printed = command("check", manifest)
    lines = printed.splitlines()
    assert (code, lines[0].split()) == (0, ["PART", "CHECK", "RESULT", "FOUND"])
    assert lines[-1].endswith(": a run would start")
    write_manifest(manifest, dataset.url, CONFIG, stream="absent")
    code, printed = command("check", manifest)
    assert (code, printed.splitlines()[-1].endswith("would not start, or would leave streams out")) == (78, True)
    assert "(UnknownStream)" in printed


@pytest.mark.needs_tables
def test_a_manifest_with_problems_is_one_failed_check(dataset: Dataset, manifest: Path, check: Check) -> None:
    manifest.write_text(manifest.read_text().replace("connectorType: SCRIPTED", "connectorType: 5"))
    checked = check(manifest)
    assert (checked.code, [one[:2] for one in checked.failures]) == (78, [("manifest", "manifest")])


CHECKED = [case for case in SOURCES if str(case) in ("coinbase-matches", "ethereum-blocks", "mysql-mysql-LOG_BASED")]


@pytest.mark.parametrize("case", CHECKED, ids=str)
def test_a_check_leaves_the_source_as_it_is(
    case: SourceCase, servers: Servers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By hand; a configuration that can't work is refused as by a run."""
    world = case.world(servers)

    def check(**changes: Any) -> tuple[int, dict[str, Any]]:
        manifest = write_manifest(
            tmp_path / "m.yaml", f"sqlite:////{tmp_path}/rows.db", {**world.config, **changes}, stream=world.stream
        )
        manifest.write_text(manifest.read_text().replace("SCRIPTED", case.connector_type))
        code = main(["check", "-f", str(manifest), "-o", "json"], TestRegistry())
        return code, json.loads(capsys.readouterr().out)

    before = world.state()
    code, found = check()
    assert (code, found["result"]) == (0, "ok"), found
    assert {one["check"] for one in found["checks"] if one["part"] == "source"} == {"reachable", "streams", "readable"}
    assert world.state() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.yaml"]
    code, found = check(**world.refused[0])
    assert (code, found["checks"][0]["part"], found["checks"][0]["result"]) == (78, "source", "failed")
