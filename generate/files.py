"""Every generated file: whole ones, and pages with generated blocks."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from connector_operator.crds.files import build_crd_files
from connector_runner.schemas.config import connector_types
from demo.document import build_walkthrough
from generate import (
    dataset_pages,
    gitops_files,
    kind_pages,
    message_pages,
    metric_pages,
    net_pages,
    operator_pages,
    rights_pages,
    selection_pages,
)
from generate.blocks import BlockError, Blocks, build_block, fill
from generate.chart.files import build_chart_files, build_install
from generate.chart.values import describe_values
from generate.monitoring.alerts import build_rules
from generate.monitoring.dashboard import build_dashboard

ROOT = Path(__file__).parents[1]


def build_files() -> dict[Path, str]:
    """Every generated file, with its intended content."""
    pages = {ROOT / name: blocks for name, blocks in find_pages().items()}
    return {
        **{ROOT / "crds" / name: text for name, text in build_crd_files().items()},
        gitops_files.HEALTH.with_name("argocd-cm.yaml"): gitops_files.build_argo_cd(),
        ROOT / "manifests/install.yaml": build_install(),
        ROOT / "manifests/monitoring/rules.yaml": build_rules(),
        ROOT / "manifests/monitoring/dashboard.json": build_dashboard(),
        **build_chart_files(),
        ROOT / "docs/states.md": operator_pages.build_states(),
        ROOT / "docs/reasons.md": operator_pages.build_reasons(),
        ROOT / "docs/settings.md": operator_pages.build_settings(),
        ROOT / "docs/types.md": dataset_pages.build_types(),
        ROOT / "docs/dataset-options.md": dataset_pages.build_options(),
        **{page: fill_page(page, blocks) for page, blocks in pages.items()},
    }


def find_pages() -> dict[str, Blocks]:
    """The pages with generated blocks, and what builds them. Each source declares its own in its module `reference`."""
    sources = [name.lower() for name in connector_types()]
    return {
        "docs/demo.md": {"story": build_walkthrough},
        **kind_pages.REFERENCE,
        "docs/http-api.md": kind_pages.HTTP_API,
        "docs/install.md": {"values": describe_values},
        "docs/many-streams.md": selection_pages.BLOCKS,
        "docs/monitoring.md": metric_pages.BLOCKS,
        "docs/troubleshooting.md": message_pages.BLOCKS,
        "docs/security.md": rights_pages.BLOCKS,
        "docs/guarantees.md": dataset_pages.BLOCKS,
        "benchmarks/nets/README.md": net_pages.BLOCKS,
        "tests/fuzz/mysql/faults/README.md": net_pages.FAULT_BLOCKS,
        **{f"docs/{source}.md": find_blocks(source) for source in sources},
    }


def find_blocks(source: str) -> Blocks:
    """The functions that build the generated blocks of a source's page.

    Raises:
        BlockError: The source declares none.
    """
    module = f"connector_runner.sources.{source}.reference"
    blocks: Blocks | None = getattr(import_module(module), "BLOCKS", None) if find_spec(module) else None
    if blocks is None:
        raise BlockError(
            f"connector_runner/sources/{source}/reference.py has no BLOCKS; say there what builds the generated blocks of "
            f"docs/{source}.md, as in connector_runner/sources/coinbase/reference.py"
        )
    return blocks


def fill_page(page: Path, blocks: Blocks) -> str:
    """A handwritten page, with its blocks as they should be now.

    Raises:
        BlockError: There is no such page, or its markers and the blocks don't match; the message names the page.
    """
    name = page.relative_to(ROOT)
    if not page.exists():
        markers = " and ".join(f"`{line}`" for line in build_block(next(iter(blocks)), "").split("\n") if line)
        raise BlockError(f"there is no {name}; write it, with a pair of markers for each block, such as {markers}")
    try:
        return fill(page.read_text(encoding="utf-8"), blocks)
    except BlockError as error:
        raise BlockError(f"{name}: {error}") from None


def main() -> int:
    """Writes what has changed; returns 1 when a page or its builder is missing, with a sentence about it."""
    try:
        files = build_files()
    except BlockError as error:
        print(error, file=sys.stderr)
        return 1
    for path, text in files.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 0
