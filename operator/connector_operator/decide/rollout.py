"""A Dataset's status, and which of its connectors may follow a change: one by one, the next when those before are ready.

A change that breaks the first connector so breaks only the first. One that was failing or not ready before the change holds nobody up.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from connector_operator.resources.connector import Condition
from connector_operator.resources.dataset import DatasetStatus, dataset_hash, parse_dataset
from connector_operator.resources.names import hash_value
from connector_operator.resources.times import format_time

CONDITIONS = {
    "Ready": "Whether the Dataset can be used.",
    "Reached": "Whether the latest execution reached it; Unknown when none has run.",
    "RolledOut": "Whether all running connectors use its present form.",
}


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One connector of a Dataset.

    Attributes:
        table: Its table there.
        is_wanted: Whether running is asked for.
        live_hash: Of the Dataset's form that its live execution was made from; "" without one.
        is_ready: Whether that execution's pod is ready.
        is_starting: Whether its state is running.
        unready_since: Since when its condition Ready is not true; "" when it is, or not known.
        failing_since: When its row of failures began; "" when none.
        trouble: How its last execution failed, if that was about the dataset.
    """

    name: str
    table: str = ""
    is_wanted: bool = False
    live_hash: str = ""
    is_ready: bool = False
    is_starting: bool = False
    unready_since: str = ""
    failing_since: str = ""
    trouble: str = ""


class DatasetDecision(msgspec.Struct, frozen=True):
    """What becomes of a Dataset's status (None: nothing), who has the turn ("": nobody), and who waits for one."""

    status: dict[str, Any] | None
    turn: str
    waiting: tuple[str, ...]


def decide_dataset(
    name: str, generation: int, raw_spec: Any, status: DatasetStatus, users: list[User], now: datetime
) -> DatasetDecision:
    """Decides about one Dataset from its spec, its status and the connectors that use it. Pure."""
    spec, problems = parse_dataset(raw_spec)
    form = hash_value(raw_spec)
    changed_at = status.changed_at if status.hash == form and status.changed_at else format_time(now)
    users = sorted(users, key=lambda user: user.name)
    live = [u for u in users if u.live_hash]
    outdated = [] if spec is None or problems else [u for u in live if u.is_wanted and _is_outdated(name, spec, u)]
    late = {u.name for u in outdated}
    blockers = [u for u in users if u.name not in late and _blocks(u, changed_at)] if outdated else []
    turn = outdated[0].name if outdated and not blockers else ""
    said = {
        "Ready": ("False", "DatasetInvalid", "; ".join(problems) + ".")
        if problems
        else ("True", "Valid", "It can be used."),
        "Reached": _reached(live, users, status),
        "RolledOut": _rolled_out(outdated, blockers),
    }
    before = {condition.type: condition for condition in status.conditions}
    conditions = []
    for kind in CONDITIONS:
        value, reason, message = said[kind]
        old = before.get(kind)
        since = (
            old.last_transition_time if old and old.status == value and old.last_transition_time else format_time(now)
        )
        conditions.append(Condition(kind, value, reason, message, since, generation))
    after = DatasetStatus(generation, len(users), len(live), len(outdated), form, changed_at, tuple(conditions))
    waiting = tuple(u.name for u in outdated)
    return DatasetDecision(msgspec.json.decode(msgspec.json.encode(after)) if after != status else None, turn, waiting)


def _is_outdated(name: str, spec: Any, user: User) -> bool:
    return user.live_hash != dataset_hash(name, user.table, spec)


def _blocks(user: User, changed_at: str) -> bool:
    """Whether a user that follows the change already is not ready because of it, as far as one can tell."""
    if not user.is_wanted or user.is_ready:
        return False
    if user.failing_since:
        return user.failing_since >= changed_at
    return user.is_starting and (not user.unready_since or user.unready_since >= changed_at)


def _reached(live: list[User], users: list[User], status: DatasetStatus) -> tuple[str, str, str]:
    if any(u.is_ready for u in live):
        return "True", "Reached", "A running execution is connected."
    trouble = next((u for u in users if u.trouble), None)
    if trouble is not None:
        return "False", "NotReached", f"Connector {trouble.name}: {trouble.trouble}"
    said = next((c for c in status.conditions if c.type == "Reached" and c.reason == "Reached"), None)
    if said is not None:
        return "True", "Reached", "The last execution was connected."
    return "Unknown", "NotTried", "No execution has reported yet."


def _rolled_out(outdated: list[User], blockers: list[User]) -> tuple[str, str, str]:
    if not outdated:
        return "True", "RolledOut", "All running connectors use its present form."
    if blockers:
        names = ", ".join(u.name for u in blockers[:5])
        return (
            "False",
            "Waiting",
            f"Connectors go on with the earlier form until these are ready with the present one: {names}. "
            "Mend or stop them, or set spec.restartedAt of others to have them follow now.",
        )
    return "False", "RollingOut", "Running connectors follow one by one."
