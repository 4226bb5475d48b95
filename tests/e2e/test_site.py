"""The documentation's site in a real Chromium: each page on a telephone and on a screen, without a request to another host."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.site_diagrams import diagrams, draw
from tests.servers.chromium import build_environment

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / ".build" / "site-pictures"
"""Where the run leaves its pictures."""
pytestmark = [pytest.mark.fault, pytest.mark.timeout(1200)]


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: the tests look at the pages."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of the built site, and its pages."""
    folder = tmp_path / "site"
    subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)], cwd=ROOT, check=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.html") if path.name != "404.html")
    try:
        yield f"http://127.0.0.1:{server.server_port}", pages
    finally:
        server.shutdown()
        server.server_close()


def test_each_page_in_a_browser(site: tuple[str, list[str]]) -> None:
    address, pages = site
    environment = {
        **build_environment(),
        "API": address,
        "PAGES": json.dumps(pages),
        "PICTURES": str(PICTURES),
    }
    done = subprocess.run(
        ["node", str(Path(__file__).parent / "site/look.mjs")],
        env=environment, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-6000:]
    assert f"seen: {len(pages)} pages" in done.stdout


def test_the_pictures_are_what_mermaid_draws() -> None:
    """Words and boxes; places and sizes differ a little with the browser's fonts."""
    for path, svg in draw(diagrams()).items():
        kept = (ROOT / path).read_text()
        assert kept.count("<text") == svg.count("<text") > 3, f"{path}: run `make diagrams`"
        assert kept.count("<path") == svg.count("<path"), f"{path}: run `make diagrams`"
