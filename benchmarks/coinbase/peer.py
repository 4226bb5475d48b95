"""cryptofeed on the same socket (2.4.0: the last release that speaks this feed's protocol); prints seconds as JSON.

Runs in an environment of its own, which `python -m benchmarks.coinbase` makes.
"""

import asyncio
import json
import sys
import time

from cryptofeed import FeedHandler
from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
from cryptofeed.defines import TICKER
from cryptofeed.exchanges import Coinbase


class PlainAddress(str):
    """An address without TLS, which cryptofeed would refuse."""

    __slots__ = ()

    def startswith(self, prefix: object, *_: object) -> bool:
        return prefix == "wss://" or str(self)[: len(str(prefix))] == prefix


def main() -> None:
    port, count = sys.argv[1], int(sys.argv[2])
    seen, began, processor = 0, 0.0, 0.0

    async def ticker(_: object, __: float) -> None:
        nonlocal seen, began, processor
        if not seen:
            began, processor = time.perf_counter(), time.process_time()
        seen += 1
        if seen == count:
            figures = {"seconds": time.perf_counter() - began, "processor": time.process_time() - processor}
            print(json.dumps(figures), flush=True)
            asyncio.get_running_loop().stop()

    Coinbase.websocket_endpoints = [
        WebsocketEndpoint(PlainAddress(f"ws://127.0.0.1:{port}"), options={"compression": None})
    ]
    Coinbase.rest_endpoints = [RestEndpoint(f"http://127.0.0.1:{port}", routes=Routes("/products"))]
    handler = FeedHandler(config={"log": {"disabled": True}})
    handler.add_feed(Coinbase(symbols=["BTC-USD"], channels=[TICKER], callbacks={TICKER: ticker}))
    try:
        handler.run()
    except RuntimeError as error:
        print(error, file=sys.stderr)


if __name__ == "__main__":
    main()
