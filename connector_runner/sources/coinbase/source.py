"""The COINBASE source: finds products, keeps connections, turns what they receive into batches, fills holes from REST."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from connector_runner.protocols.batch import Batch
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError
from connector_runner.protocols.source import Checkpoint, Opened, SourceContext, StreamState, require_same_source
from connector_runner.resilience.rate_limit import RateLimit
from connector_runner.schemas.catalogue import Catalogue
from connector_runner.sources.coinbase.discovery import (
    ProductDiscovery,
    build_catalogue,
    left_out_text,
    refusal_text,
)
from connector_runner.sources.coinbase.errors import ProductsChangedError
from connector_runner.sources.coinbase.feed.liveness import LivenessWatches
from connector_runner.sources.coinbase.feed.pool import SessionPool
from connector_runner.sources.coinbase.feed.session import BUFFER_BYTES, FeedSession, SessionSettings
from connector_runner.sources.coinbase.feed.subscription import Subscription, build_subscriptions
from connector_runner.sources.coinbase.opening import (
    LeftOut,
    StreamOpening,
    build_left_out,
    build_places,
    choose_streams,
)
from connector_runner.sources.coinbase.position import READER_POSITION
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.readers.building import build_reader
from connector_runner.sources.coinbase.readers.reader import Reader
from connector_runner.sources.coinbase.readers.routing import ReaderGroup
from connector_runner.sources.coinbase.rest.backfill import Backfill
from connector_runner.sources.coinbase.rest.client import RestClient
from connector_runner.sources.coinbase.settings import read_settings
from connector_runner.sources.coinbase.streams import STREAMS
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
        self._isolates = context.isolates
        self._settings = read_settings(context)
        self._rest = RestClient(self._settings.rest_url, self._settings.credentials)
        self._limit = RateLimit(CONNECTIONS_A_SECOND, BURST / CONNECTIONS_A_SECOND)
        self._wake = asyncio.Event()
        self._sessions = SessionPool()
        self._session_settings: SessionSettings | None = None
        self._opening = StreamOpening(self._sessions, self._connect, self._rest.accounts)
        self._checkpoints: Mapping[str, Checkpoint | None] = {}
        self._products: Sequence[str] = ()
        self._readers: dict[str, Reader] = {}
        self._groups: dict[tuple[str, ...], ReaderGroup] = {}
        self._left_out: LeftOut = {}
        self._backfill = Backfill(self._rest, self._wake)
        self._liveness = LivenessWatches()
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
            subscriptions = list(build_subscriptions([STREAMS["ticker"]], products, ()))
            if self._settings.credentials is not None:
                subscriptions += build_subscriptions([STREAMS["user"]], products[:1], ())
            await self._connect(subscriptions)
            texts = {product: text for (_, product), text in self._sessions.refused.items()}
            refused = [f"{refusal_text(*entry)}; it would be left out" for entry in texts.items()]
            notes = (*await self._discovery.rest_notes(), *refused)
        finally:
            await self.close()
        return build_catalogue(self.identity, self._settings.credentials is not None, notes)

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        """See the protocol; streams that can't be read are left out and reported, if they are isolated and others can."""
        for checkpoint in checkpoints.values():
            if checkpoint is not None:
                require_same_source(checkpoint.identity, self.identity)
        isolates = self._isolates and len(checkpoints) > 1
        specs, self._left_out = choose_streams(checkpoints, self._settings.credentials is not None, isolates=isolates)
        self._checkpoints = checkpoints
        products = self._products = await self._discovery.find()
        self._opening = replace(self._opening, isolates=isolates)
        refused_streams = await self._opening.start(specs, products)
        self._left_out |= refused_streams
        for spec in specs:
            if spec.id not in self._left_out:
                checkpoint = checkpoints[spec.id]
                position = checkpoint.position if checkpoint else None
                self._readers[spec.id] = build_reader(spec, position, products, self._settings.restarts)
        refused = tuple(dict.fromkeys(product for _, product in self._sessions.refused))
        self._discovery.watch(refused, tuple(refused_streams), self._is_accepted, self._wake)
        known = [stream for stream, at in checkpoints.items() if stream in self._readers or (at and stream in STREAMS)]
        return Opened({stream: STREAMS[stream].schema for stream in known}, self.identity, self._left_out)

    async def batches(self) -> AsyncIterator[Batch]:
        """See the protocol; one row when idle, up to a megabyte of messages of each connection when behind."""
        if not self._readers:
            raise RuntimeError("open must be called before batches")
        for batch in self._beginning():
            yield batch
        opening = self._news()
        while True:
            found = False
            for reader, builder in chain(opening, self._drain()):
                for text in builder.notes:
                    self._note(text)
                if builder.rows or builder.incidents:
                    found = True
                    batch = self._build(reader, builder)
                    self._report_lag(batch)
                    yield batch
            opening.clear()
            self._tend()
            if not found:
                await self._pause()

    async def close(self) -> None:
        """See the protocol."""
        await self._discovery.close()
        await self._backfill.close()
        await self._sessions.stop()
        await self._rest.close()

    async def _is_accepted(self, name: str) -> bool:
        settings = self._session_settings
        return settings is not None and await self._opening.is_accepted(name, self._products, settings)

    def _build(self, reader: Reader, builder: BatchBuilder) -> Batch:
        """The batch, with the stream's own position as its place if there are several streams."""
        position = reader.position()
        if len(self._checkpoints) == 1:
            return builder.build(reader.spec.schema, position)
        return replace(builder.build(reader.spec.schema, READER_POSITION), place=position)

    def _beginning(self) -> Iterable[Batch]:
        """What to report about the start."""
        for stream, error in self._left_out.items():
            self._report.note(f"{stream} is left out, the others continue: {error.message}", reason=error.reason)
        if len(self._checkpoints) > 1:
            for stream in self._readers:
                self._report.stream(stream, StreamState.FOLLOWING)
            yield from build_places(self._checkpoints)
            yield from build_left_out(self._left_out, self._checkpoints)

    def _news(self) -> list[tuple[Reader, BatchBuilder]]:
        """The products that the feed refuses, for each stream's first batch."""
        news = {stream: BatchBuilder() for stream in self._readers}
        for (stream, product), text in self._sessions.refused.items():
            if stream in news:
                detail = {"product_id": product, "answer": text}
                news[stream].add_incident("refused", product, left_out_text(product, text), detail)
                self._report.count("refused_products")
        return [(self._readers[stream], builder) for stream, builder in news.items()]

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

    def _drain(self) -> Iterable[tuple[Reader, BatchBuilder]]:
        """What the connections received and what REST answered, as builders."""
        self._wake.clear()
        for session in self._sessions.up:
            began, payloads = session.take(BATCH_BYTES)
            if not began and not payloads:
                continue
            begun = session.subscription.channels["heartbeat"] if began else None
            read = self._group_of(session).read(payloads, begun, time.monotonic())
            if session.items:
                self._wake.set()
            for reader, builder in read:
                self._heed(builder, session)
                yield reader, builder
        if (trades := self._trades) is not None:
            yield from ((trades, builder) for builder in self._backfill.drain(trades))

    def _group_of(self, session: FeedSession) -> ReaderGroup:
        streams = session.subscription.streams
        group = self._groups.get(streams)
        if group is None:
            group = self._groups[streams] = ReaderGroup([self._readers[stream] for stream in streams])
        return group

    @property
    def _trades(self) -> MatchesReader | None:
        """The stream whose holes REST fills, if it is read."""
        reader = self._readers.get("matches")
        return reader if isinstance(reader, MatchesReader) else None

    def _heed(self, builder: BatchBuilder, session: FeedSession) -> None:
        """Handles what the messages contained besides rows."""
        for error in builder.errors:
            meaning = self._discovery.interpret(error)
            if isinstance(meaning, ActionRequiredError | ProductsChangedError):
                raise self._as_failure(meaning)
            session.drop(meaning.message)
        if builder.distrust:
            session.drop(builder.distrust)

    def _tend(self) -> None:
        """Runs between batches: handles failures, counts, holes, products that became silent."""
        for failure in (self._discovery.failure, *(session.failure for session in self._sessions.up)):
            if failure is not None:
                raise self._as_failure(failure)
        for reader in self._readers.values():
            for name, amount in reader.counts.items():
                if amount:
                    self._report.count(name, amount)
            reader.counts.clear()
        now = time.monotonic()
        if (trades := self._trades) is not None:
            self._backfill.ask(trades, now)
        if not self._wake.is_set():
            self._look_for_silence(now)

    def _as_failure(self, error: Exception) -> Exception:
        """What ends this reading: if several streams are isolated, opening again finds out which of them can't be read."""
        if self._isolates and len(self._readers) > 1 and isinstance(error, ActionRequiredError):
            text = f"{error.message}; the streams are opened again, without those that this concerns"
            return TransientError(text, reason=error.reason)
        return error

    def _look_for_silence(self, now: float) -> None:
        for session in self._sessions.up:
            if session.is_up:
                products, readers = session.subscription.channels["heartbeat"], self._group_of(session).readers
                silent, reason = self._liveness.explain(products, readers, now)
                if silent:
                    self._report.count("silent_products", len(silent))
                    session.drop(reason)

    def _note(self, text: str) -> None:
        now = time.monotonic()
        if now - self._noted.get(text, float("-inf")) >= NOTE_SECONDS:
            self._noted = {known: at for known, at in self._noted.items() if now - at < NOTE_SECONDS}
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

    def _report_lag(self, batch: Batch) -> None:
        if batch.event_time is not None:
            behind = self._wake.is_set() or self._is_behind()
            self._report.lag(max(0.0, time.time() - batch.event_time) if behind else 0.0)

    def _is_behind(self) -> bool:
        """Whether there is new data that was not handed over, or that can't be received."""
        has_holes = self._trades is not None and self._trades.open_holes > 0
        return has_holes or not all(session.is_up for session in self._sessions.up)
