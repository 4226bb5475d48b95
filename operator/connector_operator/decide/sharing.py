"""One discovery for all that need the same one: whose answer, failure or running Job this connector can use. Pure.

A rotated Secret can't be seen here, so the times decide: `docs/decisions/0010-one-discovery-for-all.md`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from connector_operator.decide import backoff
from connector_operator.decide.facts import Facts
from connector_operator.decide.peers import Answer, Asker, Failure
from connector_operator.decide.selected import find_selection
from connector_operator.decide.stream_facts import StreamFacts, gather_stream_facts
from connector_operator.resources.times import format_time, parse_time
from connector_runner.schemas.kinds.connector_status import ConnectorStatus, Discovery

replace = msgspec.structs.replace
_CLOCKS_APART = timedelta(seconds=3)
"""A retry is due by the operator's clock; its Job has the API server's time (see `cluster.clock`)."""


def take_shared(facts: Facts, memory: ConnectorStatus) -> ConnectorStatus:
    """The memory with what another connector's discovery has found, if this connector can use it, too."""
    peers = facts.seen.peers
    if peers is None or not (peers.answers or peers.failures):
        return memory
    streams = gather_stream_facts(facts, memory)
    if not is_sharing(facts, memory, streams):
        return memory
    answer = next((a for a in peers.answers if _is_answer_for(facts, memory, streams, a)), None)
    if answer is not None:
        return _take_answer(facts, memory, answer)
    failure = next((f for f in peers.failures if _is_failure_for(facts, memory, streams, f)), None)
    return memory if failure is None else replace(memory, discovery=_take_failure(facts, memory.discovery, failure))


def find_asker(facts: Facts, memory: ConnectorStatus, streams: StreamFacts) -> Asker | None:
    """Which connector's discovery to wait for instead of starting another."""
    if facts.seen.peers is None or not is_sharing(facts, memory, streams):
        return None
    return next((a for a in facts.seen.peers.askers if _may_serve(facts, memory, streams, a.begun)), None)


def is_sharing(facts: Facts, memory: ConnectorStatus, streams: StreamFacts) -> bool:
    """Whether the streams must be listed now, and another's discovery may do: not if the spec asks for a new one."""
    spec, now = facts.seen.spec, facts.seen.now
    if spec is None or facts.problems or spec.rediscover_at != memory.discovery.rediscover_at:
        return False
    is_wanted = streams.is_list_due or (streams.is_missed and facts.seen.wanted == "running")
    return is_wanted and (streams.next_at is None or streams.next_at <= now)


def _may_serve(facts: Facts, memory: ConnectorStatus, streams: StreamFacts, begun: datetime) -> bool:
    """Whether a discovery that began then may have a new answer for this connector.

    After a failure, or a stream that was missing, only a discovery that is newer than this wait can help.
    """
    seen, before = facts.seen, memory.discovery
    if seen.changed is not None and begun < seen.changed:
        return False
    if streams.next_at is None:
        return True
    last = parse_time(before.failed_begun if streams.has_failed else before.begun)
    return begun >= streams.next_at - _CLOCKS_APART and (last is None or begun > last)


def _is_usable(
    facts: Facts, memory: ConnectorStatus, streams: StreamFacts, begun: datetime | None, seen_at: datetime | None
) -> bool:
    """Whether what a discovery found may be used: it is fresh, and began after the last change of this Connector.

    Times are whole seconds: what began in the second of the change may have begun before it.
    """
    seen = facts.seen
    if begun is None or seen_at is None or seen_at + seen.policy.fresh_for < seen.now:
        return False
    return begun != seen.changed and _may_serve(facts, memory, streams, begun)


def _is_answer_for(facts: Facts, memory: ConnectorStatus, streams: StreamFacts, answer: Answer) -> bool:
    known = answer.discovery
    if not _is_usable(facts, memory, streams, parse_time(known.begun), parse_time(known.at)):
        return False
    asked = _asked(facts)
    if facts.seen.spec is not None and facts.seen.spec.streams is not None:
        return any(selection.key == asked for selection in known.selections)
    is_settled = not asked or asked == known.stream or asked in known.missing
    return is_settled or any(stream.id == asked for stream in answer.streams)


def _is_failure_for(facts: Facts, memory: ConnectorStatus, streams: StreamFacts, failure: Failure) -> bool:
    """Whether another's failure counts here: only a connector that existed when the discovery ended waited for it."""
    known, created = failure.discovery, facts.seen.created
    ended = parse_time(known.failed_at)
    if created is None or ended is None or created > ended:
        return False
    if known.failed_alone and known.ordered.stream != _asked(facts):
        return False
    return _is_usable(facts, memory, streams, parse_time(known.failed_begun), ended)


def _asked(facts: Facts) -> str:
    return facts.seen.spec.asked if facts.seen.spec else ""


def _take_answer(facts: Facts, memory: ConnectorStatus, answer: Answer) -> ConnectorStatus:
    known, before, asked = answer.discovery, memory.discovery, _asked(facts)
    selection = find_selection(asked, known.selections, is_asked=False)
    is_missing = bool(asked) and all(stream.id != asked for stream in answer.streams)
    if selection is not None:
        is_missing = not selection.selected
    discovery = Discovery(
        config_hash=known.config_hash,
        rediscover_at=before.rediscover_at,
        stream=asked,
        at=known.at,
        form=known.form,
        begun=known.begun,
        missing=known.missing,
        notes=known.notes,
        misses=before.misses + 1 if is_missing else 0,
        attempts=before.attempts,
        ordered=replace(before.ordered, image=known.ordered.image or before.ordered.image),
    )
    return replace(
        memory,
        discovery=discovery,
        streams=answer.streams,
        streams_total=answer.total,
        selection=selection or memory.selection,
    )


def _take_failure(facts: Facts, before: Discovery, failure: Failure) -> Discovery:
    """Counts the failure as its own; the delay follows from the shared Job, so all that waited retry together."""
    known = failure.discovery
    ended = parse_time(known.failed_at) or facts.seen.now
    failed = replace(
        before,
        failures=before.failures + 1,
        failed_for=facts.hashes.listing,
        refused=known.refused,
        held_back=known.held_back,
        reason=known.reason,
        message=known.message,
        failed_begun=known.failed_begun,
        failed_at=known.failed_at,
        failed_alone=known.failed_alone,
    )
    return replace(failed, retry_at=format_time(ended + backoff.listing_delay(failed, failure.job)))
