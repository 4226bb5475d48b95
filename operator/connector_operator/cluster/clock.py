"""The time that decisions use: the API server's, which also sets deadlines and times of deletion.

The clock of the operator's node may be minutes off; by it, Jobs and pods would count as killed or lost too soon.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_TOLERATED = timedelta(seconds=3)
"""The header has whole seconds, and an answer may have been in transit for a while."""
log = logging.getLogger(__name__)


_STARTED = datetime.now(UTC) - timedelta(seconds=time.monotonic())


def local_now() -> datetime:
    """This machine's clock as it was at the start, and the time since then.

    A clock that somebody sets, or that a time server corrects, would else be believed until the API server's next answer.
    """
    return _STARTED + timedelta(seconds=time.monotonic())


class ServerClock:
    """Follows the Date of the API server's answers."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def note(self, date: str, sent: datetime, received: datetime) -> None:
        """Uses an answer's Date; the times are this machine's. An unreadable Date, or a slow answer's, is ignored."""
        try:
            said = parsedate_to_datetime(date)
        except (TypeError, ValueError):
            return
        if said.tzinfo is None or received - sent > _TOLERATED:
            return
        ahead = received - said - timedelta(milliseconds=500)
        ahead = ahead if abs(ahead) > _TOLERATED else timedelta(0)
        if abs(ahead - self._ahead) > _TOLERATED:
            log.warning(
                "this machine's clock is %.0f s ahead of the API server's, whose time counts", ahead.total_seconds()
            )
            self._ahead = ahead

    def now(self) -> datetime:
        """The API server's time, as exactly as it is known."""
        return local_now() - self._ahead
