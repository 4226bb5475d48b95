"""An API server that answers what a test says, and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = tuple[int, Any]
"""The status, and a document or the bytes of a body."""


@dataclass
class Recorder:
    """What it was asked (`GET /path?query`), the bodies in the same order, and a kubeconfig that leads to it."""

    kubeconfig: str
    asked: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)


def refused(status: int, message: str, **details: str) -> Answer:
    """A refusal as the API server words it."""
    return status, {"kind": "Status", "status": "Failure", "message": message, "code": status, "details": details}


@contextmanager
def recording(folder: Path, answer: Callable[[str], Answer], namespace: str = "shop") -> Iterator[Recorder]:
    """Serves until the end of the block.

    Args:
        folder: Where the kubeconfig is written.
        answer: Of a request, `DELETE /path?query`.
        namespace: Of the kubeconfig's context.
    """

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            asked = f"{self.command} {self.path}"
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            recorder.asked.append(asked)
            recorder.bodies.append(json.loads(body) if body else None)
            status, document = answer(asked)
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    path = folder / "recorder.yaml"
    document = {
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
    }
    path.write_text(json.dumps(document))
    recorder = Recorder(str(path))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield recorder
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
