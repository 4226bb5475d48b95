"""Schema registries: Apicurio from Maven, and a small one by the public protocol for tests that must be quick."""

from __future__ import annotations

import base64
import json
import subprocess
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.servers.fetch import once, run_client
from tests.servers.process import ServerProcess

VERSION = "3.0.9"
"""The newest one that runs on Java 17."""
JAVA = ["java", "-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
USER, PASSWORD, TOKEN = "ada", "registry-password-not-to-be-told", "registry-token-not-to-be-told"


def apicurio() -> Path:
    """The folder with the application; the first call fetches it."""
    return once(f"apicurio-{VERSION}", _fetch)


def _fetch(home: Path) -> None:
    artifact = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
    run_client(["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={home}"])
    archive = home / f"apicurio-registry-app-{VERSION}-all.tar.gz"
    with tarfile.open(archive) as packed:
        packed.extractall(home, filter="data")
    archive.unlink()


class Apicurio(ServerProcess):
    """A registry that keeps its schemas in memory; they are gone when it ends."""

    NOT_READY = (OSError,)

    def __init__(self) -> None:
        super().__init__("apicurio")
        self._jar = apicurio() / f"apicurio-registry-app-{VERSION}-runner.jar"
        self.url = f"http://{self.host}:{self.port}/apis/ccompat/v7"

    def command(self) -> Sequence[str | Path]:
        return [*JAVA, f"-Dquarkus.http.port={self.port}", f"-Dquarkus.http.host={self.host}", "-jar", self._jar]

    def spawn_options(self) -> dict[str, Any]:
        return {"stdin": subprocess.DEVNULL}

    def is_ready(self) -> bool:
        return isinstance(ask(self.url, "GET", "/subjects"), list)


def ask(url: str, method: str, path: str, body: Any = None) -> Any:
    """One request to a registry, as a tool of somebody else makes it."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    request = urllib.request.Request(url + path, data, headers, method=method)  # noqa: S310 - a server of a test
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        return json.load(answer)


class SmallRegistry:
    """What the tests need of the protocol, in memory: ids, versions and the compatibility of types.

    Attributes:
        url: Where it is.
        subjects: Subject → ids of its versions.
        schemas: Id → schema.
        secured: The value of the header Authorization that it wants; "" for none.
        answer: Status and body for all requests, if not the usual ones.
        frozen: Subjects that take no new version, or no first one.
    """

    def __init__(self, context: Any = None) -> None:
        self.subjects: dict[str, list[int]] = {}
        self.schemas: dict[int, str] = {}
        self.secured = ""
        self.answer: tuple[int, bytes] | None = None
        self.frozen: set[str] = set()
        self.asked = 0
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry._respond(self)

            def do_POST(self) -> None:
                registry._respond(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._handler = Handler
        self._context = context
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.start()
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listens, after a stop on the same port."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler)
        self._port = self._server.server_port
        if self._context is not None:
            self._server.socket = self._context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Refuses connections; forgets nothing."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> SmallRegistry:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def secure(self, *, token: bool = False) -> None:
        """From now on asks for credentials."""
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        self.secured = f"Bearer {TOKEN}" if token else f"Basic {pair}"

    def _respond(self, request: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if self.answer is not None:
            status, text = self.answer
        elif self.secured and request.headers.get("Authorization") != self.secured:
            status, text = 401, b'{"error_code":40101,"message":"Unauthorized"}'
        else:
            status, found = self._found(request.path, json.loads(body or b"{}"))
            text = json.dumps(found).encode()
        request.send_response(status)
        if 300 <= status < 400:
            request.send_header("Location", self.url)
        request.send_header("Content-Length", str(len(text)))
        request.end_headers()
        request.wfile.write(text)

    def _found(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        match path.partition("?")[0].strip("/").split("/"):
            case ["schemas", "ids", number]:
                schema = self.schemas.get(int(number))
                return (200, {"schema": schema}) if schema else (404, _error(40403, "Schema not found"))
            case ["subjects", subject, "versions"]:
                return self._register(subject, body["schema"])
            case ["subjects", subject]:
                known = self._number(subject, body["schema"])
                return (404, _error(40403, "Schema not found")) if known is None else (200, {"id": known})
            case ["compatibility", "subjects", subject, "versions", "latest"]:
                if subject not in self.subjects:
                    return 404, _error(40401, "Subject not found")
                refused = self._refusals(subject, body["schema"])
                return 200, {"is_compatible": not refused, "messages": refused}
        return 404, {"message": "HTTP 404 Not Found"}

    def _number(self, subject: str, schema: str) -> int | None:
        return next((each for each in self.subjects.get(subject, []) if self.schemas[each] == schema), None)

    def _register(self, subject: str, schema: str) -> tuple[int, dict[str, Any]]:
        number = self._number(subject, schema)
        if number is None:
            if refused := self._refusals(subject, schema):
                return 409, _error(409, "; ".join(refused))
            number = next((each for each, known in self.schemas.items() if known == schema), len(self.schemas) + 1)
            self.schemas[number] = schema
            self.subjects.setdefault(subject, []).append(number)
        return 200, {"id": number}

    def _refusals(self, subject: str, schema: str) -> list[str]:
        """Why a schema is not taken: fields whose type is another one than in the last version."""
        if subject in self.frozen:
            return [f"READER_FIELD_MISSING_DEFAULT_VALUE in {subject}"]
        if not self.subjects.get(subject):
            return []
        before = {
            field["name"]: field["type"] for field in json.loads(self.schemas[self.subjects[subject][-1]])["fields"]
        }
        fields = json.loads(schema)["fields"]
        return [f"TYPE_MISMATCH at {f['name']}" for f in fields if before.get(f["name"], f["type"]) != f["type"]]


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error_code": code, "message": message}
