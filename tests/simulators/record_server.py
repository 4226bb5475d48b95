"""A dataset that takes JSON arrays by POST as the Connectors API's do: keyed rows in memory, with faults on demand.

What it took is also kept record by record as it was written (`received`), for tests that compare texts and digits.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections.abc import Sequence
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

TOKEN = "a-secret-token"
_texts = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


class RecordServer:
    """Rows by key in `rows`; `faults` is the share of requests that meet one.

    Attributes:
        token: Requests with another one are refused.
        authorizations: The header of each request.
        keys: The idempotency keys in the order of the requests.
        received: (`duplicateKeyHandling`, members as JSON texts) of each record that was stored.
        times: When each request was handled, by the monotonic clock.
        busy: Seconds of the `Retry-After` that the next requests are answered with, one each.
        lose_answers: For this many requests the records are stored and the connection is cut.
        conflicts: So many requests with a known key are answered with 409, as by a server that still works on the first one.
        is_mute: Set when a request is stored, or just taken, and its answer held back (see `mute_after`).
    """

    def __init__(self, key: Sequence[str] = (), faults: float = 0.0, seed: int = 1) -> None:
        self.key = tuple(key)
        self.rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.history: list[dict[str, Any]] = []
        self.seen: set[str] = set()
        self.repeated = 0
        self.requests: list[dict[str, list[str]]] = []
        self.token = TOKEN
        self.authorizations: list[str | None] = []
        self.keys: list[str] = []
        self.received: list[tuple[str, dict[str, str]]] = []
        self.busy: list[float] = []
        self.lose_answers = 0
        self.conflicts = 0
        self.times: list[float] = []
        self.is_mute = threading.Event()
        self._answers_left: int | None = None
        self._may_answer = threading.Event()
        self._may_answer.set()
        self.faults = faults
        self.met: dict[str, int] = {}
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body are two writes

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.lock:
                    outer.times.append(time.monotonic())
                    outer.answer(self, body)

            def finish(self) -> None:
                with contextlib.suppress(OSError):  # whoever asked is gone
                    super().finish()

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/record/ws/data?token={TOKEN}"

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        self.requests.append(query)
        self.authorizations.append(handler.headers["Authorization"])
        self.keys.append(handler.headers["Idempotency-Key"])
        if query.get("token") != [self.token]:
            return self.reply(handler, 401, "no such token")
        if self.busy:
            return self.reply(handler, 429, "later", {"Retry-After": f"{self.busy.pop(0):.0f}"})
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
            if self.conflicts:
                self.conflicts -= 1
                return self.reply(handler, 409, "a request with this key is being processed")
        else:
            self.seen.add(key)
            handling = query["duplicateKeyHandling"][0]
            self.received += [
                (handling, {name: bytes(value).decode() for name, value in record.items()})
                for record in _texts.decode(body)
            ]
            for record in records:
                self.apply(record, handling)
        if self.lose_answers:
            self.lose_answers -= 1
            fault = "cut after"
        if fault == "cut after":
            return self.cut(handler)
        self._wait_while_mute()
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

    def mute_after(self, answers: int) -> None:
        """After this many responses, further requests are stored but not answered until `unmute`."""
        self.is_mute.clear()
        self._may_answer.clear()
        self._answers_left = answers

    def unmute(self) -> None:
        self._answers_left = None
        self._may_answer.set()

    def _wait_while_mute(self) -> None:
        if self._answers_left is None:
            return
        if self._answers_left > 0:
            self._answers_left -= 1
            return
        self.is_mute.set()
        self._may_answer.wait()

    def close(self) -> None:
        self.unmute()
        self.server.shutdown()
        self.server.server_close()
