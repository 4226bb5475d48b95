"""The configuration as values: products, addresses, an API key, what to do with ids that begin again. Pure.

Requests are signed as the exchange documents it: docs.cdp.coinbase.com/exchange, "authentication".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.protocols.source import SourceContext, WriteMode

RETRY_JITTER = (0.5, 1.5)
"""Waits between retries are up to half longer or shorter, so that many runners don't retry at the same time."""


class RestartedIds(StrEnum):
    """What happens to a product whose numbers begin again: `restartedIds` of the configuration."""

    STAND_ASIDE = "standAside"
    OVERWRITE = "overwrite"


CREDENTIAL_NAMES = ("key", "secret", "passphrase")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key; its texts never appear in its `repr`."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)

    def sign(self, timestamp: str, path: str = "/users/self/verify") -> str:
        """base64(HMAC-SHA256(base64decode(secret), timestamp + "GET" + path))."""
        digest = hmac.new(base64.b64decode(self.secret), f"{timestamp}GET{path}".encode(), hashlib.sha256).digest()
        return base64.b64encode(digest).decode()


def read_credentials(config: Mapping[str, Any]) -> Credentials | None:
    """The API key of a configuration, or None if it has none.

    Raises:
        InvalidConfigError: Only a part of the key is given, or the secret is not base64.
    """
    values = {name: config[name] for name in CREDENTIAL_NAMES if config.get(name)}
    if not values:
        return None
    if missing := [name for name in CREDENTIAL_NAMES if name not in values]:
        raise InvalidConfigError(
            [f"config.{name}: is required with {', '.join(values)}: an API key has all three" for name in missing]
        )
    try:
        base64.b64decode(values["secret"], validate=True)
    except (binascii.Error, ValueError):
        raise InvalidConfigError(["config.secret: must be base64, as the exchange showed it"]) from None
    return Credentials(**values)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person configured; see schema.yaml for each.

    Attributes:
        url: The websocket feed.
        rest_url: The REST interface.
        products: As they were requested; `*` means all that are online.
        credentials: An API key, or None.
        restarts: What happens to a product whose numbers begin again.
    """

    url: str
    rest_url: str
    products: tuple[str, ...]
    credentials: Credentials | None
    restarts: RestartedIds

    @property
    def host(self) -> str:
        """The feed's host, which identifies this source in a checkpoint."""
        return urlsplit(self.url).hostname or self.url


def read_settings(context: SourceContext) -> Settings:
    """The settings of a validated configuration.

    Raises:
        InvalidConfigError: See `read_credentials`.
    """
    config = context.config
    chosen = RestartedIds(config.get("restartedIds", RestartedIds.STAND_ASIDE))
    # In append mode nothing is overwritten: rows with ids that began again are added to the old ones.
    restarts = RestartedIds.OVERWRITE if context.write_mode is WriteMode.APPEND else chosen
    credentials = read_credentials(config)
    return Settings(str(config["url"]), str(config["restUrl"]), tuple(config["productId"]), credentials, restarts)
