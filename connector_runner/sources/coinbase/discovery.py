"""What a configuration can read: its streams, and the products that it selects, as REST lists them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from connector_runner.protocols.errors import (
    ConnectorError,
    InvalidConfigError,
    TransientError,
    UnknownStreamError,
)
from connector_runner.schemas.catalogue import Catalogue
from connector_runner.schemas.selection import say_near
from connector_runner.sources.coinbase.decode.messages import FeedError
from connector_runner.sources.coinbase.errors import (
    FeedErrorKind,
    ProductsChangedError,
    ProductsRefusedError,
    classify,
    describe,
    named_products,
    refused_products,
)
from connector_runner.sources.coinbase.products import changes, online, unique, unknown_products, wants_all
from connector_runner.sources.coinbase.rest.client import RestClient
from connector_runner.sources.coinbase.streams import STREAMS, StreamSpec, available_streams

LIST_SECONDS = 600.0
"""How often the products that `*` selects are listed again, and products that the feed refused are tried again."""
IsAccepted = Callable[[str], Awaitable[bool]]
TRIED_AGAIN = 20
"""How many refused products are tried again at a time, at most."""


class ProductDiscovery:
    """`productId` of one configuration.

    Attributes:
        failure: Why the source must start again; None as long as nothing has changed.
    """

    def __init__(self, asked: Sequence[str], rest: RestClient, note: Callable[[str], None]) -> None:
        """Args: note: Takes a sentence for the log."""
        self.failure: Exception | None = None
        self._asked = unique(asked)
        self._found: tuple[str, ...] = ()
        self._rest = rest
        self._note = note
        self._watching: asyncio.Task[None] | None = None

    async def find(self) -> tuple[str, ...]:
        """The products to subscribe to.

        Raises:
            InvalidConfigError: `*` is combined with names.
            TransientError: The products can't be listed now.
        """
        if not wants_all(self._asked):
            return self._asked
        products = online(await self._rest.products())
        if not products:
            raise TransientError("restUrl lists no product that is online")
        self._found = products
        return products

    def watch(
        self, refused: Sequence[str], left_out: Sequence[str], is_accepted: IsAccepted, wake: asyncio.Event
    ) -> None:
        """Finds out at intervals whether others must be read; sets `failure` and `wake` then.

        Args:
            refused: Products that REST lists but the feed refused; they are tried if all products are selected.
            left_out: Streams that the feed refused.
            is_accepted: Whether the feed accepts a stream now, or a product for one of the streams that it was refused for.
            wake: Set together with `failure`.
        """
        if wants_all(self._asked) or left_out:
            self._watching = asyncio.create_task(self._watch(tuple(refused), tuple(left_out), is_accepted, wake))

    async def close(self) -> None:
        """Stops `watch`; safe to call twice."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def interpret(self, error: FeedError) -> ConnectorError:
        """What an error message of the exchange means for this configuration."""
        text = describe(error)
        match classify(error):
            case FeedErrorKind.UNKNOWN_PRODUCT if wants_all(self._asked):
                return ProductsRefusedError(f"the exchange answered: {text}", named_products(text, self._found))
            case _ if wants_all(self._asked) and (refused := refused_products(error, self._found)):
                return ProductsRefusedError(f"the exchange answered: {text}", refused)
            case FeedErrorKind.UNKNOWN_PRODUCT:
                return InvalidConfigError([f"config.productId: {text}"], reason="UnknownProduct")
            case FeedErrorKind.UNKNOWN_CHANNEL:
                return UnknownStreamError(f"the exchange does not offer this stream: {text}")
            case FeedErrorKind.CREDENTIALS:
                return InvalidConfigError(
                    [f"config.key, config.secret, config.passphrase: {text}"], reason="InvalidKey"
                )
            case _:
                return TransientError(f"the exchange answered: {text}", reason="FeedError")

    async def explain(self, error: ConnectorError) -> ConnectorError:
        """Names all unknown products at once, with the nearest ones, if REST lists the products.

        An error with an unexpected text may mean the same: REST knows the products, whatever the text is.
        """
        if error.reason not in {"UnknownProduct", "FeedError"} or wants_all(self._asked):
            return error
        try:
            problems = unknown_products(self._asked, await self._rest.products())
        except ConnectorError:
            return error
        return InvalidConfigError(problems, reason="UnknownProduct") if problems else error

    async def rest_notes(self) -> tuple[str, ...]:
        """What a person should know about restUrl. If all products are selected, REST has already answered.

        Raises:
            NotFoundError: It is not the exchange's REST interface.
        """
        if not wants_all(self._asked):
            try:
                await self._rest.products()
            except TransientError as error:
                return (f"{error.message}: as long as that is so, trades that the feed leaves out can't be filled",)
        return ()

    async def _watch(
        self, refused: tuple[str, ...], left_out: tuple[str, ...], is_accepted: IsAccepted, wake: asyncio.Event
    ) -> None:
        try:
            while self.failure is None:
                await asyncio.sleep(LIST_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311
                if wants_all(self._asked):
                    try:
                        found = online(await self._rest.products())
                    except ConnectorError as error:
                        self._note(f"the products can't be listed again: {error.message}")
                        continue
                    if found and found != self._found:
                        self.failure = ProductsChangedError(changes(self._found, found))
                        break
                for name in (*left_out, *random.sample(refused, min(len(refused), TRIED_AGAIN))):
                    if await is_accepted(name):
                        text = f"the feed accepts {name} again; subscribing to the products again"
                        self.failure = ProductsChangedError(text)
                        break
        except Exception as error:
            self.failure = error
        wake.set()


def build_catalogue(identity: str, has_credentials: bool, notes: Sequence[str]) -> Catalogue:
    """The streams of a configuration, with what a person should know about it."""
    streams = tuple(spec.info for spec in available_streams(has_credentials))
    hidden = [spec.id for spec in STREAMS.values() if spec.is_private]
    if not has_credentials:
        notes = (f"{', '.join(hidden)} need an API key (key, secret, passphrase)", *notes)
    return Catalogue(streams, len(streams), identity, tuple(notes))


def find_stream(stream: str, has_credentials: bool) -> StreamSpec:
    """A stream by its name.

    Raises:
        UnknownStreamError: No stream has that name, or it needs an API key.
    """
    available = {spec.id: spec for spec in available_streams(has_credentials)}
    if stream in available:
        return available[stream]
    if stream in STREAMS:
        raise UnknownStreamError(
            f"the stream {stream} needs an API key: set key, secret and passphrase (by configFrom); "
            f"without one there are {', '.join(available)}"
        )
    raise UnknownStreamError(f"there is no stream {stream!r}; {say_near(stream, available)}")


def refusal_text(product: str, text: str) -> str:
    """The sentence about a product that the feed does not accept."""
    return f"the feed refuses {product}, which restUrl lists as online ({text})"


def left_out_text(product: str, text: str) -> str:
    """The sentence about such a product in a running stream."""
    return f"{refusal_text(product, text)}; it is left out, and tried again every {LIST_SECONDS / 60:.0f} minutes"
