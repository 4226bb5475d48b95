"""Backfill of full blocks with the default configuration: what is requested ahead, and how large responses and batches become."""

import json
from typing import Any

import pytest
from aiohttp import web

from benchmarks.ethereum.canned import Canned, block_number
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.source import SourceContext, WriteMode
from connector_runner.sources.ethereum import build_source
from connector_runner.sources.ethereum.endpoints.limits import RANGE_BYTES
from connector_runner.sources.ethereum.fetch.prefetch import BATCH_BYTES, READ_AHEAD_BYTES
from tests.integration.ethereum.running import checked

BLOCKS = 400
ROWS = {"transactions": 200, "logs": 400, "receipts": 200}


class Counted:
    """A canned node that notes how much it answers before it is taken up."""

    def __init__(self) -> None:
        self.canned = Canned(BLOCKS)
        self.answered = self.taken = self.most_ahead = self.largest_logs = 0

    async def handle(self, request: web.Request) -> web.Response:
        calls = await request.json()
        bodies = [self._answer(call) for call in (calls if isinstance(calls, list) else [calls])]
        whole = b"[" + b",".join(bodies) + b"]" if isinstance(calls, list) else bodies[0]
        self.answered += len(whole)
        self.most_ahead = max(self.most_ahead, self.answered - self.taken)
        return web.Response(body=whole, content_type="application/json")

    def _answer(self, call: dict[str, Any]) -> bytes:
        found = self.canned.answer(call["method"], call["params"])
        if call["method"] == "eth_getLogs":
            self.largest_logs = max(self.largest_logs, len(found))
        return b'{"jsonrpc":"2.0","id":' + json.dumps(call["id"]).encode() + b',"result":' + found + b"}"


@pytest.mark.parametrize("stream", ROWS)
async def test_what_is_held_is_bounded(stream: str) -> None:
    node = Counted()
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/", node.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
    config = checked({"url": url, "startBlock": int(block_number(0), 16)})
    report = Telemetry(lambda *_args, **_fields: None, NoMeters())
    source = build_source(SourceContext(config, "tests/chain", WriteMode.UPSERT, report))
    rows = largest = 0
    try:
        await source.open({stream: None})
        async for batch in source.batches():
            node.taken += batch.size
            rows += len(batch.rows)
            largest = max(largest, batch.size)
            if batch.position["number"] == int(block_number(BLOCKS - 1), 16):
                break
    finally:
        await source.close()
        await runner.cleanup()
    assert rows == BLOCKS * ROWS[stream]
    assert largest < 2 * BATCH_BYTES
    assert node.largest_logs <= 1.25 * RANGE_BYTES
    assert node.most_ahead < 2 * READ_AHEAD_BYTES
