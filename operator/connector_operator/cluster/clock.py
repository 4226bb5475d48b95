"""The time that decisions are given: the API server's, as deadlines and deletions are written in it.

The clock of the operator's node may be minutes off; what is compared with it would then have been killed, or be lost.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_TOLERATED = timedelta(seconds=3)
"""The header tells whole seconds, and an answer may have been on its way for a while."""
log = logging.getLogger(__name__)


def local_now() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


class ServerClock:
    """Follows the Date of the API server's answers."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def note(self, date: str, sent: datetime, received: datetime) -> None:
        """Takes in an answer's Date; times are of this machine. What can't be read, or what took long, tells nothing."""
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
        """The API server's time, as near as one can tell."""
        return local_now() - self._ahead
