"""Many connectors at once in one folder of Delta tables: each is killed once in the midst of writing, and all are exact in the end."""

from __future__ import annotations

import json
import os
import random
import secrets
import time
from pathlib import Path

import pytest

from connector_runner.protocols.source import WriteMode
from connector_runner.schemas.outcome import ExitCode
from tests.integration.sinks.truth import HistoryTruth, Truth
from tests.kit.lake_dataset import LakeDataset
from tests.kit.waiting import wait_until
from tests.scripted.process import Runner, start_runner, write_manifest
from tests.scripted.script import SCHEMA, Script

pytestmark = pytest.mark.fault
CONNECTORS = 8
ENDLESS, MORE, ROWS = 1_000_000, 200, 8
SEED = int(os.environ.get("KILL_SEED", "0")) or secrets.randbelow(10**9) + 1


def positions(dataset: LakeDataset) -> dict[str, int]:
    """Connector → the position that it has committed."""
    try:
        rows = dataset.query("SELECT connector, position FROM _connector_checkpoints")
    except Exception:  # not made yet
        return {}
    return {name: int(json.loads(position)["next"]) for name, position in rows if position}


def mode_of(number: int) -> WriteMode:
    return list(WriteMode)[number % 2]


def start(folder: Path, dataset: LakeDataset, number: int, batches: int) -> Runner:
    config = {"seed": SEED + number, "batches": batches, "rows": ROWS, "pauseMs": 20}
    path = write_manifest(
        folder / f"run-{number}.yaml", dataset.url, config, write_mode=mode_of(number).value, table=f"rows_{number}", name=f"c{number}"
    )  # fmt: skip
    return start_runner(path)


def assert_exact(dataset: LakeDataset, number: int, last: int) -> None:
    script, table = Script(seed=SEED + number, batches=last, rows=ROWS), f"rows_{number}"
    if mode_of(number) is WriteMode.APPEND:
        found = dataset.read(SCHEMA, table, ["_op"], order="_id")
        assert [(row[:-1], row[-1]) for row in found] == HistoryTruth(script).since(last)
    else:
        expected = Truth(script).at(last)
        found = dataset.read(SCHEMA, table)
        assert len(found) == len(expected)
        assert {row[:2]: row for row in found} == expected
    assert dataset.query(f"SELECT count(*) FROM {table}_incidents") == [(script.incidents(last),)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("options", ["commitEvery=1", "commitEvery=1&partitionBy=book"])
def test_eight_connectors_that_are_killed_once_each(tmp_path: Path, options: str) -> None:
    print(f"seed {SEED} (repeat with KILL_SEED={SEED})")
    random_, dataset = random.Random(SEED), LakeDataset(tmp_path, options)
    runners = [start(tmp_path, dataset, number, ENDLESS) for number in range(CONNECTORS)]
    ends = dict[str, int]()
    for number in random_.sample(range(CONNECTORS), CONNECTORS):
        name = f"default/c{number}"
        wait_until(lambda name=name: positions(dataset).get(name, 0) > 0, f"{name} commits", 300)  # type: ignore[misc]
        time.sleep(random_.uniform(0.0, 1.0))
        runners[number].kill()
        ends[name] = positions(dataset)[name] + MORE
        runners[number] = start(tmp_path, dataset, number, ends[name])
    for runner in runners:
        assert runner.wait(300) == ExitCode.END_OF_STREAM, runner.text()[-2000:]
    assert positions(dataset) == ends
    for number in range(CONNECTORS):
        assert_exact(dataset, number, ends[f"default/c{number}"])
