"""`make diagrams`: draws the diagrams of the documents as pictures, so that the site's pages load no program for them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from generate.site import DIAGRAM, PICTURES, ROOT, documents, picture_of
from tests.servers.chromium import build_environment
from tests.servers.fetch import once, run_client

MERMAID = "mermaid@11.16.0"


def diagrams() -> dict[str, str]:
    """The text of each diagram in a page of the site, by its picture's path in the repository."""
    paths = [*(ROOT / path for path in documents()), *sorted((ROOT / "docs").rglob("*.md"))]
    return {picture_of(text): text for path in paths for text in DIAGRAM.findall(path.read_text())}


def draw(diagrams: dict[str, str]) -> dict[str, str]:
    """The SVG of each diagram, by the same key.

    Raises:
        RuntimeError: One has an error; the message is mermaid's.
    """
    texts = {path.rpartition("/")[2].removesuffix(".svg"): text for path, text in diagrams.items()}
    home = once(MERMAID.replace("@", "-"), _install)
    done = subprocess.run(
        ["node", str(Path(__file__).parent / "site/draw.mjs")], input=json.dumps(texts), text=True, capture_output=True,
        env={**build_environment(), "MERMAID": f"{home}/"}, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the diagrams were not drawn: {done.stderr}")
    return {f"{PICTURES}/{name}.svg": svg for name, svg in json.loads(done.stdout).items()}


def _install(home: Path) -> None:
    run_client(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(home), MERMAID]
    )


def main() -> int:
    """Writes the pictures, and removes those of diagrams that are gone."""
    drawn = draw(diagrams())
    for path in (ROOT / PICTURES).glob("*.svg"):
        path.unlink()
    for name, svg in drawn.items():
        (ROOT / name).write_text(svg + "\n")
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
