"""A dataset that takes JSON arrays by POST as the Connectors API's do: keyed rows in memory, with faults on demand."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Sequence
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "a-secret-token"


class RecordServer:
    """Rows by key in `rows`; `faults` is the share of requests that meet one."""

    def __init__(self, key: Sequence[str], faults: float = 0.0, seed: int = 1) -> None:
        self.key = tuple(key)
        self.rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.history: list[dict[str, Any]] = []
        self.seen: set[str] = set()
        self.repeated = 0
        self.requests: list[dict[str, list[str]]] = []
        self.faults = faults
        self.met: dict[str, int] = {}
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.lock:
                    outer.answer(self, body)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/record/ws/data?token={TOKEN}"

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        self.requests.append(query)
        if query.get("token") != [TOKEN]:
            return self.reply(handler, 401, "no such token")
        fault = ""
        if self.random.random() < self.faults:
            fault = self.random.choice(["429", "503", "cut before", "cut after"])
            self.met[fault] = self.met.get(fault, 0) + 1
        if fault in {"429", "503"}:
            return self.reply(handler, int(fault), "later", {"Retry-After": "0"})
        if fault == "cut before":
            return self.cut(handler)
        records = json.loads(body, parse_float=Decimal)
        if any(record.get("note") == "refuse me" for record in records):
            return self.reply(handler, 422, "a record is not valid")
        key = handler.headers["Idempotency-Key"]
        if key in self.seen:
            self.repeated += 1
        else:
            self.seen.add(key)
            for record in records:
                self.apply(record, query["duplicateKeyHandling"][0])
        if fault == "cut after":
            return self.cut(handler)
        return self.reply(handler, 200, "", {}, {"success": True, "message": f"wrote {len(records)} messages"})

    def apply(self, record: dict[str, Any], handling: str) -> None:
        self.history.append(record)
        operation = record.pop("_op", "upsert")
        key = tuple(record[name] for name in self.key if name in record)
        if operation == "replace":
            self.rows = {at: row for at, row in self.rows.items() if at[: len(key)] != key}
        elif operation == "delete":
            self.rows.pop(key, None)
        elif handling == "replace" or key not in self.rows:
            self.rows[key] = record

    @staticmethod
    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.connection.shutdown(2)

    @staticmethod
    def reply(
        handler: BaseHTTPRequestHandler,
        status: int,
        text: str,
        headers: dict[str, str] | None = None,
        answer: object = None,
    ) -> None:
        body = json.dumps(answer or {"success": False, "message": text}).encode()
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
