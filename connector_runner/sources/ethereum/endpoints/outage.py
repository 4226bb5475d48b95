"""Reports that no request has been answered for a while, with the node's message, while requests are retried."""

from __future__ import annotations

import time

from connector_runner.protocols.source import Report

REPORTED_AFTER = 60.0
"""Seconds without an answer before it is reported, and between reports."""


class Outage:
    """The time from the first request without an answer to the next answer."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._asked_at: float | None = None
        self._reported_at: float | None = None

    def opened(self) -> None:
        """Reports that the source is connected and its answers are valid; only this module of the source reports it."""
        self._report.connected()

    def asked(self, now: float) -> None:
        """Records that a request is sent; the first one since the last answer counts."""
        if self._asked_at is None:
            self._asked_at = now

    def failed(self, message: str, now: float | None = None) -> None:
        """Records that a request was not answered, or was refused."""
        now = time.monotonic() if now is None else now
        since = self._asked_at = now if self._asked_at is None else self._asked_at
        if now - max(since, self._reported_at or since) >= REPORTED_AFTER:
            self._reported_at = now
            self._report.disconnected(f"{message}; nothing has gone on for {now - since:.0f} s, and it is tried again")

    def passed(self) -> None:
        """Records that a request was answered."""
        self._asked_at = None
        if self._reported_at is not None:
            self._reported_at = None
            self._report.connected()
