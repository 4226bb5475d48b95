"""ethereum-etl 2.4.2 in its own environment: an independent exporter to compare rows and speed with."""

from __future__ import annotations

import csv
import subprocess
import venv
from pathlib import Path

from tests.servers.fetch import once

VERSION = "2.4.2"


def ethereum_etl() -> Path:
    """The program; the first call installs it."""
    return _environment() / "ethereumetl"


def python() -> Path:
    """The interpreter that can import it and what its PostgreSQL exporter needs."""
    return _environment() / "python"


def _environment() -> Path:
    return once(f"ethereum-etl-{VERSION}-postgresql", _install) / "venv" / "bin"


def _install(home: Path) -> None:
    venv.create(home / "venv", with_pip=True)
    pip = [str(home / "venv" / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, f"ethereum-etl=={VERSION}", "setuptools<81", "sqlalchemy==1.4.54", "pg8000==1.16.6"],
        check=True,
        capture_output=True,
    )
    # The versions that it pins do not run on Python 3.11.
    subprocess.run([*pip, "--no-deps", "--upgrade", "parsimonious==0.10.0", "regex"], check=True, capture_output=True)


def export_blocks(url: str, first: int, last: int, folder: Path) -> tuple[Path, Path]:
    """Exports CSV files of blocks and of transactions."""
    blocks, transactions = folder / "blocks.csv", folder / "transactions.csv"
    subprocess.run(
        [ethereum_etl(), "export_blocks_and_transactions", "-s", str(first), "-e", str(last), "-p", url,
         "--blocks-output", blocks, "--transactions-output", transactions],
        check=True, capture_output=True,
    )  # fmt: skip
    return blocks, transactions


def export_receipts(url: str, hashes: list[str], folder: Path) -> tuple[Path, Path]:
    """Exports CSV files of receipts and of logs."""
    wanted, receipts, logs = folder / "hashes.txt", folder / "receipts.csv", folder / "logs.csv"
    wanted.write_text("\n".join(hashes) + "\n")
    subprocess.run(
        [ethereum_etl(), "export_receipts_and_logs", "--transaction-hashes", wanted, "-p", url,
         "--receipts-output", receipts, "--logs-output", logs],
        check=True, capture_output=True,
    )  # fmt: skip
    return receipts, logs


def read(path: Path) -> list[dict[str, str]]:
    csv.field_size_limit(2**30)
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
