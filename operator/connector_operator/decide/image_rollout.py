"""Which connectors may follow a changed image of the runner now: a few at a time, and none after one that does not work.

How each connector stands is in its own condition RunnerUpToDate, so a restarted operator goes on where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from connector_operator.resources.reasons import Reason

Name = tuple[str, str]
"""Namespace and name of a Connector."""
ELSEWHERE = "a connector of another namespace"


class ImageTurns(msgspec.Struct, frozen=True, kw_only=True):
    """How far the roll-out is.

    Attributes:
        turns: Who may follow the image now; those that are being replaced, or have failed, keep their turn.
        waiting: Who must follow it and has no turn yet, in order.
        updating: Who is being replaced.
        failed: Who does not work with it.
    """

    turns: frozenset[Name] = frozenset()
    waiting: tuple[Name, ...] = ()
    updating: tuple[Name, ...] = ()
    failed: tuple[Name, ...] = ()

    def has_turn(self, connector: Name) -> bool:
        """Whether a connector may follow the image now."""
        return connector in self.turns

    def blocker_for(self, connector: Name) -> str:
        """Who stops the roll-out, in words for the status of a connector: names of other namespaces are not shown."""
        if not self.failed or connector in self.turns:
            return ""
        own = [name for namespace, name in self.failed if namespace == connector[0]]
        return f"connector {own[0]}" if own else ELSEWHERE


def decide_image_rollout(standings: Mapping[Name, str], pace: int) -> ImageTurns:
    """Gives the turns.

    Args:
        standings: The reason of each connector's condition RunnerUpToDate.
        pace: How many connectors may be replaced at a time.
    """

    def with_reason(reason: Reason) -> tuple[Name, ...]:
        return tuple(sorted(name for name, standing in standings.items() if standing == reason))

    waiting, updating = with_reason(Reason.AWAITING_TURN), with_reason(Reason.UPDATING)
    failed = with_reason(Reason.UPDATE_FAILED)
    free = 0 if failed else max(0, pace - len(updating))
    return ImageTurns(
        turns=frozenset((*updating, *failed, *waiting[:free])),
        waiting=waiting[free:],
        updating=updating,
        failed=failed,
    )
