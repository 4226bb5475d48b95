"""Small parts of the runner that only take and give values."""

from __future__ import annotations

import asyncio
import io
import json
import math
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.datasets.dead_letters import json_value
from connector_runner.datasets.names import parse_table, quote
from connector_runner.datasets.sqlite.connection import parse_url
from connector_runner.log import LineLog
from connector_runner.pipeline.health import Health
from connector_runner.pipeline.probes import parse_address
from connector_runner.pipeline.queue import BatchQueue, Limits
from connector_runner.pipeline.rotation import fingerprint
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.pipeline.terminal import show_figures, show_progress
from connector_runner.protocols.batch import Batch
from connector_runner.protocols.errors import ActionRequiredError, InvalidConfigError, TransientError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.source import StreamState
from connector_runner.protocols.types import INT64, STRING, Kind
from connector_runner.redaction import BLOT, Redactor
from connector_runner.registry import FolderRegistry, sink_scheme
from connector_runner.resilience.backoff import Backoff
from connector_runner.schemas.connector import build_connector_schema
from connector_runner.sinks.postgresql.errors import Meaning, connection_failure, meaning_of, statement_failure
from connector_runner.sinks.postgresql.session import connection_info, describe
from connector_runner.sinks.postgresql.times import days_from_civil, parse_iso
from connector_runner.sinks.postgresql.types import TYPES as POSTGRES_TYPES
from connector_runner.sinks.sqlite.types import TYPES as SQLITE_TYPES
from connector_runner.sinks.sqlite.types import canonical_decimal, decimal_text

ONE = StreamSchema("s", (Column("k", INT64),), ("k",))
OTHER = StreamSchema("s", (Column("k", STRING),), ("k",))


def test_backoff_doubles_up_to_its_cap_and_starts_over() -> None:
    backoff = Backoff(lambda: 1.0, first=1, longest=10)
    assert [backoff.next_delay() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    backoff.reset()
    assert backoff.next_delay() == 1
    assert backoff.next_delay(at_least=90) == 90
    assert Backoff(lambda: 0.0, first=1).next_delay() == 0.5


def test_health_names_what_is_missing() -> None:
    health = Health()
    assert len(health.problems()) == 2
    health.source = health.sink = ""
    assert health.problems() == ["nothing was committed yet"]
    health.is_committing = True
    assert health.is_ready


async def test_the_queue_groups_by_schema_source_and_limits() -> None:
    queue = BatchQueue(Limits(queue_bytes=100, queue_rows=100, group_bytes=100, group_rows=3))
    for schema, rows, identity in [(ONE, 2, "a"), (ONE, 2, "a"), (ONE, 1, "a"), (OTHER, 1, "a"), (OTHER, 1, "b")]:
        await queue.put(Batch(schema, [(1,)] * rows, {}, size=rows), identity)
    queue.close()
    taken = []
    while (group := queue.take()) is not None:
        taken.append((len(group.batches), sum(len(batch.rows) for batch in group.batches), group.identity))
    assert taken == [(2, 4, "a"), (1, 1, "a"), (1, 1, "a"), (1, 1, "b")]
    assert (queue.bytes, queue.rows, queue.is_finished) == (0, 0, True)


@pytest.mark.parametrize("limits", [Limits(queue_bytes=10), Limits(queue_rows=2)])
async def test_a_full_queue_holds_the_reader(limits: Limits) -> None:
    queue = BatchQueue(limits)
    large = Batch(ONE, [(1,)] * 5, {}, size=50)
    await queue.put(large, "")  # larger than the limits, into an empty queue
    waiting = asyncio.create_task(queue.put(large, ""))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    assert queue.take() is not None
    await asyncio.wait_for(waiting, 10)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (Decimal("1.50"), "1.50"),
        (b"\0\xff", "AP8="),
        (None, None),
        (2**70, 2**70),
    ],
)
def test_dead_letters_show_every_value(value: object, shown: object) -> None:
    assert json_value(value) == shown


def test_table_names() -> None:
    assert parse_table("market.trades").rows == '"market"."trades"'
    assert parse_table("a.b", schemas=False).rows == '"a.b"'
    assert quote('a"b') == '"a""b"'
    for wrong in ("", ".x", "x.", "a.b.c", "a\0"):
        with pytest.raises(InvalidConfigError):
            parse_table(wrong)
    with pytest.raises(InvalidConfigError, match="50 bytes"):
        parse_table("ü" * 26, longest=63)


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(0, 5))
def test_equal_decimals_have_one_text(value: Decimal, zeros: int) -> None:
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    same = Decimal((sign, digits + (0,) * zeros, exponent - zeros))
    assert canonical_decimal(value) == canonical_decimal(same)
    assert Decimal(canonical_decimal(value)) == value
    assert Decimal(decimal_text(value)) == value


