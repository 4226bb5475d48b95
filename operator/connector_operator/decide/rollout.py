"""A Dataset's status, and which of its connectors may follow a change: one by one, when those before it are ready.

So a change that breaks the first connector breaks only that one. A connector that was failing or not ready before the
change delays no others.
"""

from __future__ import annotations

from datetime import datetime
from itertools import takewhile
from typing import Any

import msgspec

from connector_operator.decide.conditions import ConditionKind, Said, build_conditions
from connector_operator.decide.messages import list_problems
from connector_operator.resources.dataset import dataset_hash, parse_dataset
from connector_operator.resources.names import hash_value
from connector_operator.resources.reasons import Reason
from connector_operator.resources.times import format_time
from connector_runner.schemas.kinds.dataset import DatasetStatus


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One connector of a Dataset.

    Attributes:
        table: Its table in the dataset.
        is_wanted: Whether it is requested to run.
        live_hash: Hash of the Dataset's form that its live execution was made from; "" without one.
        is_ready: Whether that execution's pod is ready.
        is_starting: Whether its state is running.
        is_refused: Whether the API server refuses the Job that would replace the live one.
        unready_since: Since when its condition Ready is not true; "" when it is true, or not known.
        failing_since: When its consecutive failures began; "" when there are none.
        problem: How its last execution failed, if the failure was about the dataset.
    """

    name: str
    table: str = ""
    is_wanted: bool = False
    live_hash: str = ""
    is_ready: bool = False
    is_starting: bool = False
    is_refused: bool = False
    unready_since: str = ""
    failing_since: str = ""
    problem: str = ""


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """How far the connectors of a Dataset follow its present form.

    Attributes:
        problems: Everything that is wrong with the Dataset's spec.
        users: Its connectors, by name.
        live: Those with a live execution.
        outdated: Those of them that must follow a change.
        blockers: Those that already follow it and are not ready because of it: the others wait for them.
    """

    status: DatasetStatus
    problems: tuple[str, ...]
    users: tuple[User, ...]
    live: tuple[User, ...]
    outdated: tuple[User, ...]
    blockers: tuple[User, ...]


class DatasetDecision(msgspec.Struct, frozen=True):
    """The decision about one Dataset.

    Attributes:
        status: Its new status; None: it stays as it is.
        turn: Which connector follows the change next; "" for none.
        waiting: Those that must follow it, in order.
        refused: Those before it whose next Job the API server refuses: they are tried again, and delay no others.
    """

    status: dict[str, Any] | None
    turn: str
    waiting: tuple[str, ...]
    refused: tuple[str, ...] = ()


def decide_dataset(
    name: str, generation: int, raw_spec: Any, status: DatasetStatus, users: list[User], now: datetime
) -> DatasetDecision:
    """Decides about one Dataset from its spec, its status and the connectors that use it. Pure."""
    form = hash_value(raw_spec)
    changed_at = status.changed_at if status.hash == form and status.changed_at else format_time(now)
    rollout = _compare(name, raw_spec, status, users, changed_at)
    conditions = build_conditions(CONDITIONS, rollout, status.conditions, generation, now)
    counts = (len(rollout.users), len(rollout.live), len(rollout.outdated))
    after = DatasetStatus(generation, *counts, form, changed_at, conditions)
    waiting = tuple(u.name for u in rollout.outdated)
    raw = msgspec.json.decode(msgspec.json.encode(after)) if after != status else None
    if rollout.blockers:
        return DatasetDecision(raw, "", waiting)
    refused = tuple(u.name for u in takewhile(lambda user: user.is_refused, rollout.outdated))
    return DatasetDecision(raw, next(iter(waiting[len(refused) :]), ""), waiting, refused)


def _compare(name: str, raw_spec: Any, status: DatasetStatus, users: list[User], changed_at: str) -> Rollout:
    spec, problems = parse_dataset(raw_spec)
    users = sorted(users, key=lambda user: user.name)
    live = [u for u in users if u.live_hash]
    outdated = []
    if spec is not None and not problems:
        outdated = [u for u in live if u.is_wanted and u.live_hash != dataset_hash(name, u.table, spec)]
    late = {u.name for u in outdated}
    blockers = [u for u in users if u.name not in late and _blocks(u, changed_at)] if outdated else []
    return Rollout(
        status=status,
        problems=tuple(problems),
        users=tuple(users),
        live=tuple(live),
        outdated=tuple(outdated),
        blockers=tuple(blockers),
    )


def _blocks(user: User, changed_at: str) -> bool:
    """Whether a user that already follows the change is not ready because of it, as far as that can be known."""
    if not user.is_wanted or user.is_ready:
        return False
    if user.failing_since:
        return user.failing_since >= changed_at
    return user.is_starting and (not user.unready_since or user.unready_since >= changed_at)


def _ready(rollout: Rollout) -> Said:
    if rollout.problems:
        return Said("False", Reason.DATASET_INVALID, list_problems(rollout.problems))
    return Said("True", Reason.VALID, "It can be used.")


def _stalled(rollout: Rollout) -> Said:
    ready = _ready(rollout)
    if rollout.problems:
        return ready._replace(status="True")
    return Said("False", Reason.NOT_STALLED, "Nothing needs a person.")


def _reached(rollout: Rollout) -> Said:
    if any(u.is_ready for u in rollout.live):
        return Said("True", Reason.REACHED, "A running execution is connected.")
    failed = next((u for u in rollout.users if u.problem), None)
    if failed is not None:
        return Said("False", Reason.NOT_REACHED, f"Connector {failed.name}: {failed.problem}")
    if any(c.type == "Reached" and c.reason == Reason.REACHED for c in rollout.status.conditions):
        return Said("True", Reason.REACHED, "The last execution was connected.")
    return Said("Unknown", Reason.NOT_TRIED, "No execution has reported yet.")


def _rolled_out(rollout: Rollout) -> Said:
    if not rollout.outdated:
        return Said("True", Reason.ROLLED_OUT, "All running connectors use its present form.")
    if not rollout.blockers:
        return Said("False", Reason.ROLLING_OUT, "Running connectors follow one by one.")
    names = ", ".join(u.name for u in rollout.blockers[:5])
    message = (
        f"Connectors continue with the earlier form until these are ready with the present one: {names}. "
        "Fix or stop them, or set spec.restartedAt of others to have them follow now."
    )
    return Said("False", Reason.WAITING, message)


CONDITIONS: tuple[ConditionKind[Rollout], ...] = (
    ConditionKind("Ready", "Whether the Dataset can be used.", _ready),
    ConditionKind("Reached", "Whether the latest execution reached it; Unknown when none has run.", _reached),
    ConditionKind("RolledOut", "Whether all running connectors use its present form.", _rolled_out),
    ConditionKind("Stalled", "True when only a person can fix it: its spec is invalid. Abnormal when true.", _stalled),
)
"""In the order in which they are written."""
