"""What the cache knows about other Connectors that need the same list of streams. No request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from connector_operator.cluster.cache import ClusterCache, Raw
from connector_operator.decide.facts import Facts, is_underway
from connector_operator.decide.peers import Answer, Asker, Failure, Peers
from connector_operator.decide.selected import MOST_SELECTIONS
from connector_operator.engine.fair_queue import Key
from connector_operator.resources import names
from connector_operator.resources.connector import parse_status, sharing_hash
from connector_operator.resources.reasons import RunnerReason
from connector_operator.resources.times import format_time
from connector_runner.schemas.catalogue import MAX_STREAMS
from connector_runner.schemas.kinds.connector_status import Discovery
from connector_runner.schemas.kinds.streams import MOST_BYTES, StreamsSpec, pattern_problems

_READ_WITHIN = timedelta(seconds=30)
"""A discovery that has ended is read at once; if it is not read within this time, others do not wait for it."""
_MOST_ANSWERS = 3


class _Peer(msgspec.Struct, frozen=True):
    key: Key
    raw: Raw
    discovery: Discovery

    @property
    def uid(self) -> str:
        return str(self.raw["metadata"]["uid"])


def gather_peers(cache: ClusterCache, is_about_to: Callable[[Key], bool], facts: Facts) -> Peers:
    """What other Connectors of the namespace know or will soon learn, if type, config, Secrets and pod are the same."""
    if facts.seen.spec is None:
        return Peers()
    raws = dict(_others(cache, facts))
    since = format_time(facts.seen.now - facts.seen.policy.fresh_for)
    speaking = [_Peer(key, raw, _read_discovery(raw)) for key, raw in _speaking(raws, is_about_to, since)]
    return Peers(
        answers=_answers(facts, speaking, since),
        failures=_failures(facts, speaking, since),
        askers=_askers(cache, is_about_to, facts, speaking),
        also=_selected_streams(facts, raws.values()),
        selections=_selections(facts, raws.values()),
    )


def _others(cache: ClusterCache, facts: Facts) -> Iterator[tuple[Key, Raw]]:
    seen = facts.seen
    assert seen.spec is not None  # noqa: S101 - checked before
    for key in cache.sharers(seen.namespace, sharing_hash(seen.spec)):
        raw = None if key.name == seen.name else cache.connector(key)
        if raw is not None and "deletionTimestamp" not in raw["metadata"]:
            yield key, raw


def _speaking(raws: dict[Key, Raw], is_about_to: Callable[[Key], bool], since: str) -> Iterator[tuple[Key, Raw]]:
    """Connectors that know or do something, one per answer: of a thousand with the same one, one is parsed fully."""
    answers: set[Any] = set()
    for key, raw in raws.items():
        known = _known_of(raw)
        ordered = known.get("ordered")
        is_asking = isinstance(ordered, dict) and ordered.get("run", 0) > known.get("attempts", 0)
        answer = _mark(known) if known.get("at", "") >= since else None
        if is_asking or is_about_to(key) or known.get("failures") or answer not in answers | {None}:
            answers.add(answer)
            yield key, raw


def _mark(known: dict[str, Any]) -> tuple[Any, ...]:
    """What tells answers apart."""
    keys = [selection.get("key") for selection in known.get("selections") or () if isinstance(selection, dict)]
    return known.get("begun"), tuple(known.get("missing") or ()), tuple(keys)


def _known_of(raw: Raw) -> dict[str, Any]:
    known = raw["status"].get("discovery")
    return known if isinstance(known, dict) else {}


def _read_discovery(raw: Raw) -> Discovery:
    """The discovery in a status; what was made unreadable by hand counts as absent."""
    return parse_status({"discovery": _known_of(raw)}).discovery


def _answers(facts: Facts, others: list[_Peer], since: str) -> tuple[Answer, ...]:
    """The newest few different answers; many connectors may have the same one."""
    found: dict[tuple[str, int, tuple[str, ...]], _Peer] = {}
    for peer in others:
        known = peer.discovery
        if (
            known.begun
            and known.at >= since
            and (known.config_hash, known.form) == (facts.hashes.config, facts.hashes.form)
        ):
            # Who made the discovery comes before who took its answer: only that one knows of all selections.
            found.setdefault((known.begun, len(known.selections), known.missing), peer)
    answers = []
    for _, peer in sorted(found.items(), reverse=True)[:_MOST_ANSWERS]:
        status = parse_status(peer.raw["status"])
        if status.streams_total >= len(status.streams):
            answers.append(Answer(discovery=peer.discovery, streams=status.streams, total=status.streams_total))
    return tuple(answers)


def _failures(facts: Facts, others: list[_Peer], since: str) -> tuple[Failure, ...]:
    """Failures of the Connectors' own Jobs; a failure that was itself taken from another connector is not passed on."""
    found = []
    for peer in others:
        known = peer.discovery
        is_recent = bool(known.failures) and known.failed_at >= since and known.ordered.run == known.attempts
        if is_recent and _is_same(facts, known):
            job = names.discovery_job_name(peer.key.name, peer.uid, known.attempts)
            found.append((known.failed_begun, peer.key.name, Failure(by=peer.key.name, job=job, discovery=known)))
    return tuple(failure for *_, failure in sorted(found, key=lambda f: f[:2], reverse=True))


