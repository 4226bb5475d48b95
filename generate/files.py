"""`make generate`: everything that follows from schemas and tables. `build_files` is pure but for pages with generated blocks."""

from __future__ import annotations

from pathlib import Path

from connector_operator.crds.files import build_crd_files
from connector_runner.protocols.types import PYTHON_FORM
from connector_runner.sinks.http.records import TYPES as HTTP
from connector_runner.sinks.postgresql.types import TYPES as POSTGRESQL
from connector_runner.sinks.sqlite.types import TYPES as SQLITE
from connector_runner.sources.coinbase.reference import fill_page as fill_coinbase_page
from connector_runner.sources.ethereum.reference import fill_page as fill_ethereum_page
from connector_runner.sources.mysql.reference import fill_page
from demo.document import README
from demo.document import fill_in as fill_in_story
from generate import operator_pages

ROOT = Path(__file__).parents[1]
PAGES_WITH_BLOCKS = ("reference-connector.md", "reference-dataset.md")


TYPES_HEAD = """# How a value is stored

Each value reaches the dataset exactly, or the whole row goes to the dead letters; never as a silently different value. Generated from
the code by `make generate`; property tests carry values of every kind into the datasets and back. A time finer than a microsecond is cut by its source, which keeps
the text beside it (COINBASE in the column `extra`).

| kind | in Python | SQLite | PostgreSQL | HTTP (JSON) |
|---|---|---|---|---|
"""


def build_types() -> str:
    """docs/types.md: every logical type, and what each sink makes of it."""
    rows = []
    for kind, form in PYTHON_FORM.items():
        declared, how = SQLITE[kind]
        column = POSTGRESQL[kind]
        stored = f"{column.name}: {column.note}"
        sent = ": ".join(HTTP[kind])
        rows.append(f"| {kind.value} | {form} | {declared}: {how} | {stored} | {sent} |")
    return TYPES_HEAD + "\n".join(rows) + "\n"


def build_files() -> dict[Path, str]:
    """Every generated file, with what should be in it."""
    files = {ROOT / "crds" / name: text for name, text in build_crd_files().items()}
    files[ROOT / "docs/states.md"] = operator_pages.build_states()
    files[ROOT / "docs/reasons.md"] = operator_pages.build_reasons()
    files[ROOT / "docs/settings.md"] = operator_pages.build_settings()
    files[ROOT / "docs/types.md"] = build_types()
    files[README] = fill_in_story(README.read_text(encoding="utf-8"))
    for name in PAGES_WITH_BLOCKS:
        page = ROOT / "docs" / name
        files[page] = operator_pages.fill_blocks(page.read_text(encoding="utf-8"))
    coinbase = ROOT / "docs/coinbase.md"
    files[coinbase] = fill_coinbase_page(coinbase.read_text(encoding="utf-8"))
    mysql = ROOT / "docs/mysql.md"
    files[mysql] = fill_page(mysql.read_text(encoding="utf-8"))
    ethereum = ROOT / "docs/ethereum.md"
    files[ethereum] = fill_ethereum_page(ethereum.read_text(encoding="utf-8"))
    return files


def main() -> None:
    """Writes what has changed."""
    for path, text in build_files().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
