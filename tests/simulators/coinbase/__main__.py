"""`python -m tests.simulators.coinbase`: the simulated exchange as a program; every option is also an environment variable."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.simulators.coinbase.exchange import Exchange
from tests.simulators.coinbase.faults import Fault
from tests.simulators.coinbase.limits import Credentials
from tests.simulators.coinbase.market import Market, product_names
from tests.simulators.coinbase.recording import RecordedMarket, load
from tests.simulators.coinbase.server import Server, serving


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulators.coinbase", description=__doc__)

    def option(name: str, default: str, description: str, kind: type = str) -> None:
        variable = f"SIMULATOR_{name.upper().replace('-', '_')}"
        parser.add_argument(
            f"--{name}",
            type=kind,
            default=os.environ.get(variable, default),
            help=f"{description} (default {default or 'none'}; {variable})",
        )

    option("host", "127.0.0.1", "address to listen on")
    option("port", "0", "port to listen on; 0 finds a free one", int)
    option("seed", "1", "what the market follows from", int)
    option("products", "BTC-USD,ETH-USD,LINK-USD", "names with commas, or how many")
    option("rate", "20", "trades a second, of all products together", float)
    option("history", "5000", "trades a product that happened before the start", int)
    option("depth", "50", "levels a side of each book at its start", int)
    option("products-a-connection", "200", "more products in one subscription are refused", int)
    option("connection-limit", "8", "connections a second an address; 0: no limit", float)
    option("request-limit", "10", "REST requests a second an address; 0: no limit", float)
    option("faults", "", "faults by themselves, e.g. drop_socket=30,drop_message=5: one every so many seconds")
    option("replay", "", "a recording, one JSON message a line, instead of the market")
    option("speed", "1", "of the recording; 0: as fast as it is read", float)
    return parser.parse_args(arguments)


def build_server(options: argparse.Namespace) -> Server:
    replay = load(Path(options.replay), options.speed) if options.replay else None
    names = product_names(int(options.products)) if options.products.isdigit() else tuple(options.products.split(","))
    market = (
        RecordedMarket(replay.products)
        if replay
        else Market(options.seed, names, history=options.history, start=time.time_ns() // 1000)
    )
    exchange = Exchange(market, Credentials(), options.depth, options.products_a_connection)
    return Server(exchange, options.rate, options.connection_limit, options.request_limit, replay)


async def strike(exchange: Exchange, fault: Fault, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        exchange.arm(fault)


def ignore_resets(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Ignores writes to a connection that a fault has reset; all other errors are logged as usual."""
    if not isinstance(context.get("exception"), ConnectionError):
        loop.default_exception_handler(context)


async def serve(options: argparse.Namespace) -> None:
    server = build_server(options)
    stop = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(ignore_resets)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        host, port = await stack.enter_async_context(serving(server, options.host, options.port))
        tasks = [
            asyncio.create_task(strike(server.exchange, Fault(kind), float(seconds)))
            for kind, _, seconds in (part.partition("=") for part in options.faults.split(",") if part)
        ]
        credentials = server.exchange.credentials
        urls = {
            "url": f"ws://{host}:{port}",
            "restUrl": f"http://{host}:{port}",
            "truth": f"http://{host}:{port}/truth",
            "key": credentials.key,
            "secret": credentials.secret,
            "passphrase": credentials.passphrase,
        }
        print(json.dumps(urls), flush=True)
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> int:
    try:
        asyncio.run(serve(parse()))
    except (ValueError, OSError) as error:
        print(f"the simulator can't start: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