@given(st.dates())
def test_days_are_counted_as_python_counts_them(day: object) -> None:
    import datetime as dt

    assert isinstance(day, dt.date)
    assert days_from_civil(day.year, day.month, day.day) == (day - dt.date(2000, 1, 1)).days
    assert parse_iso(f"{day.isoformat()}T23:59:59.5Z") == ((day - dt.date(2000, 1, 1)).days, 86_399_500_000)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_a_type_in_every_sink(kind: Kind) -> None:
    assert SQLITE_TYPES[kind][0]
    assert POSTGRES_TYPES[kind].name


@pytest.mark.parametrize(
    ("sqlstate", "meaning"),
    [("53100", Meaning.TRANSIENT), ("57P01", Meaning.TRANSIENT), ("57P04", Meaning.ACTION), ("22003", Meaning.REFUSED),
     ("23514", Meaning.REFUSED), ("42P01", Meaning.SCHEMA), ("42501", Meaning.ACTION), ("99999", Meaning.ACTION)],
)  # fmt: skip
def test_what_a_sqlstate_means(sqlstate: str, meaning: Meaning) -> None:
    assert meaning_of(sqlstate) is meaning


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        ('FATAL:  password authentication failed for user "u"', ActionRequiredError, "WrongCredentials"),
        ('FATAL:  database "x" does not exist', ActionRequiredError, "MissingDatabase"),
        ("server does not support SSL, but SSL was required", ActionRequiredError, "TlsProblem"),
        ("connection refused", TransientError, "DatasetUnavailable"),
        ("could not translate host name", TransientError, "DatasetUnavailable"),
    ],
)
def test_why_a_connection_failed(text: str, kind: type[Exception], reason: str) -> None:
    error = connection_failure(text, "postgresql://h/db")
    assert isinstance(error, kind)
    assert error.reason == reason


def test_a_missing_grant_is_named() -> None:
    assert "GRANT X" in statement_failure("42501", "permission denied", "db", "GRANT X").message


def test_a_url_is_shown_without_user_and_password() -> None:
    url = "postgresql://user:secret@db:6432/market?sslmode=require"
    assert describe(url) == "postgresql://db:6432/market"
    assert describe("postgresql://u:secret@h:1/?nonsense=1") == "PostgreSQL"
    info = connection_info(url, "me")
    assert "sslmode=require" in info
    assert "application_name=me" in info
    with pytest.raises(ActionRequiredError) as caught:
        connection_info("postgresql://u:secret@h:1/?nonsense=1", "me")
    assert "secret" not in caught.value.message


def test_sqlite_urls() -> None:
    assert parse_url("sqlite:///a/b.db", Path("/data")) == (Path("/data/a/b.db"), "FULL")
    assert parse_url("sqlite:////a%20b.db?synchronous=normal", Path("/data")) == (Path("/a b.db"), "NORMAL")
    for wrong in ("sqlite://host/x", "sqlite:///", "sqlite:///x?mode=1", "sqlite:///x?synchronous=OFF"):
        with pytest.raises(InvalidConfigError):
            parse_url(wrong, Path())


@pytest.mark.parametrize(("url", "scheme"), [("postgres://h/d", "postgresql"), ("SQLITE:///x", "sqlite")])
def test_the_scheme_picks_the_sink(url: str, scheme: str) -> None:
    assert sink_scheme(url) == scheme


