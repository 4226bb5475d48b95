"""`make generate`: everything that follows from schemas and tables. `build_files` is pure but for pages with generated blocks."""

from __future__ import annotations

from pathlib import Path

from connector_operator.crds.files import build_crd_files
from connector_runner.sources.coinbase.reference import fill_page as fill_coinbase_page
from connector_runner.sources.ethereum.reference import fill_page as fill_ethereum_page
from connector_runner.sources.mysql.reference import fill_page
from demo.document import README
from demo.document import fill_in as fill_in_story
from generate import dataset_pages, operator_pages

ROOT = Path(__file__).parents[1]
PAGES_WITH_BLOCKS = ("reference-connector.md", "reference-dataset.md")


def build_files() -> dict[Path, str]:
    """Every generated file, with what should be in it."""
    files = {ROOT / "crds" / name: text for name, text in build_crd_files().items()}
    files[ROOT / "docs/states.md"] = operator_pages.build_states()
    files[ROOT / "docs/reasons.md"] = operator_pages.build_reasons()
    files[ROOT / "docs/settings.md"] = operator_pages.build_settings()
    files[ROOT / "docs/types.md"] = dataset_pages.build_types()
    guarantees = ROOT / "docs/guarantees.md"
    files[guarantees] = dataset_pages.fill_guarantees(guarantees.read_text(encoding="utf-8"))
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
