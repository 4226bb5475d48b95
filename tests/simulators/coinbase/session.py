"""One websocket connection as the exchange sees it: what it subscribed to, what waits to be sent. No I/O."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable

from tests.simulators.coinbase import messages
from tests.simulators.coinbase.faults import Fault, FaultBook, SessionFaults

OVERSIZED = messages.encode({"type": "novelty", "padding": "x" * 2_000_000})
GARBAGE = b'{"type":"match","trade_id":12,"price":"1.2'
SLOW_READER_MESSAGES = 200_000


class Session:
    """Outgoing messages with their faults.

    Attributes:
        subscriptions: Products by channel, by the names that were asked for.
        outgoing: Payloads to be sent, or a `Fault` that the transport must act out.
        is_frozen: Nothing is sent any more.
    """

    def __init__(self, faults: FaultBook) -> None:
        self.subscriptions: dict[str, set[str]] = {}
        self.outgoing: deque[bytes | Fault] = deque()
        self.wake = asyncio.Event()
        self.faults = SessionFaults(faults)
        self.taken = asyncio.Event()
        self.is_frozen = False
        self.is_open = True
        self._held: tuple[str, bytes] | None = None
        self._muted: set[tuple[str, str]] = set()
        self._chance = random.Random("garbage")

    def wants(self, channel: str, product: str) -> bool:
        return product in self.subscriptions.get(channel, ())

    def answer(self, payload: bytes) -> None:
        """Sends what was asked for (acknowledgement, error, snapshot), untouched by faults."""
        self._push(payload)

    def deliver(self, channel: str, product: str, payload: bytes) -> None:
        """Sends a message of a channel, or does to it what a fault wants."""
        if (channel, product) in self._muted:
            return
        match self.faults.next_for(channel):
            case Fault.DROP_MESSAGE:
                return
            case Fault.MUTE | Fault.NO_HEARTBEAT:
                self._muted.add((channel, product))
                return
            case Fault.DUPLICATE:
                self._push(payload)
            case Fault.REORDER if self._held is None:
                self._held = (product, payload)
                return
            case Fault.OVERSIZED:
                self._push(OVERSIZED)
            case Fault.GARBAGE:
                self._push(self._chance.choice((GARBAGE, b"\xc3\x28 not json", b"[1, 2]", b"null", b"")))
            case Fault.ERROR:
                self._push(messages.encode(messages.error("internal error", "Internal server error")))
                self._push_fault(Fault.ERROR)
            case Fault() as fault:
                self._push_fault(fault)
        if (
            self._held is not None and self._held[0] == product
        ):  # within a product the order stays: this one is late instead
            payload, self._held = self._held[1], (product, payload)
            self._push(payload)
            return
        self._push(payload)
        if self._held is not None:
            held, self._held = self._held, None
            self._push(held[1])

    async def drained(self, left: int) -> None:
        """Waits until at most `left` messages are still to be sent."""
        while len(self.outgoing) > left and not self.is_frozen and self.is_open:
            self.taken.clear()
            await self.taken.wait()

    def _push(self, payload: bytes) -> None:
        if self.is_frozen:
            return
        self.outgoing.append(payload)
        if len(self.outgoing) > SLOW_READER_MESSAGES:
            self.outgoing.clear()
            self.outgoing.append(messages.encode(messages.error("ErrSlowConsume", "Client is too slow")))
            self.outgoing.append(Fault.ERROR)
        self.wake.set()

    def _push_fault(self, fault: Fault) -> None:
        self.outgoing.append(fault)
        self.wake.set()


def wanted_channels(request: dict[str, object]) -> Iterable[tuple[str, list[str]]]:
    """The channels of a subscribe or unsubscribe message, each with its products.

    Raises:
        ValueError: It is not shaped like one.
    """
    shared = request.get("product_ids", [])
    channels = request.get("channels")
    if not isinstance(channels, list) or not channels or not isinstance(shared, list):
        raise ValueError("channels must be a list")
    for channel in channels:
        if isinstance(channel, str):
            yield channel, list(shared)
        elif isinstance(channel, dict) and isinstance(channel.get("name"), str):
            yield channel["name"], [*(channel.get("product_ids") or channel.get("account_ids") or shared)]
        else:
            raise ValueError("a channel is a name, or has a name")


def refusal(
    channels: list[tuple[str, list[str]]], is_product: Callable[[str], bool], authenticated: bool, limit: int
) -> str | None:
    """Why a subscription is not accepted, in the exchange's words; None when it is."""
    for channel, products in channels:
        if channel not in messages.PUBLIC_CHANNELS | messages.PRIVATE_CHANNELS:
            return f"{channel} is not a valid channel"
        if channel in messages.PRIVATE_CHANNELS and not authenticated:
            return f"{channel} channel requires authentication"
        if channel in messages.WITHOUT_PRODUCTS:
            continue
        if not products:
            return "product_ids must be specified"
        if len(products) > limit:
            return f"too many products: at most {limit} a connection"
        if unknown := [product for product in products if not is_product(product)]:
            return f"{unknown[0]} is not a valid product"
    return None
