"""The roll-out of a changed image of the runner: follows every connector's standing, and gives the turns."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from connector_operator.decide.image_rollout import ImageTurns, Name, decide_image_rollout
from connector_operator.engine.fair_queue import Key
from connector_operator.engine.queue import Priority, WorkQueue
from connector_operator.metrics import RUNNER_UPDATES
from connector_operator.resources.reasons import Reason

KEY = Key("image", "", "")
STATES = {
    Reason.UP_TO_DATE: "current",
    Reason.AWAITING_TURN: "waiting",
    Reason.UPDATING: "updating",
    Reason.UPDATE_FAILED: "failed",
    Reason.UPDATE_HELD: "held",
    Reason.ON_RESTART: "on_restart",
}
"""What the metric calls each standing."""
_DELAY = 1.0
"""Connectors change in bursts; the turns are given once for all of them."""
_MOST_NAMED = 5
log = logging.getLogger(__name__)


def read_standing(raw: Mapping[str, Any]) -> str:
    """The reason of a raw Connector's condition RunnerUpToDate; "" if it has none, or is being deleted: its status stays as it is then."""
    if "deletionTimestamp" in raw.get("metadata", {}):
        return ""
    conditions = (raw.get("status") or {}).get("conditions") or ()
    return next((str(c.get("reason", "")) for c in conditions if c.get("type") == "RunnerUpToDate"), "")


class ImageRollout:
    """Keeps in memory how each connector stands, as the watch shows it; nothing of it must survive."""

    def __init__(self, queue: WorkQueue, image: str, pace: int) -> None:
        self._queue = queue
        self._image = image
        self._pace = pace
        self._standings: dict[Name, str] = {}
        self._now = ImageTurns()

    def turns(self) -> ImageTurns:
        """How far it is now."""
        return self._now

    def load(self, connectors: Iterable[tuple[Key, Mapping[str, Any]]]) -> None:
        """All Connectors as they are at the start: the first visits already know who has stopped the roll-out."""
        self._standings = {(key.namespace, key.name): read_standing(raw) for key, raw in connectors}
        self.visit()

    def note(self, connector: Key, raw: Mapping[str, Any]) -> None:
        """The watch shows a Connector."""
        name, standing = (connector.namespace, connector.name), read_standing(raw)
        if self._standings.get(name, "") != standing:
            self._standings[name] = standing
            self._queue.add(KEY, delay=_DELAY)

    def forget(self, connector: Key) -> None:
        """A Connector is gone."""
        if self._standings.pop((connector.namespace, connector.name), ""):
            self._queue.add(KEY, delay=_DELAY)

    def visit(self) -> None:
        """Gives the turns, and wakes those whose turn or message changes."""
        before, self._now = self._now, decide_image_rollout(self._standings, self._pace)
        counts = Counter(self._standings.values())
        for reason, state in STATES.items():
            RUNNER_UPDATES.labels(state=state).set(counts[reason])
        for name in self._now.turns - before.turns:
            self._queue.add(Key("connector", *name), Priority.CLUSTER)
        if self._now.failed != before.failed:
            for name in self._now.waiting:
                self._queue.add(Key("connector", *name), Priority.RESYNC)
        self._log_progress(before, self._now)

    def _log_progress(self, before: ImageTurns, now: ImageTurns) -> None:
        was_active, is_active = _is_active(before), _is_active(now)
        left = len(now.waiting) + len(now.updating)
        if now.failed and now.failed != before.failed:
            named = ", ".join("/".join(name) for name in now.failed[:_MOST_NAMED])
            log.warning(
                "the roll-out of runner image %s has stopped: not working with it: %s; %d wait and keep their image",
                self._image, named, len(now.waiting),
            )  # fmt: skip
        elif before.failed and not now.failed and is_active:
            log.info("the roll-out of runner image %s continues: %d left", self._image, left)
        elif is_active and not was_active:
            log.info("running connectors follow runner image %s, %d at a time", self._image, self._pace)
        elif was_active and not is_active:
            log.info("all running connectors that follow it have runner image %s", self._image)


def _is_active(turns: ImageTurns) -> bool:
    return bool(turns.turns or turns.waiting)
