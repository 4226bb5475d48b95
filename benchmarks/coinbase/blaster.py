"""A feed that sends prepared frames as fast as they are read, or at a pace: plain sockets, so that the sender is never the limit.

Prints its port; answers `GET /products`, then upgrades, waits for the subscription, acknowledges it, and sends.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
import sys
import time

from tests.simulators.coinbase import messages
from tests.simulators.coinbase.market import Market, iso

PRODUCT = "BTC-USD"
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(payload: bytes) -> bytes:
    length = len(payload)
    head = struct.pack("!BB", 0x81, length) if length < 126 else struct.pack("!BBH", 0x81, 126, length)
    return head + payload


def payloads(channel: str, count: int) -> list[bytes]:
    """Messages with growing ids, all different."""
    market = Market(1, [PRODUCT], history=count + 1, start=1_700_000_000_000_000)
    shape = messages.ticker if channel == "ticker" else messages.match
    return [messages.encode(shape(market.trade(PRODUCT, n))) for n in range(1, count + 1)]


async def serve(channel: str, count: int, rate: float) -> None:
    prepared = payloads(channel, count)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"GET / "):
            body = json.dumps([messages.product(PRODUCT)]).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            writer.close()
            return
        key = next(
            line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if b"sec-websocket-key" in line.lower()
        )
        accept = base64.b64encode(hashlib.sha1(key + GUID.encode()).digest())  # noqa: S324
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        await reader.read(4096)
        acknowledgement = messages.acknowledgement({channel: {PRODUCT}, "heartbeat": {PRODUCT}})
        writer.write(frame(messages.encode(acknowledgement)))
        await asyncio.sleep(1.0)
        try:
            await (send_paced(writer, prepared, rate) if rate else send_all(writer, prepared))
            await reader.read()
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def send_all(writer: asyncio.StreamWriter, prepared: list[bytes]) -> None:
    for start in range(0, len(prepared), 500):
        writer.write(b"".join(map(frame, prepared[start : start + 500])))
        await writer.drain()


async def send_paced(writer: asyncio.StreamWriter, prepared: list[bytes], rate: float) -> None:
    """Each message carries the time at which it was sent."""
    began, sent = time.monotonic(), 0
    while sent < len(prepared):
        for payload in prepared[sent : int((time.monotonic() - began) * rate)]:
            writer.write(
                frame(payload.replace(json.loads(payload)["time"].encode(), iso(time.time_ns() // 1000).encode()))
            )
            sent += 1
        await writer.drain()
        await asyncio.sleep(0.0005)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
