"""The exchange's REST interface: products, pages of trades, accounts; within its rate limits."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from connector_runner.protocols.errors import ActionRequiredError, InvalidConfigError, TransientError
from connector_runner.resilience.rate_limit import RateLimit
from connector_runner.resilience.retry_after import parse_retry_after
from connector_runner.sources.coinbase.decode.decoder import MalformedError
from connector_runner.sources.coinbase.decode.messages import RestTrade
from connector_runner.sources.coinbase.decode.rest import ListedProduct, decode_accounts, decode_page, decode_products
from connector_runner.sources.coinbase.errors import NotFoundError
from connector_runner.sources.coinbase.settings import Credentials
from connector_runner.sources.coinbase.trades.reader import Request

if TYPE_CHECKING:
    import aiohttp

TIMEOUT_SECONDS = 15.0
# The exchange allows 10 per second for each address; some are left for other clients with the same address.
REQUESTS_A_SECOND = 8.0
BURST = 4
"""How many requests may be sent at once after a pause."""


class RestClient:
    """Opens its session with the first request; `close` closes it."""

    def __init__(self, url: str, credentials: Credentials | None) -> None:
        self._url = url.rstrip("/")
        self._credentials = credentials
        self._session: aiohttp.ClientSession | None = None
        self._limit = RateLimit(REQUESTS_A_SECOND, BURST / REQUESTS_A_SECOND)

    async def products(self) -> tuple[ListedProduct, ...]:
        """All products, in any state.

        Raises:
            TransientError: No response, or a temporary refusal.
        """
        return decode_products(await self._get("/products"))

    async def trades(self, request: Request) -> list[RestTrade]:
        """A page of trades, newest first.

        Raises:
            TransientError: No response, a temporary refusal, or the product is unknown: as the feed sends its trades, REST must
                know it.
        """
        try:
            query = f"?limit={request.limit}&after={request.after}"
            return decode_page(await self._get(f"/products/{request.product}/trades{query}"))
        except NotFoundError as error:
            raise TransientError(f"trades of {request.product}: {error.message}", reason="RestUnavailable") from None
        except MalformedError as error:
            raise TransientError(f"restUrl did not answer with trades of {request.product}: {error}") from None

    async def accounts(self) -> tuple[str, ...]:
        """The ids of the API key's accounts.

        Raises:
            InvalidConfigError: The key is refused.
            TransientError: No response, or a temporary refusal.
        """
        return decode_accounts(await self._get("/accounts"))

    async def close(self) -> None:
        """Closes the session; safe to call twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _headers(self, path: str) -> dict[str, str]:
        if self._credentials is None:
            return {}
        timestamp = str(time.time())
        return {
            "CB-ACCESS-KEY": self._credentials.key,
            "CB-ACCESS-SIGN": self._credentials.sign(timestamp, path),
            "CB-ACCESS-TIMESTAMP": timestamp,
            "CB-ACCESS-PASSPHRASE": self._credentials.passphrase,
        }

    async def _get(self, path: str) -> bytes:
        import aiohttp  # late: it takes half of this source's memory, and many streams never use REST

        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=True)
        if (delay := self._limit.reserve(time.monotonic())) > 0:
            await asyncio.sleep(delay)
        headers = self._headers(path) if path == "/accounts" else {}
        try:
            async with self._session.get(self._url + path, headers=headers) as response:
                if response.status == 200:
                    return await response.read()
                raise refusal(
                    self._url,
                    path,
                    response.status,
                    parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC)),
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            text = str(error) or type(error).__name__
            raise TransientError(f"restUrl {self._url} can't be reached: {text}") from None


def refusal(url: str, path: str, status: int, retry_after: float | None) -> TransientError | ActionRequiredError:
    """What a response with a status other than 200 means."""
    if status == 404:
        return NotFoundError(f"restUrl {url} does not have what was requested; is it the exchange's REST interface?")
    if status in {401, 403} and path == "/accounts":
        return InvalidConfigError(
            [f"config.key: the exchange refuses it ({status}); check key, secret, passphrase and the key's permissions"]
        )
    return TransientError(f"restUrl {url} answered {status}", reason="RestUnavailable", retry_after=retry_after)
