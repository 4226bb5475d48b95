"""Avro with a schema registry: rows, evolution, what the registry refuses, and what happens while it is gone."""

from __future__ import annotations

import io
import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from connector_runner.protocols.batch import Operation
from connector_runner.protocols.check import Result
from connector_runner.protocols.errors import ActionRequiredError, SchemaConflictError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import SinkContext
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import INT64, STRING, Kind, LogicalType
from connector_runner.registry import build_examiner, build_inspector, build_sink
from connector_runner.schemas.outcome import ExitCode
from tests.kit.kafka_dataset import KafkaDataset
from tests.kit.pipeline import PAIR, SMALL, ListSource, Run, batch, context, run_to_end
from tests.kit.waiting import until
from tests.servers.certificates import Authority, pem_of
from tests.servers.kafka import KafkaServer
from tests.servers.schema_registry import PASSWORD, TOKEN, USER, Apicurio, SmallRegistry, ask

UPSERT, DELETE, INSERT, REPLACE = Operation
PRICE = LogicalType(Kind.DECIMAL, 12, 2)
WIDER = StreamSchema("test", (*SMALL.columns, Column("price", PRICE, nullable=False)), SMALL.key)
OTHER = StreamSchema("test", (SMALL.columns[0], Column("v", INT64)), SMALL.key)


@pytest.fixture(scope="module")
def apicurio() -> Iterator[Apicurio]:
    with Apicurio() as server:
        ask(server.url, "PUT", "/config", {"compatibility": "FULL"})
        yield server


@pytest.fixture
def small() -> Iterator[SmallRegistry]:
    with SmallRegistry() as registry:
        yield registry


@pytest.fixture
def dataset(kafka_server: KafkaServer, tmp_path: Path) -> KafkaDataset:
    return KafkaDataset(kafka_server, tmp_path)


def avro(dataset: KafkaDataset, url: str, table: str = "rows", **changes: Any) -> SinkContext:
    options = {"format": "avro", "schema.registry.url": url, **changes.pop("options", {})}
    return context(dataset, table, read_options=lambda: options, **changes)


def later(where: SinkContext) -> SinkContext:
    """The next run of the same connector."""
    return replace(where, run=where.run + 1)


def rows_of(dataset: KafkaDataset, url: str, table: str = "rows") -> list[tuple[dict[str, Any], int] | None]:
    """Each committed record as a consumer with a deserializer of its own reads it: value and id of its schema."""
    found: list[tuple[dict[str, Any], int] | None] = []
    for message in dataset.topics.committed(table):
        value = message.value()
        if value is None:
            found.append(None)
            continue
        assert value[0] == 0
        number = int.from_bytes(value[1:5], "big")
        schema = fastavro.parse_schema(json.loads(ask(url, "GET", f"/schemas/ids/{number}")["schema"]))
        row: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
        found.append((row, number))
    return found


async def check_evolution(dataset: KafkaDataset, url: str, table: str) -> None:
    """Rows before and after a new column, and what is taken back."""
    await run_to_end(
        [
            batch(SMALL, 1, (UPSERT, (1, "a")), (UPSERT, (2, None))),
            batch(WIDER, 2, (UPSERT, (3, "c", Decimal("1.5"))), (DELETE, (1, "a", Decimal(0)))),
        ],
        avro(dataset, url, table),
    )
    found = rows_of(dataset, url, table)
    assert [row and row[0] for row in found] == [
        {"k": 1, "v": "a"}, {"k": 2, "v": None}, {"k": 3, "v": "c", "price": Decimal("1.50")}, None,
    ]  # fmt: skip
    assert found[0]
    assert found[2]
    assert found[0][1] != found[2][1]
    assert len(ask(url, "GET", f"/subjects/{table}-value/versions")) == 2
    inspector = build_inspector(avro(dataset, url, table))
    names, rows = inspector.newest_rows(3)
    inspector.close()
    assert list(names) == ["k", "v", "price"]
    assert [list(row) for row in rows] == [[2, None, None], [3, "c", Decimal("1.50")], [1, None, None]]


@pytest.mark.fault  # the registry is 100 MB
async def test_rows_and_a_new_column_with_apicurio(dataset: KafkaDataset, apicurio: Apicurio) -> None:
    await check_evolution(dataset, apicurio.url, "rows")
    where = later(avro(dataset, apicurio.url))
    examiner = build_examiner(where)
    found = examiner.examine({"test": OTHER})
    examiner.close()
    sink = build_sink(where)
    await sink.claim()
    with pytest.raises(SchemaConflictError, match=r"refuses the schema of rows-value: .*ncompatible"):
        await sink.prepare(OTHER)
    await sink.prepare(WIDER)
    await sink.close()
    assert [check.result for check in found if "refuses the schema" in check.message] == [Result.FAILED], found
    assert len(ask(apicurio.url, "GET", "/subjects/rows-value/versions")) == 2


async def test_rows_and_a_new_column(dataset: KafkaDataset) -> None:
    with _Versions() as registry:
        await check_evolution(dataset, registry.url, "rows")