def _is_same(facts: Facts, known: Discovery) -> bool:
    return (known.ordered.config_hash, known.ordered.form) == (facts.hashes.config, facts.hashes.form)


def _askers(
    cache: ClusterCache, is_about_to: Callable[[Key], bool], facts: Facts, others: list[_Peer]
) -> tuple[Asker, ...]:
    found = []
    for peer in others:
        begun = facts.seen.now if is_about_to(peer.key) else _begun(cache, facts, peer)
        if begun is not None:
            reason, message = _error_of(peer.raw["status"])
            asker = Asker(
                name=peer.key.name, begun=begun, reason=RunnerReason(reason) if reason else None, message=message
            )
            found.append((begun, peer.key.name, asker))
    return tuple(asker for *_, asker in sorted(found, key=lambda f: f[:2], reverse=True))


def _begun(cache: ClusterCache, facts: Facts, peer: _Peer) -> datetime | None:
    """When the discovery began that this Connector has not read yet; None when it has none that fits."""
    known, seen = peer.discovery, facts.seen
    if known.ordered.run <= known.attempts or not _is_same(facts, known):
        return None
    for job in cache.jobs(peer.key):
        if job.role != names.ROLE_DISCOVERY or job.owner != peer.uid or job.run != known.ordered.run:
            continue
        is_new = job.ended is not None and job.ended + _READ_WITHIN > seen.now
        if job.deleting is None and (is_underway(job, seen.now, seen.policy) or is_new):
            return job.created
    return None


def _error_of(status: Any) -> tuple[str, str]:
    """Reason and message of a Connector whose discovery needs a person; otherwise "" and ""."""
    said = {
        condition.type: condition for condition in parse_status({"conditions": status.get("conditions")}).conditions
    }
    stalled, discovered = said.get("Stalled"), said.get("Discovered")
    if stalled is None or discovered is None or stalled.status != "True" or stalled.reason != discovered.reason:
        return "", ""
    return discovered.reason, discovered.message


def _is_known(facts: Facts, raw: Raw) -> bool:
    known = _known_of(raw)
    return bool(known.get("at")) and known.get("configHash") == facts.hashes.config and not known.get("misses")


def _selections(facts: Facts, raws: Iterable[Raw]) -> tuple[StreamsSpec, ...]:
    """The selections of many streams of those that still wait for what theirs take, as far as they fit into one Job."""
    wanted: dict[str, StreamsSpec] = {}
    for raw in raws:
        streams = _read_streams(raw["spec"].get("streams"))
        if streams is None or streams.key in wanted:
            continue
        answered = raw["status"].get("selection")
        is_answered = isinstance(answered, dict) and answered.get("key") == streams.key
        if not (is_answered and _is_known(facts, raw)):
            wanted[streams.key] = streams
    own = facts.seen.spec.asked if facts.seen.spec else ""
    fitting, size = list[StreamsSpec](), 0
    for key, streams in sorted(wanted.items()):
        size += len(msgspec.json.encode(streams))
        if key != own and size <= MOST_BYTES and len(fitting) < MOST_SELECTIONS - 1:
            fitting.append(streams)
    return tuple(fitting)


def _read_streams(raw: Any) -> StreamsSpec | None:
    """The patterns of a selection in a spec; None if there is none that can be read."""
    if not isinstance(raw, dict):
        return None
    lists = [raw.get(name) or () for name in ("include", "exclude")]
    if not all(isinstance(one, list | tuple) and all(isinstance(text, str) for text in one) for one in lists):
        return None
    return _selection_of(tuple(lists[0]), tuple(lists[1]))


@lru_cache(maxsize=4096)
def _selection_of(include: tuple[str, ...], exclude: tuple[str, ...]) -> StreamsSpec | None:
    """Cached, because each of a thousand that wait looks at all others."""
    streams = StreamsSpec(include, exclude)
    return None if not include or pattern_problems(streams) else streams


def _selected_streams(facts: Facts, raws: Iterable[Raw]) -> tuple[str, ...]:
    """The selected streams of those that still wait for a list with it."""
    wanted = set()
    for raw in raws:
        selected = raw["spec"].get("selectedStream")
        if not isinstance(selected, str) or not selected or selected in wanted:
            continue
        is_known = _is_known(facts, raw)
        listed = raw["status"].get("streams") or ()
        is_cut = raw["status"].get("streamsTotal", 0) > len(listed)
        if not is_known or (is_cut and all(stream.get("id") != selected for stream in listed)):
            wanted.add(selected)
    return tuple(sorted(wanted))[:MAX_STREAMS]
