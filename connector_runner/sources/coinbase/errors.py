"""What can go wrong with products and what the exchange's error messages mean. Pure.

Source: docs.cdp.coinbase.com/exchange, "errors".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto

from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.sources.coinbase.decode.messages import FeedError


class ProductsChangedError(TransientError):
    """The products that `*` selects have changed: they are listed and subscribed to again."""

    reason = "ProductsChanged"


class ProductsRefusedError(ProductsChangedError):
    """The feed refuses some of the products that `*` selects, although REST lists them as online.

    Attributes:
        products: The names of those products; empty if the feed did not name them.
    """

    def __init__(self, message: str, products: Sequence[str]) -> None:
        super().__init__(message)
        self.products = tuple(products)


class NotFoundError(ActionRequiredError):
    """REST answered with the status 404."""


class FeedErrorKind(Enum):
    """What kind of problem an error of the exchange is."""

    UNKNOWN_PRODUCT = auto()
    UNKNOWN_CHANNEL = auto()
    CREDENTIALS = auto()
    TRANSIENT = auto()


# The first match wins; an error without a match counts as transient.
ERRORS: tuple[tuple[re.Pattern[str], FeedErrorKind], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (r"timestamp expired|slow|rate limit|too many|internal|unavailable|timeout", FeedErrorKind.TRANSIENT),
        (
            r"not a valid product|product not found|(unknown|invalid|no such) product|is delisted",
            FeedErrorKind.UNKNOWN_PRODUCT,
        ),
        (
            r"product\w*( ?ids?)?\W.{0,80}\b(invalid|unknown|not (known|found|supported))",
            FeedErrorKind.UNKNOWN_PRODUCT,
        ),
        (r"not a valid channel|(unknown|invalid|no such) channel", FeedErrorKind.UNKNOWN_CHANNEL),
        (r"auth|api.?key|signature|passphrase|permission|forbidden|not allowed", FeedErrorKind.CREDENTIALS),
    )
)

# About the request, the key or the pace, also if the message names a product.
_ABOUT_ALL = re.compile(
    r"timestamp expired|slow|rate limit|too many|api.?key|signature|passphrase|authentication", re.IGNORECASE
)


def classify(error: FeedError) -> FeedErrorKind:
    """The kind of an error message, by the table above."""
    text = f"{error.message} {error.reason}"
    return next((kind for pattern, kind in ERRORS if pattern.search(text)), FeedErrorKind.TRANSIENT)


def refused_products(error: FeedError, asked: Sequence[str]) -> tuple[str, ...]:
    """The requested products that an error refuses, whatever its words: those that it names; empty if it is about the request as a whole.

    An error that the table above has no pattern for may name all of them.
    """
    text = describe(error)
    named = named_products(text, asked)
    is_foreseen = any(pattern.search(text) for pattern, _ in ERRORS)
    return () if _ABOUT_ALL.search(text) or (is_foreseen and len(named) == len(asked)) else named


def named_products(text: str, asked: Sequence[str]) -> tuple[str, ...]:
    """The requested products that an error's text names, as whole words."""
    words = set(re.split(r"[^\w-]+", text.upper()))
    return tuple(product for product in asked if product.upper() in words)


def describe(error: FeedError) -> str:
    """An error message in one line."""
    return ": ".join(part for part in (error.message, error.reason) if part) or "an error without a text"
