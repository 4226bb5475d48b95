"""Fills fresh datasets with `EARLIER` and writes them down as SQL: how the files of this folder were made.

They are to come from the earlier build, so this is run there: `git worktree add ../earlier 49d065b`, copy `stream.py` and this file
into its `tests/integration/sinks/earlier`, and there `python -m tests.integration.sinks.earlier.write FOLDER`.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_inspector
from tests.integration.sinks.earlier.stream import EARLIER
from tests.kit.datasets import Dataset, HttpDataset, PostgresDataset, SqliteDataset
from tests.kit.pipeline import context, run_to_end
from tests.servers.postgresql import PostgresServer, postgresql


def fill(dataset: Dataset, *, has_tables: bool) -> None:
    """By key into `rows`, as a history into `history`, and into `again`, whose checkpoint is reset afterwards."""
    asyncio.run(run_to_end(EARLIER, context(dataset)))
    if has_tables:
        asyncio.run(run_to_end(EARLIER, context(dataset, "history", write_mode=WriteMode.APPEND)))
        asyncio.run(run_to_end(EARLIER[:1], context(dataset, "again")))
        inspector = build_inspector(context(dataset, "again"))
        inspector.reset_checkpoints()
        inspector.close()


def dump_sqlite(path: Path) -> str:
    connection = sqlite3.connect(path)
    text = "\n".join(connection.iterdump())
    connection.close()
    return text + "\n"


def dump_postgresql(server: PostgresServer, database: str) -> str:
    command = [
        str(postgresql() / "bin" / "pg_dump"),
        "--inserts",
        "--no-owner",
        "--no-privileges",
        server.url(database),
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kept = [
        line for line in text.splitlines() if line and not re.match(r"--|SET |SELECT pg_catalog.set_config|\\", line)
    ]
    return "\n".join(kept) + "\n"


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        sqlite = SqliteDataset(Path(scratch))
        fill(sqlite, has_tables=True)
        (folder / "sqlite.sql").write_text(dump_sqlite(sqlite.path))
    with tempfile.TemporaryDirectory() as scratch:
        http = HttpDataset(Path(scratch))
        fill(http, has_tables=False)
        (path,) = Path(scratch).glob("*.checkpoint.db")
        (folder / f"http-{path.stem}.sql").write_text(dump_sqlite(path))
        http.close()
    with PostgresServer() as server:
        server.start()
        dataset = PostgresDataset(server)
        fill(dataset, has_tables=True)
        (folder / "postgresql.sql").write_text(dump_postgresql(server, dataset.database))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
