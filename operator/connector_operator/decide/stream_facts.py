"""What is known about the streams that the spec asks for, and when to list them again."""

from __future__ import annotations

from datetime import datetime

import msgspec

from connector_operator.decide import backoff
from connector_operator.decide.facts import Facts
from connector_operator.resources.times import parse_time
from connector_runner.schemas.kinds.connector_status import ConnectorStatus


class StreamFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the status, after `fold`, knows about the streams.

    Attributes:
        is_fresh: The streams in status belong to the spec's configuration.
        has_selected: The selected stream is among them.
        is_cut_short: The list was truncated, and the present stream was not selected when it was made.
        is_missed: The source did not have the selected stream when it was last asked.
        has_failed: The last attempts to list what the spec asks for failed.
        is_list_due: The streams must be listed again, whatever is known about them.
        next_at: When the next attempt to list them is due; None: at once.
    """

    is_fresh: bool
    has_selected: bool
    is_cut_short: bool
    is_missed: bool
    has_failed: bool
    is_list_due: bool
    next_at: datetime | None


def gather_stream_facts(facts: Facts, memory: ConnectorStatus) -> StreamFacts:
    """Computes these facts; `memory` is the status after `fold`."""
    spec, discovery, hashes = facts.seen.spec, memory.discovery, facts.hashes
    selected = spec.selected_stream if spec is not None else ""
    has_selected = any(known.id == selected for known in memory.streams)
    is_cut = memory.streams_total > len(memory.streams)
    is_fresh = spec is not None and bool(discovery.at) and discovery.config_hash == hashes.config
    is_cut_short = bool(selected) and is_cut and not has_selected and discovery.stream != selected
    is_missed = bool(selected) and not has_selected
    has_failed = spec is not None and bool(discovery.failures) and discovery.failed_for == hashes.listing
    is_stale = not is_fresh or is_cut_short
    is_list_due = is_stale or (spec is not None and discovery.rediscover_at != spec.rediscover_at)
    next_at = None
    if has_failed:
        next_at = parse_time(discovery.retry_at)
    elif is_missed and not is_list_due:
        next_at = _after_a_miss(memory, facts.seen.uid)
    return StreamFacts(
        is_fresh=is_fresh,
        has_selected=has_selected,
        is_cut_short=is_cut_short,
        is_missed=is_missed,
        has_failed=has_failed,
        is_list_due=is_list_due,
        next_at=next_at,
    )


def _after_a_miss(memory: ConnectorStatus, uid: str) -> datetime | None:
    at = parse_time(memory.discovery.at)
    return None if at is None else at + backoff.delay_after(max(memory.discovery.misses, 1), backoff.MISS_DELAY, uid)