@pytest.mark.parametrize("url", ["", "nothing", "os.path:x", "redis://:secret@h"])
def test_unknown_schemes_are_told_without_the_url(url: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        sink_scheme(url)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(("text", "parsed"), [("h:1", ("h", 1)), (":8080", ("", 8080)), ("[::1]:0", ("::1", 0))])
def test_probe_addresses(text: str, parsed: tuple[str, int]) -> None:
    assert parse_address(text) == parsed


@pytest.mark.parametrize("text", ["8080", "h:", "h:x", "h:99999"])
def test_wrong_probe_addresses(text: str) -> None:
    with pytest.raises(InvalidConfigError, match="host:port"):
        parse_address(text)


def test_a_rotated_secret_has_another_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("old")
    before = fingerprint([tmp_path])
    assert fingerprint([tmp_path]) == before
    (tmp_path / "..data").mkdir()
    assert fingerprint([tmp_path]) == before
    (tmp_path / "password").write_text("new")
    assert fingerprint([tmp_path]) != before
    assert fingerprint([tmp_path / "absent"])


def test_the_seeds_own_example_is_valid() -> None:
    registry = FolderRegistry()
    schema = build_connector_schema(registry.schema("COINBASE"), registry.types())
    example = {
        "datasetId": "YOUR_DATASET",
        "config": {"url": "wss://ws-feed.exchange.coinbase.com", "productId": ["BTC-USD", "LINK-USD"]},
        "connectorType": "COINBASE",
        "wait": True,
    }
    jsonschema.Draft202012Validator(schema).validate(example)
    changes: list[dict[str, object]] = [{"connectorType": "REDIS"}, {"config": {}}, {"id": "a b"}]
    for change in changes:
        assert list(jsonschema.Draft202012Validator(schema).iter_errors({**example, **change}))


BUILD = """
import json, sys
from connector_runner.protocols.sink import SinkContext
from connector_runner.protocols.source import SourceContext, WriteMode
from connector_runner.registry import FolderRegistry, build_sink
from connector_runner.schemas.config import config_problems, fill_defaults
from connector_runner.pipeline.telemetry import NoMeters, Telemetry

kind, config, url = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
registry = FolderRegistry()
filled = fill_defaults(config, registry.schema(kind))
assert not config_problems(filled, registry.schema(kind))
report = Telemetry(lambda *_, **__: None, NoMeters())
registry.build(kind, SourceContext(filled, "ns/c", WriteMode.UPSERT, report))
build_sink(SinkContext(read_url=lambda: url, tables={"s": "t"}, connector="ns/c"))
ours = {".".join(name.split(".")[1:3]) for name in sys.modules if name.startswith("connector_runner.s")}
print(json.dumps(sorted(name for name in ours if name.split(".")[0] in ("sources", "sinks") and "." in name)))
print(json.dumps(sorted({"psycopg", "pymysql", "web3", "rich", "prometheus_client"} & sys.modules.keys())))
"""
SOURCE_CONFIGS: dict[str, tuple[dict[str, object], set[str]]] = {
    "COINBASE": ({"productId": ["BTC-USD"]}, set()),
    "MYSQL": ({"host": "db", "user": "u"}, {"pymysql"}),
    "ETHEREUM": ({"url": "http://node"}, {"web3"}),
}
# HTTP keeps its position in SQLite.
SINK_URLS = {
    "sqlite:///x.db": ({"sqlite"}, set[str]()),
    "postgresql://db/x": ({"postgresql"}, {"psycopg"}),
    "http://host/x": ({"http"}, set[str]()),
}


@pytest.mark.parametrize(
    ("kind", "url"), [*((kind, "sqlite:///x.db") for kind in SOURCE_CONFIGS), *(("COINBASE", url) for url in SINK_URLS)]
)
def test_of_sources_and_sinks_only_those_that_are_asked_for_are_imported(kind: str, url: str) -> None:
    config, source_needs = SOURCE_CONFIGS[kind]
    sinks, sink_needs = SINK_URLS[url]
    done = subprocess.run(
        [sys.executable, "-c", BUILD, kind, json.dumps(config), url], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ours, libraries = map(json.loads, done.stdout.splitlines())
    assert ours == sorted({f"sources.{kind.lower()}", *(f"sinks.{name}" for name in sinks)})
    assert set(libraries) <= source_needs | sink_needs
    assert set(libraries) >= sink_needs


async def test_a_reason_with_brackets_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = Telemetry(LineLog(Redactor(), io.StringIO()), NoMeters(), Health(source="lost [/x] and [red]"))
    showing = asyncio.create_task(show_progress(telemetry, 0.0))
    while "lost" not in capsys.readouterr().err and not showing.done():
        await asyncio.sleep(0.01)
        showing.cancel()  # the last state is drawn at the end
    with pytest.raises(asyncio.CancelledError):
        await showing


def test_many_streams_are_counted_on_the_terminal() -> None:
    telemetry = Telemetry(LineLog(Redactor(), io.StringIO()), NoMeters())
    telemetry.select([f"s{number}" for number in range(200)])
    assert show_figures(telemetry, 1.0).startswith("200 streams · 0 rows")
    telemetry.stream("s1", StreamState.COPYING)
    telemetry.stream("s2", StreamState.FAILED, "it is broken")
    assert show_figures(telemetry, 1.0).startswith("200 streams (1 copying, 1 failed) · 0 rows")
    telemetry.select(["s1"])
    assert show_figures(telemetry, 1.0).startswith("0 rows")


def test_a_secret_in_a_reason_is_shown_nowhere() -> None:
    redactor = Redactor()
    redactor.learn(["geheim-1234"])
    health = Health(source="refused geheim-1234", clean=redactor.clean)
    assert health.problems()[0] == f"refused {BLOT}"
