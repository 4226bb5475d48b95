"""One seed of the net: a source against the misbehaving node, and what came of it held against the truth."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError
from connector_runner.protocols.source import Checkpoint, SourceContext, WriteMode
from connector_runner.sources.ethereum import build_source, source  # noqa: F401 - what `hurried` patches is imported
from connector_runner.sources.ethereum.endpoints.limits import KNOWN_LIMITS
from tests.integration.ethereum.running import Counters, Lines, checked
from tests.simulators.draws import Draws
from tests.simulators.ethereum.branches import SHORTER
from tests.simulators.ethereum.chains import EVENTS, EXPECTED, Rows, canonical, comparable
from tests.simulators.ethereum.misbehaviours import (
    BLOCK,
    LOGS,
    NEEDS,
    OF_BLOOMS,
    OF_LOG_QUERIES,
    RECEIPT,
    RECEIPTS,
    TRACES,
    kinds_for,
)
from tests.simulators.ethereum.recording import Branch, Recording
from tests.simulators.ethereum.relay import Relay
from tests.simulators.ethereum.wordings import WORDINGS

RING, START = 14, 1
UNPROVEN_WITHOUT_ROOTS = {
    "bloom empty", "zero bloom", "no bloom", "transactions cut", "receipts cut", "receipts without logs", "logs cut",
}  # fmt: skip
"""What a backfill can't distinguish from the truth if it does not recompute roots (docs/ethereum.md)."""
RESTLESS_SECONDS, CALM_SECONDS = 1.0, 25.0
"""How long it misbehaves, and how long it may then take until the dataset is right or the error is reported."""
STREAMS = (*EXPECTED, "filtered logs")
METHODS = {
    "blocks": (BLOCK,), "transactions": (BLOCK,), "receipts": (BLOCK, RECEIPTS, RECEIPT), "traces": (BLOCK, TRACES),
}  # fmt: skip
"""What a stream asks; all others are made of logs."""
OTHER_EVENT = "Transfer(address indexed from, address indexed to, uint256 indexed token)"
"""Of the same name: at each run the ABI has them in another order."""
OF_OBJECTS = ("blocks", "transactions", "receipts", "logs", "traces")
"""Streams that have a member without a column in `extra`."""


@dataclass(frozen=True)
class World:
    """What kind of node and configuration a seed is about.

    Attributes:
        stream: Which is read.
        name: "any"; "unproven": lists are not proven in a backfill, and "no receipts": the node has none of whole blocks, so that logs
            are asked for by ranges; "limits": an honest node that says in its own words how many blocks a query may cover.
    """

    stream: str
    name: str

    @classmethod
    def of(cls, seed: int) -> World:
        chance = random.Random(f"net:{seed}")
        stream = chance.choice(STREAMS)
        is_of_logs = stream not in METHODS
        return cls(
            stream,
            chance.choice(["any", "any", "unproven", "unproven", "no receipts", "limits"]) if is_of_logs else "any",
        )

    @property
    def has_roots(self) -> bool:
        return self.name == "any"

    def draws(self, seed: int) -> Draws:
        kinds = kinds_for(METHODS.get(self.stream, (BLOCK, LOGS, RECEIPTS)))
        also = ["restarts"] if self.stream == "events.Transfer" else []
        also += [SHORTER] if random.Random(f"lower:{seed}").random() < 0.12 else []
        match self.name:
            case "any":
                dropped = {"no block receipts"} if self.stream not in METHODS else set()
                return Draws(seed, _without(kinds, dropped), most=5, needs=NEEDS, also=also)
            case "limits":
                shapes = {"more members", "fewer members", "other casing", "numbers as numbers", "few requests a batch"}
                return Draws(seed, dict.fromkeys(shapes, 1.0), most=2, also=[*also, "few blocks a log query"])
        also += ["no block receipts"] if self.name == "no receipts" else []
        also += ["few requests a batch"] if random.Random(f"batches:{seed}").random() < 0.4 else []
        often = {kind: 0.5 if kind in OF_LOG_QUERIES and chance < 1 else chance for kind, chance in kinds.items()}
        first = (*OF_LOG_QUERIES, *5 * ["unknown words"])
        return Draws(seed, _without(often, OF_BLOOMS), most=4, needs=NEEDS, first=first, also=also)


def _without(kinds: dict[str, float], dropped: Collection[str]) -> dict[str, float]:
    return {kind: chance for kind, chance in kinds.items() if kind not in dropped}


