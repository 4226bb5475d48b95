"""Every generated file: whole ones, and pages with generated blocks."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from connector_operator.crds.files import build_crd_files
from connector_runner.schemas.config import connector_types
from demo.document import build_walkthrough
from generate import dataset_pages, kind_pages, operator_pages
from generate.blocks import Blocks, fill

ROOT = Path(__file__).parents[1]


def build_files() -> dict[Path, str]:
    """Every generated file, with what should be in it."""
    pages = {ROOT / name: blocks for name, blocks in find_pages().items()}
    return {
        **{ROOT / "crds" / name: text for name, text in build_crd_files().items()},
        ROOT / "docs/states.md": operator_pages.build_states(),
        ROOT / "docs/reasons.md": operator_pages.build_reasons(),
        ROOT / "docs/settings.md": operator_pages.build_settings(),
        ROOT / "docs/types.md": dataset_pages.build_types(),
        **{page: fill(page.read_text(encoding="utf-8"), blocks) for page, blocks in pages.items()},
    }


def find_pages() -> dict[str, Blocks]:
    """The pages that have generated blocks, and what builds them. Each source says its own, in its module `reference`."""
    sources = [name.lower() for name in connector_types()]
    return {
        "README.md": {"story": build_walkthrough},
        **kind_pages.REFERENCE,
        "docs/http-api.md": kind_pages.HTTP_API,
        "docs/guarantees.md": dataset_pages.BLOCKS,
        **{
            f"docs/{source}.md": import_module(f"connector_runner.sources.{source}.reference").BLOCKS
            for source in sources
        },
    }


def main() -> None:
    """Writes what has changed."""
    for path, text in build_files().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
