"""The whole way: source, pipeline and sink in a real process that is killed, as is the server; in the end all rows equal."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.mysql.conftest import VARIANTS, start, variants
from tests.integration.mysql.load import ALTERATIONS, KEYS, READER, Load, create_reader, create_table
from tests.integration.mysql.running import Runner
from tests.servers.mysqld import DatabaseServer
from tests.servers.postgresql import PostgresServer


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with PostgresServer() as server:
        yield server.url()


COLUMNS = "id, name, amount, note, seen"


def compare(server: DatabaseServer, runner: Runner, folder: Path, url: str) -> None:
    """Row by row with a plain copy of the table, made by FULL_TABLE into a dataset of the same kind."""
    witness = Runner(folder, server, "d.t", url, f"{runner.name}w{runner.starts}", mode="FULL_TABLE")
    witness.start()
    assert witness.wait() == 0, witness.output()
    wanted, found = witness.rows(COLUMNS), runner.rows(COLUMNS)
    differing = set(wanted) ^ set(found)
    assert not differing, f"{len(differing)} rows differ, such as {sorted(differing)[:4]}\n{runner.output()[-2000:]}"
    assert len(wanted) == len(found)


def batter(variant: str, url: str, folder: Path, *, rounds: int, seed: int) -> None:
    """Writers all the time; each round something is killed. At the end everything must be equal."""
    random_ = random.Random(seed)
    with start(variant) as server:
        server.execute("CREATE DATABASE d")
        create_table(server, "d", KEYS)
        create_reader(server)
        # A PostgreSQL is shared: a dataset that another server filled would be refused.
        name = re.sub("[^a-z0-9]", "", f"{variant}{seed}")
        runner = Runner(folder, server, "d.t", url, name, chunkRows=300, user=READER)
        runner.start()
        altered = 0
        with Load(server, "d", seed=seed) as load:
            for _ in range(rounds):
                runner.advance(random_.randrange(1, 5))
                match random_.choice(["runner", "runner", "rotate", "sessions", "server", "alter"]):
                    case "runner":
                        runner.kill()
                        runner.start()
                    case "rotate":
                        rotate(server)
                    case "sessions":
                        server.kill_sessions(READER)
                    case "alter" if VARIANTS[variant].has_names:
                        server.execute(ALTERATIONS[altered % len(ALTERATIONS)], database="d")
                        altered += 1
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


@pytest.mark.parametrize("variant", variants("mysql-gtids", "mariadb"))
def test_kills_lose_and_repeat_nothing_sqlite(variant: str, tmp_path: Path) -> None:
    batter(variant, "sqlite:///data.db", tmp_path, rounds=5, seed=3)


@pytest.mark.parametrize("variant", variants("mysql-files", "mariadb-compressed"))
def test_kills_lose_and_repeat_nothing_postgresql(variant: str, tmp_path: Path, postgres: str) -> None:
    batter(variant, postgres, tmp_path, rounds=5, seed=hash_of(variant))


def hash_of(variant: str) -> int:
    return sum(map(ord, variant))


@pytest.mark.fault
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("sink", ["sqlite", "postgresql"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_fifty_rounds(variant: str, sink: str, tmp_path: Path, postgres: str) -> None:
    url = "sqlite:///data.db" if sink == "sqlite" else postgres
    batter(variant, url, tmp_path, rounds=50, seed=hash_of(variant + sink))
