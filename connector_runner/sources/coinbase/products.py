"""Which products are selected: all that are online, or those named, each checked against the exchange's list. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.sources.coinbase.decode.rest import ListedProduct

ALL = "*"


def online(listed: Iterable[ListedProduct]) -> tuple[str, ...]:
    """The ids of the products that are online."""
    return tuple(sorted(product.id for product in listed if product.status == "online"))


def changes(before: Sequence[str], after: Sequence[str]) -> str:
    """The message when the set of online products has changed."""
    parts = [
        f"{len(names)} {what} ({', '.join(names[:10])}{', …' if len(names) > 10 else ''})"
        for what, names in (
            ("new", sorted(set(after).difference(before))),
            ("gone", sorted(set(before).difference(after))),
        )
        if names
    ]
    return f"the products that are online have changed: {', '.join(parts)}; subscribing again"


def wants_all(asked: Sequence[str]) -> bool:
    """Whether the configuration selects all products.

    Raises:
        InvalidConfigError: `*` is combined with names.
    """
    if ALL in asked and list(asked) != [ALL]:
        raise InvalidConfigError(
            [
                f"config.productId[{list(asked).index(ALL)}]: * means all products and must be alone; remove it or the names"
            ]
        )
    return list(asked) == [ALL]


def unique(asked: Sequence[str]) -> tuple[str, ...]:
    """The names without duplicates, in order."""
    return tuple(dict.fromkeys(asked))


def unknown_products(asked: Sequence[str], listed: Iterable[ListedProduct]) -> list[str]:
    """One sentence for each product that the exchange doesn't have, with the nearest ones that it has."""
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