class Dataset:
    """What a sink would hold, in memory; and what a reader of its incidents would know."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self.checkpoint: Checkpoint | None = None
        self.incidents: list[str] = []
        self.names: tuple[str, ...] = ()

    def apply(self, batch: Batch, identity: str) -> None:
        self.names = batch.schema.names
        operations = batch.operations or bytes(len(batch.rows))
        for row, operation in zip(batch.rows, operations, strict=True):
            if operation == Operation.REPLACE:
                self.rows = {key: found for key, found in self.rows.items() if key[: len(row)] != row}
            else:
                self.rows[tuple(row[place] for place in batch.schema.key_indices)] = row
        self.incidents += [incident.message for incident in batch.incidents]
        self.checkpoint = Checkpoint(batch.position, identity, "1")

    def columns(self, text: str) -> Rows:
        names = [name.strip(' "') for name in text.split(",")]
        if self.rows and not {*names} <= {*self.names}:
            return [("columns of another stream", *self.names)]
        places = [self.names.index(name) for name in names] if self.rows else []
        return lowered(comparable([tuple(row[place] for place in places) for row in self.rows.values()]))


def lowered(rows: Rows) -> Rows:
    """Hexadecimal is the same in either case."""
    return sorted(
        (tuple(value.lower() if isinstance(value, str) else value for value in row) for row in rows), key=repr
    )


@dataclass
class Outcome:
    """The result of a seed.

    Attributes:
        seed, stream: Which.
        fault: What is wrong, or "".
        told: What was reported to people.
        drawn: How often each kind occurred.
    """

    seed: int
    stream: str
    draws: Draws
    fault: str = ""
    told: list[str] = field(default_factory=list)


@asynccontextmanager
async def hurried() -> AsyncIterator[None]:
    """With short waits and a nearby end of the chain; everything else is the same."""
    modules = [module for name, module in sys.modules.items() if name.startswith("connector_runner.sources.ethereum")]
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            if hasattr(module, "RING_BLOCKS"):
                patch.setattr(module, "RING_BLOCKS", RING)
            if hasattr(module, "backoff_delay"):
                patch.setattr(
                    module, "backoff_delay", lambda attempt, _first, cap, _chance: min(cap, 0.002 * 2**attempt)
                )
            if hasattr(module, "PATIENCE_SECONDS"):
                patch.setattr(module, "PATIENCE_SECONDS", 0.2)
            if hasattr(module, "REPORTED_AFTER"):
                patch.setattr(module, "REPORTED_AFTER", 1.0)
            if hasattr(module, "SILENCE_SECONDS"):
                patch.setattr(module, "SILENCE_SECONDS", 5.0)
            if hasattr(module, "median_interval"):
                patch.setattr(module, "median_interval", lambda _seconds, _default: 0.02)
        yield


async def run_seed(seed: int, recording: Recording) -> Outcome:
    """A stream, read while the node misbehaves, then to the end."""
    world = World.of(seed)
    stream, draws = world.stream, world.draws(seed)
    outcome = Outcome(seed, stream, draws)
    KNOWN_LIMITS.clear()
    dataset = Dataset()
    log = Lines()
    async with Relay(recording, draws, has_roots=world.has_roots) as relay:
        if world.name == "limits":
            relay.limit, relay.wording = (
                draws.random.choice([5, 7]),
                draws.random.choice([one for one in WORDINGS if one.tells]),
            )
        config = {
            "url": relay.url, "startBlock": START, "maxBlockRange": 2000 if "few blocks a log query" in draws.active else draws.random.choice([3, 5, 2000]),
            "events": [*EVENTS, OTHER_EVENT],
            "finality": draws.random.choice(["latest", "latest", "latest", "finalized", 2]) if "no tags" not in draws.active else "latest",
        }  # fmt: skip
        if is_refused := "no tags" in draws.active and random.Random(f"tags:{seed}").random() < 0.4:
            config["finality"] = "finalized"
        if stream == "filtered logs":
            config["addresses"] = [recording.emitter]
        is_safe = world.has_roots and not UNPROVEN_WITHOUT_ROOTS & {*draws.active} and draws.random.random() < 0.6
        if is_safe or world.name in ("unproven", "limits"):
            config["proveBackfill"] = False
        name = "logs" if stream == "filtered logs" else stream
        reader = asyncio.create_task(_read(checked(config), name, dataset, log, outcome))
        try:
            await _until(lambda: _is_at_end(dataset, relay.truth, config), RESTLESS_SECONDS, reader)
            relay.calm()
            if is_refused:
                is_told = await _until(lambda: "block tag" in "".join(outcome.told), CALM_SECONDS, reader)
                outcome.fault = _heeded_tags(outcome, dataset, is_told)
                return outcome
            if not reader.done():  # what ended it was told; what was told meanwhile may have passed
                outcome.told.clear()
            reached = await _until(lambda: _is_at_end(dataset, relay.truth, config), CALM_SECONDS, reader)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        _judge(outcome, dataset, relay.truth, name, config, reached, log)
        if reached and not outcome.fault:
            outcome.fault = _misread(world, relay) or _lost_members(draws, name, dataset)
    return outcome


def _heeded_tags(outcome: Outcome, dataset: Dataset, is_told: bool) -> str:
    """A node that refuses the tag of `finality`: nothing is read, and it is reported in the node's words."""
    if not is_told:
        return f"the tag is refused; told: {outcome.told[-1:] or 'nothing'}"
    return f"{len(dataset.rows)} rows were read, though no block is known to be final" if dataset.rows else ""


