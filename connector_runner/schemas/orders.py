"""Orders that change while a runner runs: the document that the operator mounts, and what the runner answers in its log. Pure."""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec

from connector_runner.schemas.kinds.declare import described
from connector_runner.schemas.kinds.streams import StreamsSpec

ANSWER_FIELD = "orders"
"""The field of a log line that holds an `OrdersAnswer`."""
MOST_PROBLEMS = 5


class SelectionOrders(StreamsSpec, frozen=True, rename="camel", omit_defaults=True):
    """`spec.streams` as it is mounted; further members are ignored.

    Attributes:
        mark: What the runner names the orders by in its answer: their `StreamsSpec.whole_key`, where the operator wrote them.
    """

    mark: str = ""


class OrdersAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a runner says after it has looked at changed orders."""

    mark: Annotated[str, described("Hash of the spec.streams that it is about.")] = ""
    reason: Annotated[
        str, described("Why it was refused, so that the earlier one goes on; absent if it is carried.")
    ] = ""
    message: Annotated[str, described("Why, in a sentence.")] = ""
    problems: Annotated[
        tuple[Annotated[str, described("A sentence.")], ...],
        described(f"What is left out of what it carries, at most {MOST_PROBLEMS}."),
    ] = ()


NO_ANSWER = OrdersAnswer()
"""This very value is left out of a status; an empty object would be refused where there was an answer before."""


def encode_orders(streams: StreamsSpec) -> str:
    """The document of a selection: equal selections are equal texts."""
    document = {**msgspec.to_builtins(streams), "mark": streams.whole_key}
    return msgspec.json.encode(document, order="sorted").decode()


def find_answer(log: str) -> OrdersAnswer | None:
    """The newest answer in a runner's log; None if there is none."""
    for line in reversed(log.split("\n")):
        if f'"{ANSWER_FIELD}"' not in line:
            continue
        try:
            found: Any = json.loads(line)
            return msgspec.convert(found[ANSWER_FIELD], OrdersAnswer)
        except (ValueError, KeyError, TypeError, msgspec.ValidationError):
            continue  # cut, or another line that has this word
    return None
