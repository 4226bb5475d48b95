"""The COINBASE source: finds the products, keeps the connections, drains what they received into batches, fills from REST."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from connector_runner.protocols.batch import Batch, Position
from connector_runner.protocols.errors import (
    ActionRequiredError,
    ConnectorError,
    InvalidConfigError,
    TransientError,
    UnknownStreamError,
)
from connector_runner.protocols.source import Checkpoint, Opened, SourceContext, require_same_source
from connector_runner.schemas.catalogue import Catalogue
from connector_runner.sources.coinbase.books import BookReader
from connector_runner.sources.coinbase.draft import Draft
from connector_runner.sources.coinbase.link import BUFFER_BYTES, Link, LinkSettings
from connector_runner.sources.coinbase.messages import FeedError, RestTrade
from connector_runner.sources.coinbase.products import nearest, online, unique, unknown_products, wants_all
from connector_runner.sources.coinbase.readers import HeartbeatReader, OrderReader, Reader, TickerReader
from connector_runner.sources.coinbase.rest import Pacer, RestClient
from connector_runner.sources.coinbase.status import StatusReader
from connector_runner.sources.coinbase.streams import STREAMS, Proof, StreamSpec, available_streams
from connector_runner.sources.coinbase.subscription import (
    Subscription,
    Trouble,
    build_subscriptions,
    describe,
    judge,
    read_credentials,
)
from connector_runner.sources.coinbase.trades import MatchesReader, Request

BATCH_BYTES = 2**20
CONNECTIONS_A_SECOND = 4.0
PAGES_AT_ONCE = 4
TICK_SECONDS = 0.2
QUIET_PRODUCT_SECONDS = 12.0
"""A product whose heartbeat misses for so long on a living connection: the connection is made anew, once."""


class CoinbaseSource:
    """See `connector_runner.protocols.source.Source`."""

    def __init__(self, context: SourceContext) -> None:
        config = context.config
        self._report = context.report
        self._url = str(config["url"])
        self._asked: Sequence[str] = unique(config["productId"])
        self._credentials = read_credentials(config)
        self._rest = RestClient(str(config["restUrl"]), self._credentials)
        self._pacer = Pacer(CONNECTIONS_A_SECOND, 4)
        self._wake = asyncio.Event()
        self._links: list[Link] = []
        self._reader: Reader | None = None
        self._answers: deque[tuple[Request, list[RestTrade] | TransientError]] = deque()
        self._fetching: set[asyncio.Task[None]] = set()
        self._quiet: set[str] = set()

    @property
    def identity(self) -> str:
        """The feed's host."""
        return urlsplit(self._url).hostname or self._url

    async def discover(self, selected: str | None) -> Catalogue:
        """See the protocol; subscribes to every configured product to see that the exchange accepts it."""
        try:
            products = await self._find_products()
            subscriptions = list(build_subscriptions(STREAMS["ticker"], products, ()))
            if self._credentials is not None:
                subscriptions.append(Subscription({"user": tuple(products[:1]), "heartbeat": tuple(products[:1])}))
            await self._connect(subscriptions)
        finally:
            await self.close()
        streams = tuple(spec.info for spec in available_streams(self._credentials is not None))
        hidden = [spec.id for spec in STREAMS.values() if spec.is_private]
        notes = () if self._credentials else (f"{', '.join(hidden)} need an API key (key, secret, passphrase)",)
        return Catalogue(streams, len(streams), self.identity, notes)

    async def open(self, stream: str, checkpoint: Checkpoint | None) -> Opened:
        """See the protocol."""
        spec = self._spec(stream)
        if checkpoint is not None:
            require_same_source(checkpoint.identity, self.identity)
        products = await self._find_products()
        accounts = await self._rest.accounts() if spec.id == "balance" else ()
        self._reader = build_reader(spec, checkpoint.position if checkpoint else None, products)
        await self._connect(build_subscriptions(spec, products, accounts))
        return Opened(spec.schema, self.identity)

    async def batches(self) -> AsyncIterator[Batch]:
        """See the protocol; one row when idle, up to a megabyte of messages when behind."""
        if self._reader is None:
            raise RuntimeError("open comes before batches")
        reader = self._reader
        while True:
            found = False
            for draft in self._drain(reader):
                if draft.rows or draft.incidents:
                    found = True
                    batch = draft.batch(reader.spec.schema, reader.position())
                    self._tell_lag(batch)
                    yield batch
            self._tend(reader)
            if not found:
                await self._pause()

    async def close(self) -> None:
        """See the protocol."""
        for task in self._fetching:
            task.cancel()
        await asyncio.gather(*self._fetching, return_exceptions=True)
        self._fetching.clear()
        links, self._links = self._links, []
        await asyncio.gather(*(link.stop() for link in links))
        await self._rest.close()

    def _spec(self, stream: str) -> StreamSpec:
        available = {spec.id: spec for spec in available_streams(self._credentials is not None)}
        if stream in available:
            return available[stream]
        if stream in STREAMS:
            raise UnknownStreamError(
                f"the stream {stream} needs an API key: set key, secret and passphrase (by configFrom); "
                f"without one there are {', '.join(available)}"
            )
        near = nearest(stream, available)
        hint = f"; did you mean {' or '.join(name.lower() for name in near)}?" if near else ""
        raise UnknownStreamError(f"the stream {stream} is not among {', '.join(available)}{hint}")

    async def _find_products(self) -> tuple[str, ...]:
        if not wants_all(self._asked):
            return tuple(self._asked)
        products = online(await self._rest.products())
        if not products:
            raise TransientError("restUrl lists no product that is online")
        return products

    async def _connect(self, subscriptions: Sequence[Subscription]) -> None:
        settings = LinkSettings(
            url=self._url,
            credentials=self._credentials,
            judge=self._judge,
            pacer=self._pacer,
            on_change=self._link_changed,
            wake=self._wake,
            buffer_bytes=max(2**20, BUFFER_BYTES // max(1, len(subscriptions))),
        )
        self._links = [Link(subscription, settings) for subscription in subscriptions]
        starting = [asyncio.create_task(link.start()) for link in self._links]
        try:
            done, _ = await asyncio.wait(starting, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in starting:
                task.cancel()
            results = await asyncio.gather(*starting, return_exceptions=True)
        failures = [error for error in results if isinstance(error, ConnectorError)]
        if failures:
            raise await self._explain(next((e for e in failures if isinstance(e, ActionRequiredError)), failures[0]))
        for task in done:
            task.result()

    def _judge(self, error: FeedError) -> ConnectorError:
        text = describe(error)
        match judge(error):
            case Trouble.UNKNOWN_PRODUCT:
                return InvalidConfigError([f"config.productId: {text}"], reason="UnknownProduct")
            case Trouble.UNKNOWN_CHANNEL:
                return UnknownStreamError(f"the exchange does not offer this stream: {text}")
            case Trouble.CREDENTIALS:
                return InvalidConfigError(
                    [f"config.key, config.secret, config.passphrase: {text}"], reason="InvalidKey"
                )
            case _:
                return TransientError(f"the exchange answered: {text}", reason="FeedError")

    async def _explain(self, error: ConnectorError) -> ConnectorError:
        """Names the nearest products, and all that are unknown at once, where REST can tell."""
        if error.reason != "UnknownProduct":
            return error
        try:
            problems = unknown_products(self._asked, await self._rest.products())
        except ConnectorError:
            return error
        return InvalidConfigError(problems, reason="UnknownProduct") if problems else error

    def _link_changed(self, is_up: bool, message: str) -> None:
        if is_up:
            if all(link.is_up for link in self._links):
                self._report.connected()
        else:
            self._report.count("reconnects")
            self._report.disconnected(message)

    def _drain(self, reader: Reader) -> Iterable[Draft]:
        """What the connections received and REST answered, as drafts."""
        self._wake.clear()
        for link in self._links:
            began, payloads = link.take(BATCH_BYTES)
            if not began and not payloads:
                continue
            draft, now = Draft(), time.monotonic()
            if began:
                channel = reader.spec.channel
                reader.begin(link.subscription.channels.get(channel, ()), draft, now)
            reader.read(payloads, draft, now)
            if link.items:
                self._wake.set()
            self._heed(draft, link)
            yield draft
        while self._answers and isinstance(reader, MatchesReader):
            request, answer = self._answers.popleft()
            draft = Draft()
            if isinstance(answer, TransientError):
                self._report.note(f"trades of {request.product} can't be filled yet: {answer.message}")
                reader.failed(request, time.monotonic() + max(1.0, min(answer.retry_after or 0.0, 60.0)))
            else:
                reader.fill(request, answer, draft, time.monotonic())
            yield draft

    def _heed(self, draft: Draft, link: Link) -> None:
        """Acts on what the messages said beside their rows."""
        for error in draft.errors:
            meaning = self._judge(error)
            if isinstance(meaning, ActionRequiredError):
                raise meaning
            link.drop(meaning.message)
        if draft.distrust:
            link.drop(draft.distrust)

    def _tend(self, reader: Reader) -> None:
        """Between batches: failures, counts, holes, products that fell silent."""
        for link in self._links:
            if link.failure is not None:
                raise link.failure
        for name, amount in reader.counts.items():
            if amount:
                self._report.count(name, amount)
        reader.counts.clear()
        now = time.monotonic()
        if isinstance(reader, MatchesReader):
            for request in reader.due(now, PAGES_AT_ONCE - len(self._fetching)):
                task = asyncio.create_task(self._fetch(request))
                self._fetching.add(task)
                task.add_done_callback(self._fetching.discard)
        if not self._wake.is_set():
            self._look_for_silence(reader, now)

    def _look_for_silence(self, reader: Reader, now: float) -> None:
        for link in self._links:
            if not link.is_up:
                continue
            products = link.subscription.channels["heartbeat"]
            silent = [p for p in products if now - reader.beats.get(p, now) > QUIET_PRODUCT_SECONDS]
            self._quiet.difference_update(set(products).difference(silent))
            if fresh := [product for product in silent if product not in self._quiet]:
                self._quiet.update(fresh)
                self._report.count("silent_products", len(fresh))
                link.drop(f"no heartbeat of {', '.join(fresh[:10])} for {QUIET_PRODUCT_SECONDS:.0f} s")

    async def _fetch(self, request: Request) -> None:
        try:
            self._answers.append((request, await self._rest.trades(request)))
        except TransientError as error:
            self._answers.append((request, error))
        self._wake.set()

    async def _pause(self) -> None:
        """Until something arrives, at most for a tick: holes and silence have deadlines."""
        try:
            async with asyncio.timeout(TICK_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            self._report.lag(0.0)

    def _tell_lag(self, batch: Batch) -> None:
        if batch.event_time is not None:
            behind = isinstance(self._reader, MatchesReader) and self._reader.open_holes > 0
            self._report.lag(max(0.0, time.time() - batch.event_time) if behind or self._wake.is_set() else 0.0)


def build_reader(spec: StreamSpec, position: Position | None, products: Iterable[str]) -> Reader:
    """The reader that a stream's proof of completeness asks for."""
    if spec.proof is Proof.BOOK:
        return BookReader(spec, position, products)
    if spec.proof is Proof.STATE:
        return StatusReader(spec, position)
    if spec.proof is Proof.TRADE_IDS:
        return MatchesReader(spec, position)
    return READERS.get(spec.id, Reader)(spec, position)


READERS: Mapping[str, type[Reader]] = {
    "ticker": TickerReader,
    "ticker_batch": TickerReader,
    "heartbeat": HeartbeatReader,
    "full": OrderReader,
    "user": OrderReader,
}
