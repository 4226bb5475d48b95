"""A hook of mkdocs: what `make docs` changes between the pages of the repository and those of the site.

The repository's own documents (README, ARCHITECTURE, examples, benchmarks) are pages, too; links to files that are no page become their path, or
lead into the repository if the variable `REPOSITORY_URL` names it. A mermaid diagram becomes the picture that `make diagrams` drew of it, so
that a browser loads no program from elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PICTURES = "docs/images/diagrams"
BESIDE = "repository"
"""The site's folder for documents of the repository that are not below docs/."""
DIAGRAM = re.compile(r"```mermaid\n(.*?)```", flags=re.DOTALL)
_LINK = re.compile(r"(?P<start>!?\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\()(?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")
_CODE = re.compile(r"(```.*?```|`[^`\n]+`)", flags=re.DOTALL)


def documents() -> list[str]:
    """The documents that are not below docs/ and are pages of the site, as paths in the repository."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("examples/*/README.md"), *ROOT.glob("benchmarks/*/README.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def page_of(path: str) -> str:
    """Where a file of the repository stands in the site's source."""
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{BESIDE}/{path}"


def path_of(page: str) -> str:
    """The other way round."""
    return page.removeprefix(f"{BESIDE}/") if page.startswith(f"{BESIDE}/") else f"docs/{page}"


def picture_of(diagram: str) -> str:
    """The path of a diagram's picture; another diagram has another one.

    Args:
        diagram: What stands between the fences.
    """
    return f"{PICTURES}/{hashlib.sha256(diagram.encode()).hexdigest()[:12]}.svg"


def title_of(path: str) -> str:
    """The heading of a document, where the repository's own pages name the file instead."""
    return next(line[2:].strip() for line in (ROOT / path).read_text().splitlines() if line.startswith("# "))


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Adds the repository's documents; called by mkdocs."""
    for path in documents():
        files.append(File.generated(config, page_of(path), content=(ROOT / path).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page as the site shows it; called by mkdocs for each page."""
    return convert(markdown, path_of(page.file.src_uri), os.environ.get("REPOSITORY_URL", "").rstrip("/"))


def convert(markdown: str, path: str, repository: str) -> str:
    """A document with links and diagrams as the site needs them.

    Args:
        markdown: Its text.
        path: Its path in the repository.
        repository: Where files of the repository can be seen, such as `https://git.example.org/it/blob/main`; or empty.
    """

    def draw(found: re.Match[str]) -> str:
        kind = found[1].split(maxsplit=1)[0].removesuffix("-v2")
        picture = posixpath.relpath(page_of(picture_of(found[1])), posixpath.dirname(page_of(path)) or ".")
        return f"![A diagram ({kind}); its text is in {path}]({picture}){{ .diagram }}"

    def lead(found: re.Match[str]) -> str:
        return _lead(found, path, repository)

    parts = _CODE.split(markdown)
    # A link's text may hold code, so the code inside of links is put back before links are looked for.
    held: dict[str, str] = {}
    for number in range(1, len(parts), 2):
        key = f"\0{number}\0"
        held[key], parts[number] = parts[number], key
    text = _LINK.sub(lead, "".join(parts))
    return DIAGRAM.sub(draw, re.sub(r"\0\d+\0", lambda found: held[found[0]], text))


def _lead(found: re.Match[str], path: str, repository: str) -> str:
    target, anchor = found["target"], found["anchor"] or ""
    if "://" in target or target.startswith("mailto:"):
        return found[0]
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if place == "docs":
        place = "docs/README.md"
    elif (ROOT / place).is_dir() and f"{place}/README.md" in documents():
        place = f"{place}/README.md"
    if place in documents() or (place.startswith("docs/") and (ROOT / place).is_file()):
        page = posixpath.relpath(page_of(place), posixpath.dirname(page_of(path)) or ".")
        if found["text"].endswith(".md"):
            return f"[{title_of(place)}]({page}{anchor})"
        return f"{found['start']}{page}{anchor})"
    if not (ROOT / place).exists():
        return found[0]  # mkdocs refuses it
    if repository:
        return f"{found['start']}{repository}/{place}{anchor})"
    return f"{found['text']} (`{place}`)"
