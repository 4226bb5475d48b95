"""Conditions, in the form that Kubernetes uses."""

from __future__ import annotations

from typing import Annotated

import msgspec

from connector_runner.schemas.kinds.declare import described


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """One aspect of the state."""

    type: Annotated[str, described("The aspect.")]
    status: Annotated[str, described("True, False or Unknown.", enum=["True", "False", "Unknown"])]
    reason: Annotated[str, described("Why, in one word.")]
    message: Annotated[str, described("Why, in a sentence that says what to do.")]
    last_transition_time: Annotated[
        str, described("When the condition's status last changed.", is_required=True, format="date-time")
    ] = ""
    observed_generation: Annotated[
        int, described("The generation of the spec that this condition is about.", format="int64")
    ] = 0


Conditions = Annotated[
    tuple[Condition, ...], described("The state, aspect by aspect, for tools and people.", key="type")
]
ObservedGeneration = Annotated[int, described("The generation of the spec that this status is about.", format="int64")]
