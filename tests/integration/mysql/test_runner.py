"""The whole way: source, pipeline and sink in a real process that is killed, as is the server; in the end all rows equal."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.mysql.conftest import start
from tests.integration.mysql.load import KEYS, Load, create_table
from tests.integration.mysql.running import Runner
from tests.servers.mysqld import DatabaseServer
from tests.servers.postgresql import PostgresServer


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with PostgresServer() as server:
        yield server.url()


def compare(server: DatabaseServer, runner: Runner, folder: Path, url: str) -> None:
    """Row by row with a plain copy of the table, made by FULL_TABLE into a dataset of the same kind."""
    witness = Runner(folder, server, "d.t", url, f"{runner.name}w{runner.starts}", mode="FULL_TABLE")
    witness.start()
    assert witness.wait() == 0, witness.output()
    wanted, found = witness.rows(), runner.rows()
    differing = set(wanted) ^ set(found)
    assert not differing, f"{len(differing)} rows differ, such as {sorted(differing)[:4]}\n{runner.output()[-2000:]}"
    assert len(wanted) == len(found)


def batter(variant: str, url: str, folder: Path, *, rounds: int, seed: int) -> None:
    """Writers all the time; each round something is killed. At the end everything must be equal."""
    random_ = random.Random(seed)
    with start(variant) as server:
        server.execute("CREATE DATABASE d")
        create_table(server, "d", KEYS)
        runner = Runner(folder, server, "d.t", url, f"k{seed}", chunkRows=300)
        runner.start()
        with Load(server, "d", seed=seed) as load:
            for _ in range(rounds):
                time.sleep(random_.uniform(0.3, 1.2))
                match random_.choice(["runner", "runner", "rotate", "sessions", "server"]):
                    case "runner":
                        runner.kill()
                        runner.start()
                    case "rotate":
                        rotate(server)
                    case "sessions":
                        kill_sessions(server)
                    case "server":
                        server.kill()
                        server.start()
            load.stop()
        server.execute(f"REPLACE INTO d.t (id, name) VALUES ({KEYS + 1}, 'the end')")
        runner.until(
            lambda: runner.is_complete() and runner.ask(f'SELECT 1 FROM "{runner.name}" WHERE id = {KEYS + 1}') != []
        )
        assert runner.kill(15) == 143  # type: ignore[arg-type]
        compare(server, runner, folder, url)


def rotate(server: DatabaseServer) -> None:
    server.execute("FLUSH BINARY LOGS")


def kill_sessions(server: DatabaseServer) -> None:
    for (number,) in server.query("SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'"):
        server.execute(f"KILL {number}")


@pytest.mark.parametrize("variant", ["mysql-gtids", "mariadb"])
def test_kills_lose_and_repeat_nothing_sqlite(variant: str, tmp_path: Path) -> None:
    batter(variant, "sqlite:///data.db", tmp_path, rounds=5, seed=3)


@pytest.mark.parametrize("variant", ["mysql-files", "mariadb-compressed"])
def test_kills_lose_and_repeat_nothing_postgresql(variant: str, tmp_path: Path, postgres: str) -> None:
    batter(variant, postgres, tmp_path, rounds=5, seed=hash_of(variant))


def hash_of(variant: str) -> int:
    return sum(map(ord, variant))


@pytest.mark.fault
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("sink", ["sqlite", "postgresql"])
@pytest.mark.parametrize("seed", range(5))
def test_fifty_rounds(variant: str, sink: str, seed: int, tmp_path: Path, postgres: str) -> None:
    batter(variant, "sqlite:///data.db" if sink == "sqlite" else postgres, tmp_path, rounds=50, seed=1000 + seed)
