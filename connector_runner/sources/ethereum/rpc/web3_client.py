"""web3.py, only used where convenience matters more than speed, and prevented from revealing secrets.

Importing it takes about a second and 35 MB, so only discovery imports it, and late.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from connector_runner.sources.ethereum.rpc.sockets import direct_connect
from connector_runner.sources.ethereum.rpc.transport import MOST_BYTES
from connector_runner.sources.ethereum.settings import Endpoint

if TYPE_CHECKING:
    import aiohttp
    from web3 import AsyncWeb3

REQUEST_SECONDS = 30.0
MOST_WORDS = 4000


async def _refuse_pages(response: aiohttp.ClientResponse) -> None:
    """Raises for error statuses and also for redirects, which aiohttp would accept and web3.py would treat as an answer."""
    import aiohttp

    if response.status >= 300:
        info, status, headers = response.request_info, response.status, response.headers
        body = (await response.content.read(MOST_WORDS)).decode(
            errors="replace"
        )  # providers put their errors there as well
        raise aiohttp.ClientResponseError(info, response.history, status=status, headers=headers, message=body)


def build_web3(endpoint: Endpoint) -> AsyncWeb3[Any]:
    """Creates an unconnected web3 for an endpoint; blocks for the import the first time.

    Its loggers are silenced: they log full URLs, including keys.
    """
    from web3 import AsyncHTTPProvider, AsyncIPCProvider, AsyncWeb3, WebSocketProvider

    logger = logging.getLogger("web3")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("web3.")]:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    class DirectWebSocketProvider(WebSocketProvider):
        async def _provider_specific_connect(self) -> None:
            self._ws = await direct_connect()(self.endpoint_uri, **self.websocket_kwargs)

        async def disconnect(self) -> None:
            """Disconnects like web3.py, and closes the socket even if interrupted, or if the server is already closing it."""
            socket = self._ws
            try:
                await super().disconnect()
            finally:
                if socket is not None:
                    socket.transport.abort()

    headers = dict(endpoint.headers)
    if endpoint.kind == "http":
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        # A redirect could send the keys in the headers to another host.
        options = {
            "timeout": timeout,
            "headers": {"Content-Type": "application/json", **headers},
            "allow_redirects": False,
            "raise_for_status": _refuse_pages,
        }
        # Its own retries would hide failures that the table should classify.
        return AsyncWeb3(AsyncHTTPProvider(endpoint.url, options, exception_retry_configuration=None))
    if endpoint.kind == "ipc":
        return AsyncWeb3(AsyncIPCProvider(endpoint.url, request_timeout=REQUEST_SECONDS, max_connection_retries=1))
    kwargs = {"additional_headers": headers, "max_size": MOST_BYTES}
    return AsyncWeb3(
        DirectWebSocketProvider(
            endpoint.url, kwargs, use_text_frames=True, request_timeout=REQUEST_SECONDS, max_connection_retries=1
        )
    )
