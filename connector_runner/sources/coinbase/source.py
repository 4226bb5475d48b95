"""The COINBASE source: finds the products, keeps the connections, drains what they received into batches, fills from REST."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from urllib.parse import urlsplit

from connector_runner.protocols.batch import Batch, Position
from connector_runner.protocols.errors import (
    ActionRequiredError,
    ConnectorError,
    UnknownStreamError,
)
from connector_runner.protocols.source import Checkpoint, Opened, SourceContext, WriteMode, require_same_source
from connector_runner.schemas.catalogue import Catalogue
from connector_runner.sources.coinbase.discovery import LIST_SECONDS, ProductDiscovery
from connector_runner.sources.coinbase.feed.liveness import MUTE_PRODUCT_SECONDS, QUIET_PRODUCT_SECONDS, LivenessWatch
from connector_runner.sources.coinbase.feed.pool import SessionPool, is_accepted
from connector_runner.sources.coinbase.feed.session import BUFFER_BYTES, FeedSession, SessionSettings
from connector_runner.sources.coinbase.feed.subscription import (
    WITHOUT_PRODUCTS,
    Subscription,
    build_subscriptions,
    read_credentials,
)
from connector_runner.sources.coinbase.pacing import Pacer
from connector_runner.sources.coinbase.products import ProductsChangedError, ProductsRefusedError, nearest
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.readers.books import BookReader
from connector_runner.sources.coinbase.readers.channels import HeartbeatReader, OrderReader, TickerReader
from connector_runner.sources.coinbase.readers.reader import Reader
from connector_runner.sources.coinbase.readers.status import StatusReader
from connector_runner.sources.coinbase.readers.watermarks import RestartedIds
from connector_runner.sources.coinbase.rest.backfill import Backfill
from connector_runner.sources.coinbase.rest.client import RestClient
from connector_runner.sources.coinbase.streams import STREAMS, Proof, StreamSpec, available_streams
from connector_runner.sources.coinbase.trades.reader import MatchesReader

BATCH_BYTES = 2**20
CONNECTIONS_A_SECOND = 4.0
TICK_SECONDS = 0.2
NOTE_SECONDS = 60.0
"""The same sentence is logged at most so often."""


class CoinbaseSource:
    """See `connector_runner.protocols.source.Source`."""

    def __init__(self, context: SourceContext) -> None:
        config = context.config
        self._report = context.report
        self._url = str(config["url"])
        self._credentials = read_credentials(config)
        self._rest = RestClient(str(config["restUrl"]), self._credentials)
        self._pacer = Pacer(CONNECTIONS_A_SECOND, 4)
        self._wake = asyncio.Event()
        self._sessions = SessionPool()
        self._settings: SessionSettings | None = None
        self._reader: Reader | None = None
        self._backfill = Backfill(self._rest, self._wake)
        self._liveness = LivenessWatch()
        self._discovery = ProductDiscovery(config["productId"], self._rest, self._note)
        # In a history nothing is overwritten: rows of ids that began again stand beside the old ones.
        is_history = context.write_mode is WriteMode.APPEND
        chosen = RestartedIds(config.get("restartedIds", RestartedIds.STAND_ASIDE))
        self._restarts = RestartedIds.OVERWRITE if is_history else chosen
        self._noted: dict[str, float] = {}

    @property
    def identity(self) -> str:
        """The feed's host."""
        return urlsplit(self._url).hostname or self._url

    async def discover(self, selected: str | None) -> Catalogue:
        """See the protocol; subscribes to every configured product to see that the exchange accepts it."""
        try:
            products = await self._discovery.find()
            subscriptions = list(build_subscriptions(STREAMS["ticker"], products, ()))
            if self._credentials is not None:
                subscriptions.append(Subscription({"user": tuple(products[:1]), "heartbeat": tuple(products[:1])}))
            await self._connect(subscriptions)
            refused = [f"{refusal_text(*entry)}; it would be left out" for entry in self._sessions.refused.items()]
            notes = (*await self._discovery.rest_notes(), *refused)
        finally:
            await self.close()
        streams = tuple(spec.info for spec in available_streams(self._credentials is not None))
        hidden = [spec.id for spec in STREAMS.values() if spec.is_private]
        if self._credentials is None:
            notes = (f"{', '.join(hidden)} need an API key (key, secret, passphrase)", *notes)
        return Catalogue(streams, len(streams), self.identity, notes)

    async def open(self, stream: str, checkpoint: Checkpoint | None) -> Opened:
        """See the protocol."""
        spec = self._spec(stream)
        if checkpoint is not None:
            require_same_source(checkpoint.identity, self.identity)
        products = await self._discovery.find()
        accounts = await self._rest.accounts() if spec.id == "balance" else ()
        self._reader = build_reader(spec, checkpoint.position if checkpoint else None, products, self._restarts)
        await self._connect_without_refused(spec, products, accounts)
        self._discovery.watch(tuple(self._sessions.refused), self._is_accepted, self._wake)
        return Opened(spec.schema, self.identity)

    async def batches(self) -> AsyncIterator[Batch]:
        """See the protocol; one row when idle, up to a megabyte of messages when behind."""
        if self._reader is None:
            raise RuntimeError("open comes before batches")
        reader = self._reader
        opening = [self._news()]
        while True:
            found = False
            for builder in chain(opening, self._drain(reader)):
                for text in builder.notes:
                    self._note(text)
                if builder.rows or builder.incidents:
                    found = True
                    batch = builder.build(reader.spec.schema, reader.position())
                    self._tell_lag(batch)
                    yield batch
            opening.clear()
            self._tend(reader)
            if not found:
                await self._pause()

    async def close(self) -> None:
        """See the protocol."""
        await self._discovery.close()
        await self._backfill.close()
        await self._sessions.stop()
        await self._rest.close()

    async def _connect_without_refused(
        self, spec: StreamSpec, products: Sequence[str], accounts: Sequence[str]
    ) -> None:
        """Connects; a stream without products takes another product's heartbeat when the first one is refused."""
        while True:
            try:
                return await self._connect(build_subscriptions(spec, products, accounts))
            except ProductsRefusedError:
                products = [product for product in products if product not in self._sessions.refused]
                if spec.channel not in WITHOUT_PRODUCTS or not products:
                    raise
                await self._sessions.stop()

    async def _is_accepted(self, product: str) -> bool:
        """Whether the feed takes a product now that it refused before."""
        if self._reader is None or self._settings is None:
            return False
        settings = replace(self._settings, on_change=lambda *_: None, wake=asyncio.Event())
        return await is_accepted(build_subscriptions(self._reader.spec, (product,), ())[0], settings)

    def _news(self) -> BatchBuilder:
        """What is to be told of the opening, with the first batch."""
        builder = BatchBuilder()
        for product, text in self._sessions.refused.items():
            sentence = (
                f"{refusal_text(product, text)}; it is left out, and tried again every {LIST_SECONDS / 60:.0f} minutes"
            )
            builder.add_incident("refused", product, sentence, {"product_id": product, "answer": text})
            self._report.count("refused_products")
        return builder

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

    async def _connect(self, subscriptions: Sequence[Subscription]) -> None:
        settings = SessionSettings(
            url=self._url,
            credentials=self._credentials,
            judge=self._discovery.meaning,
            pacer=self._pacer,
            on_change=self._session_changed,
            wake=self._wake,
            buffer_bytes=max(2**20, BUFFER_BYTES // max(1, len(subscriptions))),
        )
        self._settings = settings
        try:
            await self._sessions.start(subscriptions, settings)
        except ConnectorError as error:
            raise await self._discovery.explain(error) from None

    def _session_changed(self, is_up: bool, message: str) -> None:
        if is_up:
            if all(session.is_up for session in self._sessions.up):
                self._report.connected()
        else:
            self._report.disconnected(message)

    def _drain(self, reader: Reader) -> Iterable[BatchBuilder]:
        """What the connections received and REST answered, as builders."""
        self._wake.clear()
        for session in self._sessions.up:
            began, payloads = session.take(BATCH_BYTES)
            if not began and not payloads:
                continue
            builder, now = BatchBuilder(), time.monotonic()
            if began:
                reader.begin(session.subscription.channels["heartbeat"], builder, now)
            reader.read(payloads, builder, now)
            if session.items:
                self._wake.set()
            self._heed(builder, session)
            yield builder
        if isinstance(reader, MatchesReader):
            yield from self._backfill.drain(reader)

    def _heed(self, builder: BatchBuilder, session: FeedSession) -> None:
        """Acts on what the messages said beside their rows."""
        for error in builder.errors:
            meaning = self._discovery.meaning(error)
            if isinstance(meaning, ActionRequiredError | ProductsChangedError):
                raise meaning
            session.drop(meaning.message)
        if builder.distrust:
            session.drop(builder.distrust)

    def _tend(self, reader: Reader) -> None:
        """Between batches: failures, counts, holes, products that fell silent."""
        for failure in (self._discovery.failure, *(session.failure for session in self._sessions.up)):
            if failure is not None:
                raise failure
        for name, amount in reader.counts.items():
            if amount:
                self._report.count(name, amount)
        reader.counts.clear()
        now = time.monotonic()
        if isinstance(reader, MatchesReader):
            self._backfill.ask(reader, now)
        if not self._wake.is_set():
            self._look_for_silence(reader, now)

    def _look_for_silence(self, reader: Reader, now: float) -> None:
        for session in self._sessions.up:
            if not session.is_up:
                continue
            silent, mute = self._liveness.fresh(session.subscription.channels["heartbeat"], reader, now)
            if silent or mute:
                self._report.count("silent_products", len({*silent, *mute}))
            if silent:
                session.drop(f"no heartbeat of {', '.join(silent[:10])} for {QUIET_PRODUCT_SECONDS:.0f} s")
            if mute:
                what = f"{reader.spec.channel} told nothing of {', '.join(mute[:10])} for {MUTE_PRODUCT_SECONDS:.0f} s"
                session.drop(f"{what} though heartbeats did")

    def _note(self, text: str) -> None:
        now = time.monotonic()
        if now - self._noted.get(text, float("-inf")) >= NOTE_SECONDS:
            self._noted = {known: told for known, told in self._noted.items() if now - told < NOTE_SECONDS}
            self._noted[text] = now
            self._report.note(text)

    async def _pause(self) -> None:
        """Until something arrives, at most for a tick: holes and silence have deadlines."""
        try:
            async with asyncio.timeout(TICK_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            if not self._is_behind():
                self._report.lag(0.0)

    def _tell_lag(self, batch: Batch) -> None:
        if batch.event_time is not None:
            behind = self._wake.is_set() or self._is_behind()
            self._report.lag(max(0.0, time.time() - batch.event_time) if behind else 0.0)

    def _is_behind(self) -> bool:
        """Whether there is news that was not handed over, or can't be heard of."""
        has_holes = isinstance(self._reader, MatchesReader) and self._reader.open_holes > 0
        return has_holes or not all(session.is_up for session in self._sessions.up)


def refusal_text(product: str, text: str) -> str:
    """What is told of a product that the feed does not take."""
    return f"the feed refuses {product}, which restUrl lists as online ({text})"


def build_reader(
    spec: StreamSpec,
    position: Position | None,
    products: Iterable[str],
    restarts: RestartedIds = RestartedIds.STAND_ASIDE,
) -> Reader:
    """The reader that a stream's proof of completeness asks for."""
    if spec.proof is Proof.BOOK:
        return BookReader(spec, position, products)
    if spec.proof is Proof.STATE:
        return StatusReader(spec, position)
    if spec.proof is Proof.TRADE_IDS:
        return MatchesReader(spec, position, restarts)
    return READERS.get(spec.id, Reader)(spec, position, restarts)


READERS: Mapping[str, type[Reader]] = {
    "ticker": TickerReader,
    "ticker_batch": TickerReader,
    "heartbeat": HeartbeatReader,
    "full": OrderReader,
    "user": OrderReader,
}
