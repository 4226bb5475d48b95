"""One seed of the net: a source against the misbehaving node, and what came of it held against the truth."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError
from connector_runner.protocols.source import Checkpoint, SourceContext, WriteMode
from connector_runner.sources.ethereum import build_source, source  # noqa: F401 - what `hurried` patches is imported
from connector_runner.sources.ethereum.limits import forget_limits
from tests.integration.ethereum.chains import EVENTS, EXPECTED, Rows, canonical, comparable
from tests.integration.ethereum.running import Counters, Lines, checked
from tests.simulators.draws import Draws
from tests.simulators.ethereum.misbehaviours import BLOCK, LOGS, RECEIPT, RECEIPTS, TRACES, kinds_for
from tests.simulators.ethereum.recording import Branch, Recording
from tests.simulators.ethereum.relay import Relay

RING, START = 14, 1
UNPROVEN_WITHOUT_ROOTS = {
    "bloom empty", "zero bloom", "no bloom", "transactions cut", "receipts cut", "receipts without logs", "logs cut",
}  # fmt: skip
"""What a backfill can't tell from the truth when roots are not recomputed there (docs/ethereum.md)."""
RESTLESS_SECONDS, CALM_SECONDS = 1.0, 25.0
"""How long it misbehaves, and how long it may take afterwards until the dataset is right or a person is told."""
STREAMS = (*EXPECTED, "filtered logs")
METHODS = {
    "blocks": (BLOCK,), "transactions": (BLOCK,), "receipts": (BLOCK, RECEIPTS, RECEIPT), "traces": (BLOCK, TRACES),
}  # fmt: skip
"""What a stream asks; all others are made of logs."""


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
        places = [self.names.index(name.strip(' "')) for name in text.split(",")] if self.rows else []
        return lowered(comparable([tuple(row[place] for place in places) for row in self.rows.values()]))


def lowered(rows: Rows) -> Rows:
    """Hexadecimal is the same in either case."""
    return sorted(
        (tuple(value.lower() if isinstance(value, str) else value for value in row) for row in rows), key=repr
    )


@dataclass
class Outcome:
    """What a seed came to.

    Attributes:
        seed, stream: Which.
        fault: What is wrong, "" when nothing is.
        told: What a person was told.
        drawn: How often each kind struck.
    """

    seed: int
    stream: str
    draws: Draws
    fault: str = ""
    told: list[str] = field(default_factory=list)


@asynccontextmanager
async def hurried() -> AsyncIterator[None]:
    """Waits are short, and a chain's end is near: nothing else is different."""
    modules = [module for name, module in sys.modules.items() if name.startswith("connector_runner.sources.ethereum")]
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            if hasattr(module, "RING_BLOCKS"):
                patch.setattr(module, "RING_BLOCKS", RING)
            if hasattr(module, "backoff"):
                patch.setattr(module, "backoff", lambda attempt, cap: min(cap, 0.002 * 2**attempt))
            if hasattr(module, "PATIENCE_SECONDS"):
                patch.setattr(module, "PATIENCE_SECONDS", 0.2)
            if hasattr(module, "TOLD_AFTER"):
                patch.setattr(module, "TOLD_AFTER", 1.0)
            if hasattr(module, "SILENCE_SECONDS"):
                patch.setattr(module, "SILENCE_SECONDS", 5.0)
            if hasattr(module, "median_interval"):
                patch.setattr(module, "median_interval", lambda _seconds, _default: 0.02)
        yield


async def run_seed(seed: int, recording: Recording) -> Outcome:
    """A stream, read while the node misbehaves, then to the end."""
    stream = random.Random(f"net:{seed}").choice(STREAMS)
    draws = Draws(seed, kinds_for(METHODS.get(stream, (BLOCK, LOGS, RECEIPTS))), most=5)
    outcome = Outcome(seed, stream, draws)
    forget_limits()
    dataset = Dataset()
    log = Lines()
    async with Relay(recording, draws) as relay:
        config = {
            "url": relay.url, "startBlock": START, "maxBlockRange": draws.random.choice([5, 2000, 2000]), "events": EVENTS,
            "finality": draws.random.choice(["latest", "latest", "latest", "finalized", 2]) if "no tags" not in draws.active else "latest",
        }  # fmt: skip
        if stream == "filtered logs":
            config["addresses"] = [recording.emitter]
        if not UNPROVEN_WITHOUT_ROOTS & {*draws.active} and draws.random.random() < 0.6:
            config["proveBackfill"] = False
        name = "logs" if stream == "filtered logs" else stream
        reader = asyncio.create_task(_read(checked(config), name, dataset, log, outcome))
        try:
            await _until(lambda: _is_at_end(dataset, relay.truth, config), RESTLESS_SECONDS, reader)
            relay.calm()
            if not reader.done():  # what ended it was told; what was told meanwhile may have passed
                outcome.told.clear()
            reached = await _until(lambda: _is_at_end(dataset, relay.truth, config), CALM_SECONDS, reader)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        _judge(outcome, dataset, relay.truth, name, config, reached, log)
    return outcome


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
    """As the pipeline does it: a new source after each passing trouble, from the last position."""
    telemetry = Telemetry(log, Counters(log))
    while True:
        running = build_source(SourceContext(config, "tests/net", WriteMode.UPSERT, telemetry))
        try:
            opened = await running.open(stream, dataset.checkpoint)
            async for batch in running.batches():
                dataset.apply(batch, opened.identity)
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


def _judge(
    outcome: Outcome, dataset: Dataset, truth: Branch, stream: str, config: dict[str, Any], reached: bool, log: Lines
) -> None:
    """Right; or told, where an odd error may be one that only a person can mend."""
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
