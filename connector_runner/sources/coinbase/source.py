"""The COINBASE source: finds products, keeps connections, turns what they receive into batches, fills holes from REST."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from connector_runner.protocols.batch import Batch
from connector_runner.protocols.errors import (
    ActionRequiredError,
    ConnectorError,
)
from connector_runner.protocols.source import Checkpoint, Opened, SourceContext, only_stream, require_same_source
from connector_runner.resilience.rate_limit import RateLimit
from connector_runner.schemas.catalogue import Catalogue
from connector_runner.sources.coinbase.discovery import (
    LIST_SECONDS,
    ProductDiscovery,
    build_catalogue,
    find_stream,
    refusal_text,
)
from connector_runner.sources.coinbase.errors import ProductsChangedError, ProductsRefusedError
from connector_runner.sources.coinbase.feed.liveness import MUTE_PRODUCT_SECONDS, QUIET_PRODUCT_SECONDS, LivenessWatch
from connector_runner.sources.coinbase.feed.pool import SessionPool, is_accepted
from connector_runner.sources.coinbase.feed.session import BUFFER_BYTES, FeedSession, SessionSettings
from connector_runner.sources.coinbase.feed.subscription import WITHOUT_PRODUCTS, Subscription, build_subscriptions
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.readers.building import build_reader
from connector_runner.sources.coinbase.readers.reader import Reader
from connector_runner.sources.coinbase.rest.backfill import Backfill
from connector_runner.sources.coinbase.rest.client import RestClient
from connector_runner.sources.coinbase.settings import read_settings
from connector_runner.sources.coinbase.streams import STREAMS, StreamSpec
from connector_runner.sources.coinbase.trades.reader import MatchesReader

BATCH_BYTES = 2**20
CONNECTIONS_A_SECOND = 4.0
BURST = 4
"""How many connections may be opened at once after a pause."""
TICK_SECONDS = 0.2
NOTE_SECONDS = 60.0
"""Seconds before the same sentence is logged again."""


class CoinbaseSource:
    """See `connector_runner.protocols.source.Source`."""

    def __init__(self, context: SourceContext) -> None:
        self._report = context.report
        self._settings = read_settings(context)
        self._rest = RestClient(self._settings.rest_url, self._settings.credentials)
        self._limit = RateLimit(CONNECTIONS_A_SECOND, BURST / CONNECTIONS_A_SECOND)
        self._wake = asyncio.Event()
        self._sessions = SessionPool()
        self._session_settings: SessionSettings | None = None
        self._reader: Reader | None = None
        self._backfill = Backfill(self._rest, self._wake)
        self._liveness = LivenessWatch()
        self._discovery = ProductDiscovery(self._settings.products, self._rest, self._note)
        self._noted: dict[str, float] = {}

    @property
    def identity(self) -> str:
        """The feed's host."""
        return self._settings.host

    async def discover(self, selected: str | None, also: Collection[str] = ()) -> Catalogue:
        """See the protocol; subscribes to every configured product to check that the exchange accepts it."""
        try:
            products = await self._discovery.find()
            subscriptions = list(build_subscriptions(STREAMS["ticker"], products, ()))
            if self._settings.credentials is not None:
                subscriptions.append(Subscription({"user": tuple(products[:1]), "heartbeat": tuple(products[:1])}))
            await self._connect(subscriptions)
            refused = [f"{refusal_text(*entry)}; it would be left out" for entry in self._sessions.refused.items()]
            notes = (*await self._discovery.rest_notes(), *refused)
        finally:
            await self.close()
        return build_catalogue(self.identity, self._settings.credentials is not None, notes)

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        """See the protocol; only one stream so far."""
        stream, checkpoint = only_stream(checkpoints, "COINBASE")
        spec = find_stream(stream, self._settings.credentials is not None)
        if checkpoint is not None:
            require_same_source(checkpoint.identity, self.identity)
        products = await self._discovery.find()
        accounts = await self._rest.accounts() if spec.id == "balance" else ()
        self._reader = build_reader(
            spec, checkpoint.position if checkpoint else None, products, self._settings.restarts
        )
        await self._connect_without_refused(spec, products, accounts)
        self._discovery.watch(tuple(self._sessions.refused), self._is_accepted, self._wake)
        return Opened({stream: spec.schema}, self.identity)

    async def batches(self) -> AsyncIterator[Batch]:
        """See the protocol; one row when idle, up to a megabyte of messages when behind."""
        if self._reader is None:
            raise RuntimeError("open must be called before batches")
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
        """Connects. A stream without products uses another product's heartbeat if the first one is refused."""
        while True:
            try:
                return await self._connect(build_subscriptions(spec, products, accounts))
            except ProductsRefusedError:
                products = [product for product in products if product not in self._sessions.refused]
                if spec.channel not in WITHOUT_PRODUCTS or not products:
                    raise
                await self._sessions.stop()

    async def _is_accepted(self, product: str) -> bool:
        """Whether the feed now accepts a product that it refused before."""
        if self._reader is None or self._session_settings is None:
            return False
        settings = replace(self._session_settings, on_change=lambda *_: None, wake=asyncio.Event())
        return await is_accepted(build_subscriptions(self._reader.spec, (product,), ())[0], settings)

    def _news(self) -> BatchBuilder:
        """What to report about the start, with the first batch."""
        builder = BatchBuilder()
        for product, text in self._sessions.refused.items():
            sentence = (
                f"{refusal_text(product, text)}; it is left out, and tried again every {LIST_SECONDS / 60:.0f} minutes"
            )
            builder.add_incident("refused", product, sentence, {"product_id": product, "answer": text})
            self._report.count("refused_products")
        return builder

    async def _connect(self, subscriptions: Sequence[Subscription]) -> None:
        settings = SessionSettings(
            url=self._settings.url,
            credentials=self._settings.credentials,
            interpret=self._discovery.interpret,
            limit=self._limit,
            on_change=self._session_changed,
            wake=self._wake,
            buffer_bytes=max(2**20, BUFFER_BYTES // max(1, len(subscriptions))),
        )
        self._session_settings = settings
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
        """What the connections received and what REST answered, as builders."""
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
        """Handles what the messages contained besides rows."""
        for error in builder.errors:
            meaning = self._discovery.interpret(error)
            if isinstance(meaning, ActionRequiredError | ProductsChangedError):
                raise meaning
            session.drop(meaning.message)
        if builder.distrust:
            session.drop(builder.distrust)

    def _tend(self, reader: Reader) -> None:
        """Runs between batches: handles failures, counts, holes, products that became silent."""
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
                what = f"{reader.spec.channel} sent nothing of {', '.join(mute[:10])} for {MUTE_PRODUCT_SECONDS:.0f} s"
                session.drop(f"{what} although heartbeats announced some")

    def _note(self, text: str) -> None:
        now = time.monotonic()
        if now - self._noted.get(text, float("-inf")) >= NOTE_SECONDS:
            self._noted = {known: told for known, told in self._noted.items() if now - told < NOTE_SECONDS}
            self._noted[text] = now
            self._report.note(text)

    async def _pause(self) -> None:
        """Waits until something arrives, at most one tick, because holes and silence have deadlines."""
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
        """Whether there is new data that was not handed over, or that can't be received."""
        has_holes = isinstance(self._reader, MatchesReader) and self._reader.open_holes > 0
        return has_holes or not all(session.is_up for session in self._sessions.up)
