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
        has_selected: The selected stream is among them, or the selection takes some of them.
        is_cut_short: They were listed for another selection, so that they don't answer the present one: the list was truncated, or
            nobody asked what `spec.streams` takes.
        is_missed: The source did not have the selected stream, or any that is selected, when it was last asked.
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
    asked = spec.asked if spec is not None else ""
    if spec is not None and spec.streams is not None:
        is_answered = memory.selection.key == asked
        has_selected = is_answered and memory.selection.selected > 0
        was_asked = is_answered  # the answer is forgotten when one stream is selected instead
    else:
        has_selected = any(known.id == asked for known in memory.streams)
        is_answered = has_selected or memory.streams_total <= len(memory.streams)
        was_asked = discovery.stream == asked
    is_fresh = spec is not None and bool(discovery.at) and discovery.config_hash == hashes.config
    is_cut_short = bool(asked) and not is_answered and not was_asked
    is_missed = bool(asked) and not has_selected
    has_failed = bool(discovery.failures)
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
