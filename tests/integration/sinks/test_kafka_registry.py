"""Schema registries that are slow, answer something else than was asked, or have lost what they had: no row is read as another one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from connector_runner.protocols.batch import Operation
from connector_runner.protocols.errors import ActionRequiredError, SchemaConflictError, TransientError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import SinkContext
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import INT64, STRING
from connector_runner.registry import build_sink
from connector_runner.schemas.outcome import ExitCode
from connector_runner.sinks.kafka import schema_registry
from tests.kit.kafka_avro_dataset import AvroDataset
from tests.kit.pipeline import PAIR, SMALL, ListSource, Run, batch, context, run_to_end
from tests.kit.waiting import until
from tests.servers.kafka import KafkaServer
from tests.servers.schema_registry import SmallRegistry, ask

UPSERT, *_ = Operation


class OddRegistry(SmallRegistry):
    """One that is wrong in a chosen way.

    Attributes:
        told: The id that it answers, whatever was registered; None for the right one.
        hides: Whether it does not show schemas by their ids.
        drips: How many answers come a byte at a time, without an end.
    """

    told: int | None = None
    hides = False
    drips = 0

    def _register(self, subject: str, schema: str) -> tuple[int, dict[str, Any]]:
        status, found = super()._register(subject, schema)
        return status, found if self.told is None else {"id": self.told}

    def _found(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.hides and path.startswith("/schemas/ids/"):
            return 404, {"error_code": 40403, "message": "Schema not found"}
        return super()._found(path, body)

    def _respond(self, request: BaseHTTPRequestHandler) -> None:
        if not self.drips:
            return super()._respond(request)
        self.drips -= 1
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(b" ")
        except OSError:
            pass  # the runner has enough


@pytest.fixture
def registry() -> Iterator[OddRegistry]:
    odd = OddRegistry()
    with odd:
        yield odd


@pytest.fixture
def dataset(kafka_server: KafkaServer, tmp_path: Path, registry: OddRegistry) -> AvroDataset:
    return AvroDataset(kafka_server, tmp_path, registry)


async def refused(where: SinkContext, schema: StreamSchema = SMALL) -> Exception:
    sink = build_sink(where)
    await sink.claim()
    with pytest.raises((ActionRequiredError, TransientError)) as told:
        await sink.prepare(schema)
    await sink.close()
    return told.value


async def test_another_schema_under_the_id_that_was_answered(dataset: AvroDataset, registry: OddRegistry) -> None:
    other = json.dumps({"type": "record", "name": "x", "fields": [{"name": "k", "type": "string"}]})
    number = ask(registry.url, "POST", "/subjects/x-value/versions", {"schema": other})["id"]
    registry.told = number
    error = await refused(context(dataset))
    assert isinstance(error, SchemaConflictError)
    assert re.search(f"rows-value has the id {number}, but has another schema", error.message), error.message
    assert not dataset.topics.committed("rows")


@pytest.mark.parametrize("number", [2**31, pytest.param(-1, marks=pytest.mark.fault)])
async def test_an_id_that_no_record_can_have(dataset: AvroDataset, registry: OddRegistry, number: int) -> None:
    registry.told = number
    error = await refused(context(dataset))
    assert f"the id {number} does not fit" in str(error)


async def test_an_id_that_another_node_does_not_know_yet_is_waited_for(
    dataset: AvroDataset, registry: OddRegistry
) -> None:
    registry.hides = True
    run = Run(lambda: ListSource([batch(SMALL, 1, (UPSERT, (1, "a")))]), context(dataset), retry=0.2).start()
    await until(lambda: "the id 1, but does not have it" in run.log.text(), "it is told")
    registry.hides = False
    assert await run.end() is ExitCode.END_OF_STREAM
    assert dataset.read(SMALL, "rows") == [(1, "a")]


async def test_an_answer_without_an_end_is_given_up(
    dataset: AvroDataset, registry: OddRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_registry, "SECONDS", 0.5)
    registry.drips = 1
    run = Run(lambda: ListSource([batch(SMALL, 1, (UPSERT, (1, "a")))]), context(dataset), retry=0.2).start()
    await until(lambda: "the answer does not end" in run.log.text(), "it is told")
    monkeypatch.undo()
    assert await run.end() is ExitCode.END_OF_STREAM
    assert dataset.read(SMALL, "rows") == [(1, "a")]


async def test_a_registry_that_began_anew_has_another_topics_schema_under_the_id(dataset: AvroDataset) -> None:
    where = context(dataset)
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], where)
    with SmallRegistry() as anew:
        dataset.options["schema.registry.url"] = anew.url
        await run_to_end(
            [batch(PAIR, 1, (UPSERT, ("a", 1, "v")))], context(dataset, "pairs", connector="default/other", uid="uid-2")
        )
        error = await refused(replace(where, run=2))
    assert isinstance(error, SchemaConflictError)
    assert "holds a record whose schema has the id 1, and in the registry that is one of 'pairs'" in error.message


async def test_a_column_that_would_be_the_operation(dataset: AvroDataset) -> None:
    schema = StreamSchema("test", (Column("k", INT64), Column("-op", STRING)), ("k",))
    await run_to_end([batch(schema, 1, (UPSERT, (1, "a")))], context(dataset, "state"))
    history = context(dataset, "history", connector="default/other", uid="uid-2", write_mode=WriteMode.APPEND)
    error = await refused(history, schema)
    assert isinstance(error, SchemaConflictError)
    assert "columns '_op' and '-op', which Avro would take for the same field _op" in error.message
