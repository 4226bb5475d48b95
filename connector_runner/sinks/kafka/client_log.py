"""What librdkafka says about its connections, as lines of the runner's log."""

from __future__ import annotations

import logging
import re
import warnings

LEVEL = 4
"""The lowest that librdkafka hands over, by syslog's numbers: warnings."""
_OWN = re.compile(r" ?\[[^]]*#(?:producer|consumer)-\d+\] \[thrd:.*?\]:")
_FORESEEN = ("CONFWARN",)
"""Kinds of lines about what the runner does on purpose: all clients get all settings, also those of producers alone."""


class _Lines(logging.Filter):
    """Takes librdkafka's own names out of a line, and makes it a warning: it tries again whatever it reports."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        text = record.getMessage()
        record.msg, record.args = _OWN.sub(":", text), ()
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        return not text.startswith(_FORESEEN)


def build_logger() -> logging.Logger:
    """The `logger` of clients; its lines are written when a client is polled."""
    # A producer that was fenced can't end its transaction; the error before says why.
    warnings.filterwarnings("ignore", "Producer abort_transaction failed during close", RuntimeWarning)
    logger = logging.getLogger("librdkafka")
    if not logger.filters:
        logger.addFilter(_Lines())
    return logger
