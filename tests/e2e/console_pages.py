"""What tests of the console in Chromium share: a cluster without an operator, scripts in the browser, and a stagehand whom these can ask."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from demo.walk import ROOT
from tests.kit.http_api import CONNECTORS, SECRETS
from tests.localkube.build import ensure_binary
from tests.localkube.cluster import Image, LocalKube
from tests.localkube.plugin import default_images
from tests.servers.chromium import build_environment

FOLDER = Path(__file__).parent / "console"
NAMESPACE = "market-data"
PICTURES = ROOT / ".build" / "console"
"""Where a run leaves its pictures."""
RIGHTS = (
    CONNECTORS,
    SECRETS,
    ("events", ("list",)),
    ("pods", ("list",)),
    ("pods/log", ("get",)),
    ("jobs.batch", ("list", "create", "delete")),
    ("datasets.apperate.io", ("list",)),
)
"""Everything that the console can use."""


def run_in_browser(script: str, **environment: str) -> str:
    """Runs a script of the folder; returns what it printed."""
    command = ["node", str(FOLDER / script)]
    done = subprocess.run(
        command, env={**build_environment(), **environment}, capture_output=True, text=True, check=False, timeout=1500
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-6000:]
    return done.stdout


@contextmanager
def bare_cluster(folder: Path, **images: Image) -> Iterator[LocalKube]:
    """A cluster without an operator, with the definitions and a namespace: what a status says stays as it is written."""
    ensure_binary()
    local = LocalKube.start(folder / "cluster", {**default_images(), **images}, parent=os.getpid())
    try:
        local.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
        local.kubectl("wait", "--for=condition=Established", "crd/connectors.apperate.io", "--timeout=60s")
        local.kubectl("create", "namespace", NAMESPACE)
        yield local
    finally:
        local.stop()


@contextmanager
def stagehand(acts: Mapping[str, Callable[[], object]]) -> Iterator[str]:
    """The address to which a script sends `POST /ACT` to have something done outside of the browser; a text that it returns is the answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = acts[self.path.strip("/")]()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(said.encode() if isinstance(said, str) else b"")

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