class _Versions(SmallRegistry):
    """Lists versions too, which the runner never asks for."""

    def _found(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        subject = path.removeprefix("/subjects/").removesuffix("/versions")
        is_list = not body and subject in self.subjects
        return (200, self.subjects[subject]) if is_list else super()._found(path, body)


async def test_a_refused_schema_stops_with_what_the_registry_said(dataset: KafkaDataset, small: SmallRegistry) -> None:
    where = avro(dataset, small.url)
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], where)
    sink = build_sink(later(where))
    await sink.claim()
    with pytest.raises(
        SchemaConflictError, match=r"refuses the schema of rows-value: TYPE_MISMATCH at v; change"
    ) as told:
        await sink.prepare(OTHER)
    await sink.close()
    assert told.value.reason == "SchemaConflict"
    examiner = build_examiner(later(later(where)))
    found = examiner.examine({"test": OTHER})
    examiner.close()
    assert [check.result for check in found if "TYPE_MISMATCH" in check.message] == [Result.FAILED], found
    assert len(small.schemas) == 1


async def test_a_registry_that_is_gone_is_waited_for(dataset: KafkaDataset, small: SmallRegistry) -> None:
    small.stop()
    source = ListSource([batch(SMALL, 1, (UPSERT, (1, "a")))])
    run = Run(lambda: source, avro(dataset, small.url), retry=0.2).start()
    await until(lambda: "can't be reached" in run.log.text(), "it is told")
    small.start()
    assert await run.end() is ExitCode.END_OF_STREAM, run.log.text()
    assert rows_of(dataset, small.url) == [({"k": 1, "v": "a"}, 1)]


async def test_a_registry_that_goes_later_stops_nothing_until_a_schema_is_new(
    dataset: KafkaDataset, small: SmallRegistry
) -> None:
    source = ListSource([batch(SMALL, 1, (UPSERT, (1, "a")))], endless=True)
    run = Run(lambda: source, avro(dataset, small.url), retry=0.2).start()
    await until(lambda: len(dataset.topics.committed("rows")) == 1, "the first row arrives")
    small.stop()
    source.add(batch(SMALL, 2, (UPSERT, (2, "b"))))
    await until(lambda: len(dataset.topics.committed("rows")) == 2, "rows of a schema that is known arrive")
    source.add(batch(WIDER, 3, (UPSERT, (3, "c", Decimal(1)))))
    await until(lambda: "can't be reached" in run.log.text(), "it is told")
    small.start()
    await until(lambda: len(dataset.topics.committed("rows")) == 3, "the row of the new schema arrives")
    assert await run.stop() is ExitCode.TERMINATED
    assert [row and row[1] for row in rows_of(dataset, small.url)] == [1, 1, 2]


ANSWERS: dict[str, tuple[int, bytes, str, str]] = {
    "no registry": (404, b"<html>not found</html>", "InvalidDataset", "does not answer as a Confluent-compatible"),
    "another service": (200, b"<html>hello</html>", "InvalidDataset", "does not answer as a Confluent-compatible"),
    "no id": (200, b'{"id": "x"}', "InvalidDataset", "id is missing"),
    "moved": (301, b"", "InvalidDataset", "check schema.registry.url"),
    "not allowed": (403, b'{"error_code":40301,"message":"no"}', "NotAllowed", "does not allow it (no)"),
    "invalid": (
        422,
        b'{"error_code":42201,"message":"bad"}',
        "SchemaConflict",
        "does not take the schema of rows-value",
    ),
}


@pytest.mark.parametrize("case", list(ANSWERS))
async def test_what_a_registry_answers_is_told(case: str, dataset: KafkaDataset, small: SmallRegistry) -> None:
    status, text, reason, says = ANSWERS[case]
    small.answer = status, text
    sink = build_sink(avro(dataset, small.url))
    await sink.claim()
    with pytest.raises(ActionRequiredError) as told:
        await sink.prepare(SMALL)
    await sink.close()
    assert (told.value.reason, says in told.value.message) == (reason, True), told.value.message


async def test_a_registry_that_is_overloaded_is_waited_for(dataset: KafkaDataset, small: SmallRegistry) -> None:
    small.answer = 503, b"busy"
    run = Run(lambda: ListSource([batch(SMALL, 1, (UPSERT, (1, "a")))]), avro(dataset, small.url), retry=0.2).start()
    await until(lambda: "answers 503: busy" in run.log.text(), "it is told")
    small.answer = None
    assert await run.end() is ExitCode.END_OF_STREAM


CREDENTIALS: Sequence[tuple[Mapping[str, str], bool]] = [
    ({"schema.registry.username": USER, "schema.registry.password": PASSWORD}, False),
    ({"schema.registry.bearer.token": TOKEN}, True),
]


