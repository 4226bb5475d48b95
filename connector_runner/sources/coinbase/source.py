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
from connector_runner.sources.coinbase.books import BookReader
from connector_runner.sources.coinbase.channels import HeartbeatReader, OrderReader, TickerReader
from connector_runner.sources.coinbase.draft import Draft
from connector_runner.sources.coinbase.filling import Filler
from connector_runner.sources.coinbase.link import BUFFER_BYTES, Link, LinkSettings
from connector_runner.sources.coinbase.links import Links, is_accepted
from connector_runner.sources.coinbase.listing import LIST_SECONDS, Listing
from connector_runner.sources.coinbase.marks import RestartedIds
from connector_runner.sources.coinbase.pacing import Pacer
from connector_runner.sources.coinbase.products import ProductsChangedError, ProductsRefusedError, nearest
from connector_runner.sources.coinbase.readers import Reader
from connector_runner.sources.coinbase.rest import RestClient
from connector_runner.sources.coinbase.silence import MUTE_PRODUCT_SECONDS, QUIET_PRODUCT_SECONDS, SilenceWatch
from connector_runner.sources.coinbase.status import StatusReader
from connector_runner.sources.coinbase.streams import STREAMS, Proof, StreamSpec, available_streams
from connector_runner.sources.coinbase.subscription import (
    WITHOUT_PRODUCTS,
    Subscription,
    build_subscriptions,
    read_credentials,
)
from connector_runner.sources.coinbase.trades import MatchesReader

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
        self._links = Links()
        self._settings: LinkSettings | None = None
        self._reader: Reader | None = None
        self._filler = Filler(self._rest, self._wake)
        self._silence = SilenceWatch()
        self._listing = Listing(config["productId"], self._rest, self._note)
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
            products = await self._listing.find()
            subscriptions = list(build_subscriptions(STREAMS["ticker"], products, ()))
            if self._credentials is not None:
                subscriptions.append(Subscription({"user": tuple(products[:1]), "heartbeat": tuple(products[:1])}))
            await self._connect(subscriptions)
            refused = [f"{refusal_text(*entry)}; it would be left out" for entry in self._links.refused.items()]
            notes = (*await self._listing.rest_notes(), *refused)
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
        products = await self._listing.find()
        accounts = await self._rest.accounts() if spec.id == "balance" else ()
        self._reader = build_reader(spec, checkpoint.position if checkpoint else None, products, self._restarts)
        await self._connect_without_refused(spec, products, accounts)
        self._listing.watch(tuple(self._links.refused), self._is_accepted, self._wake)
        return Opened(spec.schema, self.identity)

    async def batches(self) -> AsyncIterator[Batch]:
        """See the protocol; one row when idle, up to a megabyte of messages when behind."""
        if self._reader is None:
            raise RuntimeError("open comes before batches")
        reader = self._reader
        opening = [self._news()]
        while True:
            found = False
            for draft in chain(opening, self._drain(reader)):
                for text in draft.notes:
                    self._note(text)
                if draft.rows or draft.incidents:
                    found = True
                    batch = draft.batch(reader.spec.schema, reader.position())
                    self._tell_lag(batch)
                    yield batch
            opening.clear()
            self._tend(reader)
            if not found:
                await self._pause()

    async def close(self) -> None:
        """See the protocol."""
        await self._listing.close()
        await self._filler.close()
        await self._links.stop()
        await self._rest.close()

    async def _connect_without_refused(
        self, spec: StreamSpec, products: Sequence[str], accounts: Sequence[str]
    ) -> None:
        """Connects; a stream without products takes another product's heartbeat when the first one is refused."""
        while True:
            try:
                return await self._connect(build_subscriptions(spec, products, accounts))
            except ProductsRefusedError:
                products = [product for product in products if product not in self._links.refused]
                if spec.channel not in WITHOUT_PRODUCTS or not products:
                    raise
                await self._links.stop()

    async def _is_accepted(self, product: str) -> bool:
        """Whether the feed takes a product now that it refused before."""
        if self._reader is None or self._settings is None:
            return False
        settings = replace(self._settings, on_change=lambda *_: None, wake=asyncio.Event())
        return await is_accepted(build_subscriptions(self._reader.spec, (product,), ())[0], settings)

    def _news(self) -> Draft:
        """What is to be told of the opening, with the first batch."""
        draft = Draft()
        for product, text in self._links.refused.items():
            sentence = (
                f"{refusal_text(product, text)}; it is left out, and tried again every {LIST_SECONDS / 60:.0f} minutes"
            )
            draft.tell("refused", product, sentence, {"product_id": product, "answer": text})
            self._report.count("refused_products")
        return draft

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
        settings = LinkSettings(
            url=self._url,
            credentials=self._credentials,
            judge=self._listing.meaning,
            pacer=self._pacer,
            on_change=self._link_changed,
            wake=self._wake,
            buffer_bytes=max(2**20, BUFFER_BYTES // max(1, len(subscriptions))),
        )
        self._settings = settings
        try:
            await self._links.start(subscriptions, settings)
        except ConnectorError as error:
            raise await self._listing.explain(error) from None

    def _link_changed(self, is_up: bool, message: str) -> None:
        if is_up:
            if all(link.is_up for link in self._links.up):
                self._report.connected()
        else:
            self._report.disconnected(message)

    def _drain(self, reader: Reader) -> Iterable[Draft]:
        """What the connections received and REST answered, as drafts."""
        self._wake.clear()
        for link in self._links.up:
            began, payloads = link.take(BATCH_BYTES)
            if not began and not payloads:
                continue
            draft, now = Draft(), time.monotonic()
            if began:
                reader.begin(link.subscription.channels["heartbeat"], draft, now)
            reader.read(payloads, draft, now)
            if link.items:
                self._wake.set()
            self._heed(draft, link)
            yield draft
        if isinstance(reader, MatchesReader):
            yield from self._filler.drain(reader)

    def _heed(self, draft: Draft, link: Link) -> None:
        """Acts on what the messages said beside their rows."""
        for error in draft.errors:
            meaning = self._listing.meaning(error)
            if isinstance(meaning, ActionRequiredError | ProductsChangedError):
                raise meaning
            link.drop(meaning.message)
        if draft.distrust:
            link.drop(draft.distrust)

    def _tend(self, reader: Reader) -> None:
        """Between batches: failures, counts, holes, products that fell silent."""
        for failure in (self._listing.failure, *(link.failure for link in self._links.up)):
            if failure is not None:
                raise failure
        for name, amount in reader.counts.items():
            if amount:
                self._report.count(name, amount)
        reader.counts.clear()
        now = time.monotonic()
        if isinstance(reader, MatchesReader):
            self._filler.ask(reader, now)
        if not self._wake.is_set():
            self._look_for_silence(reader, now)

    def _look_for_silence(self, reader: Reader, now: float) -> None:
        for link in self._links.up:
            if not link.is_up:
                continue
            silent, mute = self._silence.fresh(link.subscription.channels["heartbeat"], reader, now)
            if silent or mute:
                self._report.count("silent_products", len({*silent, *mute}))
            if silent:
                link.drop(f"no heartbeat of {', '.join(silent[:10])} for {QUIET_PRODUCT_SECONDS:.0f} s")
            if mute:
                what = f"{reader.spec.channel} told nothing of {', '.join(mute[:10])} for {MUTE_PRODUCT_SECONDS:.0f} s"
                link.drop(f"{what} though heartbeats did")

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
        return has_holes or not all(link.is_up for link in self._links.up)


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
