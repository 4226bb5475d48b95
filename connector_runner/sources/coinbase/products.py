"""Which products are meant: all that are online, or those named, each checked against what the exchange has. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import msgspec

from connector_runner.protocols.errors import InvalidConfigError, TransientError
from connector_runner.sources.coinbase.decode.decoder import UNREADABLE, reason_of

ALL = "*"


class ProductsChangedError(TransientError):
    """The products that `*` means are others now: they are listed again, and subscribed to anew."""

    reason = "ProductsChanged"


class ProductsRefusedError(ProductsChangedError):
    """The feed refuses some of the products that `*` means, though REST lists them as online.

    Attributes:
        products: Which, by their names; empty when the feed did not say.
    """

    def __init__(self, message: str, products: Sequence[str]) -> None:
        super().__init__(message)
        self.products = tuple(products)


class ListedProduct(msgspec.Struct):
    """One product of `GET /products`."""

    id: str
    status: str = "online"


def decode_products(raw: bytes) -> tuple[ListedProduct, ...]:
    """The answer of `GET /products`.

    Raises:
        TransientError: It is none.
    """
    try:
        return tuple(msgspec.json.decode(raw, type=list[ListedProduct]))
    except UNREADABLE as error:
        raise TransientError(f"restUrl did not answer with a list of products: {reason_of(error)}") from None


def online(listed: Iterable[ListedProduct]) -> tuple[str, ...]:
    """The products that trade."""
    return tuple(sorted(product.id for product in listed if product.status == "online"))


def changes(before: Sequence[str], after: Sequence[str]) -> str:
    """What is told when the products that are online are others now."""
    parts = [
        f"{len(names)} {what} ({', '.join(names[:10])}{', …' if len(names) > 10 else ''})"
        for what, names in (
            ("new", sorted(set(after).difference(before))),
            ("gone", sorted(set(before).difference(after))),
        )
        if names
    ]
    return f"the products that are online have changed: {', '.join(parts)}; they are subscribed to anew"


def wants_all(asked: Sequence[str]) -> bool:
    """Whether the configuration means all products.

    Raises:
        InvalidConfigError: `*` stands beside names.
    """
    if ALL in asked and list(asked) != [ALL]:
        raise InvalidConfigError(
            [f"config.productId[{list(asked).index(ALL)}]: * means all products and stands alone; drop it or the names"]
        )
    return list(asked) == [ALL]


def unique(asked: Sequence[str]) -> tuple[str, ...]:
    """Without repetitions, in order."""
    return tuple(dict.fromkeys(asked))


def unknown_products(asked: Sequence[str], listed: Iterable[ListedProduct]) -> list[str]:
    """One sentence a product that the exchange doesn't have, with the nearest that it has."""
    known = {product.id: product.status for product in listed}
    problems = []
    for index, name in enumerate(asked):
        if name in known and known[name] != "delisted":
            continue
        if name in known:
            problems.append(f"config.productId[{index}]: {name} is delisted; remove it")
            continue
        near = nearest(name, known)
        question = f"did you mean {' or '.join(near)}?" if near else "see GET /products of restUrl for what there is"
        problems.append(f"config.productId[{index}]: {name} is not a product of the exchange: {question}")
    return problems


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """At most three names that look like this one."""
    by_form = {_form(product): product for product in known}
    if (same := by_form.get(_form(name))) is not None:
        return [same]
    return [by_form[form] for form in difflib.get_close_matches(_form(name), by_form, n=3, cutoff=0.7)]


def _form(name: str) -> str:
    return name.upper().replace("/", "-").replace("_", "-").strip()