@pytest.mark.parametrize(("options", "token"), CREDENTIALS, ids=["user", "token"])
async def test_credentials_are_sent_and_never_told(
    options: Mapping[str, str], token: bool, dataset: KafkaDataset, small: SmallRegistry
) -> None:
    small.secure(token=token)
    run = await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], avro(dataset, small.url, options=options))
    small.secured = "Basic another"
    sink = build_sink(later(avro(dataset, small.url, options=options)))
    await sink.claim()
    with pytest.raises(
        ActionRequiredError, match=r"does not know the runner; check schema\.registry\.username"
    ) as told:
        await sink.prepare(SMALL)
    await sink.close()
    assert told.value.reason == "WrongCredentials"
    assert not [secret for secret in (PASSWORD, TOKEN) if secret in told.value.message + run.log.text()]


async def test_tls_of_the_registry(dataset: KafkaDataset, tmp_path: Path) -> None:
    authority = Authority("the registry's authority")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key = rsa.generate_private_key(65537, 2048)
    (tmp_path / "registry.pem").write_text(pem_of(key) + authority.sign("registry", key))
    serving.load_cert_chain(tmp_path / "registry.pem")
    with SmallRegistry(serving) as registry:
        rows = [batch(SMALL, 1, (UPSERT, (1, "a")))]
        await run_to_end(rows, avro(dataset, registry.url, options={"schema.registry.ca.pem": authority.pem}))
        sink = build_sink(later(avro(dataset, registry.url)))
        await sink.claim()
        with pytest.raises(ActionRequiredError, match=r"not trusted.*set the option schema\.registry\.ca\.pem") as told:
            await sink.prepare(SMALL)
        await sink.close()
    assert told.value.reason == "TlsProblem"


async def test_schemas_that_must_be_registered_by_hand(dataset: KafkaDataset, small: SmallRegistry) -> None:
    where = avro(dataset, small.url, options={"schema.registry.auto.register": "false"})
    sink = build_sink(where)
    await sink.claim()
    with pytest.raises(
        SchemaConflictError, match=r"has no such schema under rows-value.*register this one: \{"
    ) as told:
        await sink.prepare(SMALL)
    await sink.close()
    assert not small.schemas
    ask(small.url, "POST", "/subjects/rows-value/versions", {"schema": told.value.message.partition("this one: ")[2]})
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], later(where))
    assert rows_of(dataset, small.url) == [({"k": 1, "v": "a"}, 1)]


async def test_a_history_is_taken_back_with_its_values(dataset: KafkaDataset, small: SmallRegistry) -> None:
    where = avro(dataset, small.url, write_mode=WriteMode.APPEND)
    first = [batch(PAIR, 1, (UPSERT, ("x", 1, "a")), (UPSERT, ("y", 2, "b")))]
    await run_to_end(first, where)
    await run_to_end(
        [*first, batch(PAIR, 2, (REPLACE, ("x",)), (UPSERT, ("x", 3, "c")))], later(where)
    )  # the state is read
    rows = [row[0] for row in rows_of(dataset, small.url) if row]
    assert [(row["_op"], row["a"], row["b"], row["v"]) for row in rows] == [
        ("upsert", "x", 1, "a"), ("upsert", "y", 2, "b"), ("delete", "x", 1, "a"), ("upsert", "x", 3, "c"),
    ]  # fmt: skip


@pytest.mark.parametrize("first", ["json", "avro"])
async def test_a_topic_keeps_its_format(first: str, dataset: KafkaDataset, small: SmallRegistry) -> None:
    contexts = {"json": context(dataset), "avro": avro(dataset, small.url)}
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], contexts.pop(first))
    (second,) = contexts.values()
    sink = build_sink(later(second))
    await sink.claim()
    with pytest.raises(SchemaConflictError, match=f"(?i)in the format {first}.*set the option format to {first}"):
        await sink.prepare(SMALL)
    await sink.close()


async def test_records_of_another_registry_are_refused(dataset: KafkaDataset, small: SmallRegistry) -> None:
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], avro(dataset, small.url))
    with SmallRegistry() as another:
        sink = build_sink(later(avro(dataset, another.url)))
        await sink.claim()
        with pytest.raises(SchemaConflictError, match="has no schema with the id 1, which a record names"):
            await sink.prepare(SMALL)
        await sink.close()


async def test_values_that_avro_has_not_become_letters(dataset: KafkaDataset, small: SmallRegistry) -> None:
    schema = StreamSchema("test", (Column("k", INT64, nullable=False), Column("p", PRICE), Column("v", STRING)), ("k",))
    rows = [(1, Decimal("1.005"), "a"), (2, Decimal("1.25"), "\ud800"), (3, Decimal("1.25"), "c")]
    await run_to_end([batch(schema, 1, *((UPSERT, row) for row in rows))], avro(dataset, small.url))
    assert [row and row[0]["k"] for row in rows_of(dataset, small.url)] == [3]
    letters = [json.loads(message.value() or b"") for message in dataset.topics.committed("rows_dead_letters")]
    assert [(letter["row"]["k"], letter["reason"].partition(":")[0]) for letter in letters] == [
        (1, "RefusedError"), (2, "UnicodeEncodeError"),
    ]  # fmt: skip
