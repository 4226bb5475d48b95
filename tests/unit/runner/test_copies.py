"""How far copies are: each stream's, one for all, and both together; and how fast they go."""

from __future__ import annotations

import time

from connector_runner.pipeline.copies import Copies, CopyProgress
from connector_runner.pipeline.health import Health
from connector_runner.pipeline.progress import CopyRate, build_progress
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.source import StreamState
from connector_runner.schemas.progress import Copying
from tests.kit.pipeline import Recorder


def build_telemetry() -> Telemetry:
    return Telemetry(Recorder(), NoMeters(), Health(source="", sink="", is_committing=True))


def test_a_copy_for_all_streams_is_a_copy_of_each() -> None:
    """As of a chain that is read from its first block for five streams; then one that was added catches up alone."""
    telemetry = build_telemetry()
    telemetry.select(["blocks", "logs", "traces"])
    telemetry.stream("traces", StreamState.FAILED, "MethodMissing", "no")
    telemetry.progress(1, 100, "blocks")
    found = build_progress(telemetry, 4.0, time.monotonic())
    assert (found.copying, found.following, found.failed) == (2, 0, 1)
    assert (found.done, found.total, found.seconds_left) == (1, 100, 25)
    telemetry.progress(100, 100, "blocks")
    found = build_progress(telemetry, None, time.monotonic())
    assert (found.copying, found.following, found.failed, found.done, found.total) == (0, 2, 1, 100, 100)
    telemetry.stream("traces", StreamState.COPYING)
    telemetry.progress(1, 100, "blocks", "traces")
    found = build_progress(telemetry, None, time.monotonic())
    assert (found.copying, found.following, found.done, found.total) == (1, 2, 1, 100), (
        "what the others have is not its"
    )
    telemetry.progress(101, 101, "blocks")
    telemetry.progress(99, 101, "blocks", "traces")
    found = build_progress(telemetry, None, time.monotonic())
    assert (found.done, found.total, found.copies) == (99, 101, (Copying("traces", 99, 101),))
    telemetry.stream("traces", StreamState.FOLLOWING)
    found = build_progress(telemetry, None, time.monotonic())
    assert (found.copying, found.following, found.done, found.total) == (0, 3, 99, 99)


def test_a_copy_for_all_that_is_cut_off_by_another_selection_does_not_go_on_for_ever() -> None:
    """As of one table that is being copied when others are added: from then on each reports its own."""
    telemetry = build_telemetry()
    telemetry.select(["shop.orders"])
    telemetry.progress(10, 100, "rows")
    telemetry.select(["shop.orders", "shop.users"])
    telemetry.stream("shop.orders", StreamState.FOLLOWING)
    telemetry.stream("shop.users", StreamState.FOLLOWING)
    found = build_progress(telemetry, None, time.monotonic())
    assert (found.copying, found.following, found.copies) == (0, 2, ())


def test_the_rate_of_copies_is_measured_and_forgotten_at_their_end() -> None:
    rate, copies = CopyRate(), Copies()
    assert rate.measure(copies, 0.0) is None
    copies.put("a", CopyProgress(0, 1000, "rows"))
    assert rate.measure(copies, 10.0) is None
    copies.put("a", CopyProgress(100, 1000, "rows"))
    assert rate.measure(copies, 20.0) == 10
    copies.put("a", CopyProgress(400, 1000, "rows"))
    assert rate.measure(copies, 30.0) == 20
    copies.end("a")
    assert rate.measure(copies, 40.0) is None
    assert copies.sum() == CopyProgress(400, 400, "rows")
