"""The documentation as a site: every page is in it, no link is broken, and a browser needs no other host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from generate.site import BESIDE, DIAGRAM, PICTURES, convert, documents, picture_of

ROOT = Path(__file__).parents[3]
LOADED = (
    r"<(?:script|img|iframe|source|embed)\b[^>]*\s(?:src|srcset)=[\"']?((?:https?:)?//[^\"'\s>]+)",
    r"<link\b(?![^>]*\brel=[\"']?canonical)[^>]*\shref=[\"']?((?:https?:)?//[^\"'\s>]+)",
    r"url\(\s*[\"']?((?:https?:)?//[^\"')\s]+)",
    r"@import\s+[\"']((?:https?:)?//[^\"']+)",
)
"""What makes a browser ask another host, in pages, styles and pictures."""


def loaded(text: str) -> list[str]:
    """The addresses of other hosts that a browser asks by itself when it shows this."""
    return [address for pattern in LOADED for address in re.findall(pattern, text)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def build(root: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    # Not --quiet: then --strict counts no warnings, and nothing fails.
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=root, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_document_is_a_page(site: Path) -> None:
    pages = {str(path.relative_to(site)) for path in site.rglob("*.html")}
    wanted = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    wanted |= {f"{BESIDE}/{path}" for path in documents()}
    assert len(wanted) > 50
    assert {
        re.sub(r"(README)?\.md$", lambda end: "index.html" if end[1] else ".html", path) for path in wanted
    } <= pages


def test_no_page_makes_a_browser_ask_another_host(site: Path) -> None:
    looked = 0
    for path in site.rglob("*"):
        if path.suffix in {".html", ".css", ".svg"}:
            assert loaded(path.read_text()) == [], path.relative_to(site)
            looked += 1
        if path.suffix == ".html":
            # The theme's program would load mermaid and the repository's figures for these.
            assert not re.search(r'class="?[^">]*\bmermaid\b|data-md-component="?source\b', path.read_text()), path
    assert looked > 50


@pytest.mark.parametrize(
    "text",
    [
        '<script async src="https://unpkg.com/mermaid@11/dist/mermaid.min.js"></script>',
        "<link rel=preconnect href=//fonts.gstatic.com crossorigin>",
        "body { background: url(https://elsewhere.example/a.png) }",
        "<img alt=x src='http://elsewhere.example/a.png'>",
    ],
)
def test_such_a_request_is_seen(text: str) -> None:
    assert len(loaded(text)) == 1


def test_each_diagram_has_its_picture() -> None:
    wanted = {
        picture_of(text)
        for path in [*(ROOT / name for name in documents()), *(ROOT / "docs").rglob("*.md")]
        for text in DIAGRAM.findall(path.read_text())
    }
    there = {f"{PICTURES}/{path.name}" for path in (ROOT / PICTURES).glob("*")}
    assert len(wanted) > 3
    assert there == wanted, "run `make diagrams`"


@pytest.mark.parametrize(
    ("markdown", "path", "wanted"),
    [
        ("[the README](../README.md#by-hand)", "docs/walk.md", "[the README](repository/README.md#by-hand)"),
        ("[docs](docs/README.md)", "README.md", "[docs](../README.md)"),
        ("[x](docs/no.md)", "README.md", "[x](docs/no.md)"),
        ("![x](docs/images/console-fleet.png)", "README.md", "![x](../images/console-fleet.png)"),
        ("[`rules.yaml`](../manifests/monitoring/rules.yaml)", "docs/monitoring.md", "`rules.yaml` (`manifests/monitoring/rules.yaml`)"),
        ("`[x](../no.md)` and [a](https://example.org/b)", "docs/walk.md", "`[x](../no.md)` and [a](https://example.org/b)"),
        ("[states.md](states.md)", "docs/README.md", "[States: the whole behaviour](states.md)"),
        ("[how](../examples/mysql)", "docs/mysql.md", "[how](repository/examples/mysql/README.md)"),
    ],
)  # fmt: skip
def test_links_lead_to_pages_or_name_the_file(markdown: str, path: str, wanted: str) -> None:
    assert convert(markdown, path, "") == wanted


def test_links_lead_into_the_repository_where_one_is_named() -> None:
    said = convert(
        "[rules](../manifests/monitoring/rules.yaml#L3)", "docs/monitoring.md", "https://git.example.org/it/blob/main"
    )
    assert said == "[rules](https://git.example.org/it/blob/main/manifests/monitoring/rules.yaml#L3)"


@pytest.mark.parametrize(
    "fault", ["[a](settings.md#no-such-heading)", "[a](no-such-page.md)", "![a](images/no.png)", ""]
)
def test_a_broken_link_fails_the_build(fault: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text(f"# A\n\n{fault}\n")
    (tmp_path / "docs/settings.md").write_text("# Settings\n")
    text = (ROOT / "mkdocs.yml").read_text().partition("nav:\n  -")[0]
    (tmp_path / "mkdocs.yml").write_text(re.sub(r"hooks:.*|extra_css:.*", "", text))
    done = build(tmp_path, tmp_path / "site")
    assert (done.returncode != 0) is bool(fault), done.stderr