def _is_at_end(dataset: Dataset, truth: Branch, config: dict[str, Any]) -> bool:
    if dataset.checkpoint is None:
        return False
    # A branch that was longer for a moment may have let it read more of the true one than finality allows now.
    number = int(dataset.checkpoint.position["number"])
    is_far = _height(truth, config) <= number <= truth.head()
    return is_far and dataset.checkpoint.position.get("hash") == truth.blocks[number].hash


def _height(truth: Branch, config: dict[str, Any]) -> int:
    """Of the last block that finality allows."""
    finality = config["finality"]
    return truth.head() - (0 if finality == "latest" else 1 if finality == "finalized" else int(finality))


async def _read(config: dict[str, Any], stream: str, dataset: Dataset, log: Lines, outcome: Outcome) -> None:
    """As the pipeline does it: a new source after each temporary failure, from the last position."""
    telemetry = Telemetry(log, Counters(log))
    draws = outcome.draws
    pauses = sorted(draws.random.sample(range(1, 12), 3)) if "restarts" in draws.active else []
    batches = 0
    while True:
        running = build_source(SourceContext(config, "tests/net", WriteMode.UPSERT, telemetry))
        try:
            opened = await running.open({stream: dataset.checkpoint})
            async for batch in running.batches():
                dataset.apply(batch, opened.identity)
                batches += 1
                if batches in pauses:
                    draws.drawn["restarts"] += 1
                    config = {**config, "events": config["events"][::-1]}
                    break
        except ActionRequiredError as error:
            outcome.told.append(f"{error.reason}: {error.message}")
            return
        except ConnectorError as error:
            outcome.told.append(f"{error.reason}: {error.message}")
            await asyncio.sleep(0.01)
        finally:
            with suppress(ConnectorError):
                await running.close()


async def _until(condition: Any, seconds: float, reader: asyncio.Task[None]) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not reader.done():
        if condition():
            return True
        await asyncio.sleep(0.005)
    return bool(condition())


def _misread(world: World, relay: Relay) -> str:
    """The range that a node names as allowed is used, rather than one block at a time. Some nodes count the difference of both ends, so one less is right, too."""
    blocks, queries = sum(relay.widths), len(relay.widths)
    if world.name != "limits" or queries <= blocks // (relay.limit - 1) + 4:
        return ""
    return f"{queries} log queries of {relay.widths} blocks, where {relay.limit} are taken: {relay.wording}"


def _lost_members(draws: Draws, stream: str, dataset: Dataset) -> str:
    """What has no column is in `extra`."""
    if "more members" not in draws.active or stream not in OF_OBJECTS:
        return ""
    place = dataset.names.index("extra")
    lost = sum("someNewMember" not in (row[place] or "") for row in dataset.rows.values())
    return f"a member without a column is not in extra of {lost} rows" if lost else ""


def _judge(
    outcome: Outcome, dataset: Dataset, truth: Branch, stream: str, config: dict[str, Any], reached: bool, log: Lines
) -> None:
    """Right, or reported, because an unknown error may be one that only a person can fix."""
    outcome.told += dataset.incidents
    outcome.told += [line for line in log.lines if line.startswith("warning")]
    columns, make = EXPECTED[stream]
    last = dataset.checkpoint.position["number"] if reached and dataset.checkpoint else _height(truth, config)
    blocks = [truth.block(height) for height in range(START, last + 1)]
    wanted = [row for block in blocks for row in make(truth, block)]  # type: ignore[arg-type]
    if outcome.stream == "filtered logs":
        wanted = [row for row in wanted if row[3].lower() == config["addresses"][0].lower()]
    expected, found = lowered(comparable(wanted)), dataset.columns(columns)
    if not reached:
        if not (outcome.told and "odd error" in outcome.draws.active):
            outcome.fault = f"it does not get to the end; told: {outcome.told[-1:] or 'nothing'}"
        return
    if found != expected:
        missing, false = len(set(expected) - set(found)), len(set(found) - set(expected))
        outcome.fault = f"at the head, {missing} rows missing and {false} false of {len(expected)}; told: {outcome.told[-1:] or 'nothing'}"


__all__ = ["Outcome", "canonical", "hurried", "run_seed"]
