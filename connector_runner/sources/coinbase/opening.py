"""Starts the connections of all streams; leaves out, by name, streams that can't be read, if they are isolated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from connector_runner.protocols.batch import Batch, Incident
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError
from connector_runner.protocols.source import Checkpoint
from connector_runner.sources.coinbase.discovery import find_stream
from connector_runner.sources.coinbase.errors import ProductsRefusedError
from connector_runner.sources.coinbase.feed.pool import SessionPool, is_accepted
from connector_runner.sources.coinbase.feed.session import SessionSettings
from connector_runner.sources.coinbase.feed.subscription import WITHOUT_PRODUCTS, Subscription, build_subscriptions
from connector_runner.sources.coinbase.position import READER_POSITION, require_format
from connector_runner.sources.coinbase.streams import STREAMS, StreamSpec

LeftOut = dict[str, ActionRequiredError]


def choose_streams(
    checkpoints: Mapping[str, Checkpoint | None], has_credentials: bool, *, isolates: bool
) -> tuple[list[StreamSpec], LeftOut]:
    """The streams that can be read with this configuration and from their checkpoints, and why the others can't.

    Raises:
        ActionRequiredError: One can't be read and is not isolated, or none can.
    """
    specs: list[StreamSpec] = []
    left_out: LeftOut = {}
    for stream, checkpoint in checkpoints.items():
        try:
            spec = find_stream(stream, has_credentials)
            if checkpoint is not None:
                require_format(checkpoint.position)
            specs.append(spec)
        except ActionRequiredError as error:
            if not isolates:
                raise
            left_out[stream] = error
    if not specs:
        raise next(iter(left_out.values()))
    return specs, left_out


@dataclass(frozen=True)
class StreamOpening:
    """How the connections are started.

    Attributes:
        pool: The connections.
        connect: Starts some in the pool.
        ask_accounts: The accounts of the API key.
        isolates: Streams that the feed refuses are left out while others run.
    """

    pool: SessionPool
    connect: Callable[[Sequence[Subscription]], Awaitable[None]]
    ask_accounts: Callable[[], Awaitable[Sequence[str]]]
    isolates: bool = False

    async def start(self, specs: Sequence[StreamSpec], products: Sequence[str]) -> LeftOut:
        """Connects; returns the streams that the feed refuses, each with its error.

        Raises:
            ConnectorError: The connections can't be started now, or the feed refuses a stream that is not isolated, or all.
        """
        left_out: LeftOut = {}
        while True:
            try:
                await self._start(specs, products)
            except ActionRequiredError:
                await self.pool.stop()
                refused = await self._refused(specs, products) if self.isolates and len(specs) > 1 else {}
                specs = [spec for spec in specs if spec.id not in refused]
                if not refused or not specs:
                    raise
                left_out |= refused
            else:
                return left_out

    async def _refused(self, specs: Sequence[StreamSpec], products: Sequence[str]) -> LeftOut:
        """Finds out which streams the feed refuses, by trying each alone: an error does not say which one it means."""
        refused: LeftOut = {}
        for spec in specs:
            try:
                await self._start([spec], products)
            except ActionRequiredError as error:
                refused[spec.id] = error
            finally:
                await self.pool.stop()
        return refused

    async def _start(self, specs: Sequence[StreamSpec], products: Sequence[str]) -> None:
        """Connects. Streams without products use another product's heartbeat if the first one is refused."""
        accounts = await self.ask_accounts() if any(spec.id == "balance" for spec in specs) else ()
        by_product = [spec for spec in specs if spec.id not in WITHOUT_PRODUCTS]
        if by_product:
            await self.connect(build_subscriptions(by_product, products, ()))
        missing = [spec for spec in specs if spec.id in WITHOUT_PRODUCTS]
        while missing:
            refusal: ProductsRefusedError | None = None
            try:
                await self.connect(build_subscriptions(missing, products, accounts))
            except ProductsRefusedError as error:
                refusal = error
            read = {stream for session in self.pool.up for stream in session.subscription.streams}
            missing = [spec for spec in missing if spec.id not in read]
            products = [p for p in products if not any((spec.id, p) in self.pool.refused for spec in missing)]
            if missing and not products:
                raise refusal or ProductsRefusedError("the feed refuses the heartbeats of every product", ())

    async def is_accepted(self, name: str, products: Sequence[str], settings: SessionSettings) -> bool:
        """Whether the feed now accepts a stream that it refused before, or a product for one of the streams."""
        streams = [stream for stream, refused in self.pool.refused if refused == name]
        if name in STREAMS:
            try:
                accounts = await self.ask_accounts() if name == "balance" else ()
            except ConnectorError:
                return False
            return await is_accepted(build_subscriptions([STREAMS[name]], products, accounts)[0], settings)
        if len(streams) > 1 and not await is_accepted(Subscription({"heartbeat": (name,)}), settings):
            return False
        asked = [build_subscriptions([STREAMS[stream]], (name,), ())[0] for stream in streams]
        return any([await is_accepted(subscription, settings) for subscription in asked])


def build_places(checkpoints: Mapping[str, Checkpoint | None]) -> list[Batch]:
    """Batches without rows that tell where several streams stand.

    A dataset that had one stream until now has stored its position as that of the reader.
    """
    begun = [(STREAMS[stream], at) for stream, at in checkpoints.items() if at is not None and stream in STREAMS]
    places = [Batch(spec.schema, (), READER_POSITION, place=at.position, more=True) for spec, at in begun]
    for last in places[-1:]:
        last.more = False
    return places


def build_left_out(left_out: LeftOut, checkpoints: Mapping[str, Checkpoint | None]) -> Iterable[Batch]:
    """Batches that report, in their tables, the streams that are left out; they keep their positions."""
    for stream, error in left_out.items():
        at = checkpoints[stream]
        if at is not None and stream in STREAMS:
            incident = Incident("parked", stream, error.message, {"reason": error.reason})
            yield Batch(STREAMS[stream].schema, (), READER_POSITION, incidents=(incident,), place=at.position)
