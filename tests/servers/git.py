"""A git server over HTTP: git's own `http-backend` behind Python's web server, on this machine alone."""

from __future__ import annotations

import gzip
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class GitServer:
    """One repository with the branch main, empty at first.

    Attributes:
        url: Where it is cloned from.
        tree: A working tree; `commit` sends what is in it.
    """

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree"
        repository = folder / "served" / "repository.git"
        self._git("init", "-q", "--bare", "-b", "main", str(repository), where=folder)
        self._git("init", "-q", "-b", "main", str(self.tree), where=folder)
        self._git("remote", "add", "origin", str(repository))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(repository.parent))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/{repository.name}"

    def __enter__(self) -> GitServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def commit(self, message: str) -> str:
        """Commits all that is in the tree, and pushes it; returns the commit."""
        self._git("add", "-A")
        self._git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", message)
        self._git("push", "-q", "origin", "main")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str, where: Path | None = None) -> str:
        done = subprocess.run(["git", *arguments], cwd=where or self.tree, check=True, capture_output=True, text=True)
        return done.stdout


def _handler(root: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing."""

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self._answer(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)

        def _answer(self, body: bytes) -> None:
            path, _, query = self.path.partition("?")
            environment = {
                **os.environ, "GIT_PROJECT_ROOT": str(root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
                "QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_LENGTH": str(len(body)),
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }  # fmt: skip
            done = subprocess.run(
                ["git", "http-backend"], input=body, env=environment, capture_output=True, check=False
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, text in fields.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler
