"""Finds out through web3.py what a node is and what it offers, with a few requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

from connector_runner.protocols.errors import ConnectorError
from connector_runner.protocols.source import Report
from connector_runner.resilience.rate_limit import RateLimit
from connector_runner.schemas.catalogue import Catalogue, ColumnInfo, StreamInfo
from connector_runner.sources.ethereum.decode.events import find_events
from connector_runner.sources.ethereum.endpoints.identity import identity_of
from connector_runner.sources.ethereum.endpoints.probe import NodeFacts, Probe, find_facts
from connector_runner.sources.ethereum.errors import NodeFailure, Verdict
from connector_runner.sources.ethereum.fetch.plan import StreamPlan
from connector_runner.sources.ethereum.rpc.methods import LOGS, RECEIPTS, TRACE_METHODS
from connector_runner.sources.ethereum.rpc.refusals import classify_status
from connector_runner.sources.ethereum.rpc.web3_client import build_web3
from connector_runner.sources.ethereum.settings import Endpoint, Settings, Tag
from connector_runner.sources.ethereum.verify.families import describe

MODES = ("backfill", "live")


async def discover(
    settings: Settings, plans: Mapping[str, StreamPlan], report: Report, selected: str | None
) -> Catalogue:
    """Returns the streams of a configuration, from the first endpoint that answers and offers what the selected stream needs.

    Raises:
        TransientError, ActionRequiredError: No endpoint answers; the error is that of the first one.
    """
    first: ConnectorError | None = None
    is_of_stream = False
    rate = RateLimit(settings.requests_per_second)
    for endpoint in settings.endpoints:
        has_answered = False
        try:
            facts = await probe_endpoint(endpoint, settings, rate)
            has_answered = True
            require_offered(facts, selected, plans, endpoint)
        except NodeFailure as failure:
            first = first or failure.as_error()
            is_of_stream = is_of_stream or has_answered
            report.note(failure.message)
        else:
            return build_catalogue(facts, plans, settings)
    assert first is not None  # noqa: S101 - there is at least one endpoint
    first.is_of_stream = is_of_stream
    raise first


async def probe_endpoint(endpoint: Endpoint, settings: Settings, rate: RateLimit) -> NodeFacts:
    """Probes one node.

    Raises:
        NodeFailure: It can't be reached, or its answers are not those of a node.
    """
    w3 = build_web3(endpoint)
    async with AsyncExitStack() as stack:
        if endpoint.kind == "http":
            stack.push_async_callback(asyncio.sleep, 0)  # the sockets close in the event loop's next turn
            stack.push_async_callback(w3.provider.disconnect)
        else:
            try:
                await stack.enter_async_context(w3)
            except Exception as error:
                said = endpoint.redact(f"{type(error.__cause__ or error).__name__}: {error.__cause__ or error}")[:200]
                if isinstance(
                    status := getattr(getattr(error.__cause__ or error, "response", None), "status_code", None), int
                ):
                    raise classify_status(status, endpoint.shown) from None
                raise NodeFailure(
                    Verdict.TRANSIENT, "Unavailable", f"{endpoint.shown} can't be reached ({said})"
                ) from None
        probe = Probe(w3, endpoint, rate)
        try:
            return await find_facts(probe, settings)
        except (TypeError, ValueError, KeyError) as error:
            said = f"does not answer as a node does ({type(error).__name__})"
            raise NodeFailure(Verdict.TRANSIENT, "Unavailable", f"{endpoint.shown} {said}") from None


def require_offered(
    facts: NodeFacts, selected: str | None, plans: Mapping[str, StreamPlan], endpoint: Endpoint
) -> None:
    """Checks that the selected stream can be read from this node; what other streams need is ignored.

    Raises:
        NodeFailure: The stream needs a method that was refused permanently; it names the method and the node's message.
    """
    plan = plans.get(selected or "")
    if plan is None:
        return
    refused = facts.refused.get(LOGS) if LOGS in plan.methods else None
    missing = [refused] if refused is not None and refused.verdict in (Verdict.UNSUPPORTED, Verdict.FINAL) else []
    if selected == "traces" and not facts.trace_method:
        missing = [facts.refused[method] for method in TRACE_METHODS if method in facts.refused]
    if missing:
        said = "; ".join(failure.message for failure in missing)
        message = (
            f"the stream {selected} needs {', '.join(plan.methods)}, which {endpoint.shown} does not offer: {said}"
        )
        raise NodeFailure(Verdict.FINAL, "MethodMissing", message)


def build_catalogue(facts: NodeFacts, plans: Mapping[str, StreamPlan], settings: Settings) -> Catalogue:
    """Builds the catalogue of streams from a node's facts. Pure."""
    streams = tuple(
        StreamInfo(
            id=name,
            key=plan.schema.key,
            modes=MODES,
            columns=tuple(ColumnInfo(c.name, str(c.type), c.nullable) for c in plan.schema.columns),
            description=plan.description,
        )
        for name, plan in plans.items()
        if name != "traces" or facts.trace_method
    )
    return Catalogue(streams, len(streams), identity_of(facts.chain_id, facts.genesis), tuple(_notes(facts, settings)))


def _notes(facts: NodeFacts, settings: Settings) -> list[str]:
    client = facts.client or "a client that does not return its name"
    notes = [f"chain {facts.chain_id}, {client}, head at block {facts.head}"]
    if said := describe(facts.chain_id, settings.proofs):
        notes.append(said)
    notes += find_events(settings.abi, settings.events).unreadable
    if isinstance(settings.finality, Tag) and settings.finality not in (Tag.LATEST, *facts.finality):
        notes.append(
            f"the node has no {settings.finality} block now, so nothing would be read; "
            "wait for it to catch up, or set finality to a number of confirmations"
        )
    if facts.earliest is None:
        notes.append("the node has no logs even of its newest block; it may still be starting")
    elif facts.earliest:
        wanted = (
            settings.start if isinstance(settings.start, int) else 0 if settings.start is Tag.EARLIEST else facts.head
        )
        cure = "; startBlock is before that, so reading would stop there" if wanted < facts.earliest else ""
        notes.append(f"the node's history begins at block {facts.earliest}{cure}")
    if facts.log_range is not None:
        notes.append(f"log queries cover {facts.log_range} blocks here; the range adapts to that")
    notes += _refusals(facts, settings)
    if not facts.has_block_receipts:
        notes.append(
            "the node has no eth_getBlockReceipts; receipts are read one by one, which takes many more requests"
        )
    if not facts.trace_method:
        notes.append("the node supports neither debug_traceBlockByHash nor trace_block: there is no stream traces")
    return notes


def _refusals(facts: NodeFacts, settings: Settings) -> list[str]:
    """The node's messages about methods that may be needed but are not offered."""
    names = [LOGS]
    names += [] if facts.has_block_receipts else [RECEIPTS]
    names += [] if facts.trace_method else TRACE_METHODS
    names += [settings.finality.value] if isinstance(settings.finality, Tag) else []
    return [f"{name} was refused: {facts.refused[name].message}" for name in names if name in facts.refused]
