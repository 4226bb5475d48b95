"""What a runner tells of itself while it runs: built from its telemetry, written to its log, read by whoever reads the log."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import string
import time
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.log import LineLog
from connector_runner.pipeline.health import Health
from connector_runner.pipeline.metrics import OTHERS, STREAMS_NAMED, PrometheusMeters
from connector_runner.pipeline.progress import Pace, PaceMeter, build_progress, log_progress, read_interval
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.batch import Batch
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import Receipt, Transaction
from connector_runner.protocols.source import StreamState
from connector_runner.protocols.types import INT64
from connector_runner.redaction import Redactor
from connector_runner.schemas.progress import (
    INTERVAL_SECONDS,
    MOST_FAILED,
    MOST_LINE,
    MOST_NAMED,
    Copying,
    FailedStream,
    Progress,
    StreamLag,
    encode_record,
    parse_progress,
    within_limits,
)
from tests.kit.pipeline import Recorder
from tests.kit.progress import RECORDS
from tests.kit.waiting import until

NOW = 1_700_000_000.0
LARGEST_IN_STATUS = 16 * 1024


def healthy() -> Health:
    return Health(source="", sink="", is_committing=True)


def build_telemetry(log: LineLog | Recorder | None = None) -> Telemetry:
    telemetry = Telemetry(log or Recorder(), NoMeters(), healthy())
    telemetry.clock = lambda: NOW
    return telemetry


def one_batch(stream: str, rows: int, event_time: float | None) -> Batch:
    schema = StreamSchema(stream, (Column("k", INT64),), ("k",))
    return Batch(schema, [(row,) for row in range(rows)], {"n": 1}, event_time=event_time)


def commit(telemetry: Telemetry, *batches: Batch) -> None:
    telemetry.committed(Transaction(1, batches, "x"), Receipt(), 0.1)


def write_line(progress: Progress) -> str:
    out = io.StringIO()
    LineLog(Redactor(), out)("info", "progress", progress=encode_record(progress))
    return out.getvalue()


def test_a_selection_is_told_as_counts_with_the_failed_streams_by_name() -> None:
    telemetry = build_telemetry()
    telemetry.select([f"shop.t{number}" for number in range(60)])
    telemetry.stream("shop.t1", StreamState.COPYING)
    telemetry.progress(40, 100, "rows", "shop.t1")
    telemetry.stream("shop.t2", StreamState.COPYING)
    telemetry.progress(0, 300, "rows", "shop.t2")
    telemetry.stream("shop.t3", StreamState.FAILED, "SchemaConflict", "its table lost a column")
    telemetry.parked("shop.t4", ActionRequiredError("no INSERT", reason="MissingDatasetGrant"))
    commit(telemetry, one_batch("shop.t5", 3, NOW - 90), one_batch("shop.t6", 2, NOW - 2))
    found = build_progress(telemetry, 12.345, time.monotonic())
    assert found == Progress(
        selected=60, following=56, copying=2, failed=2, done=40, total=400, unit="rows", per_second=12, seconds_left=29,
        copies=(Copying("shop.t1", 40, 100), Copying("shop.t2", 0, 300)), lag_seconds=2,
        slowest=(StreamLag("shop.t5", 90), StreamLag("shop.t6", 2)), rows=5, last_commit="2023-11-14T22:13:20Z",
        failures=(
            FailedStream("shop.t3", "SchemaConflict", "its table lost a column", "2023-11-14T22:13:20Z"),
            FailedStream("shop.t4", "MissingDatasetGrant", "no INSERT", "2023-11-14T22:13:20Z"),
        ),
    )  # fmt: skip
    telemetry.stream("shop.t1", StreamState.FOLLOWING)
    telemetry.stream("shop.t3", StreamState.FOLLOWING)
    found = build_progress(telemetry, None, time.monotonic())
    assert (found.following, found.copying, [failure.stream for failure in found.failures]) == (58, 1, ["shop.t4"])
    assert (found.done, found.total, [copy.stream for copy in found.copies]) == (40, 340, ["shop.t2"])


def test_one_stream_has_progress_and_lag_too() -> None:
    telemetry = build_telemetry()
    telemetry.select(["shop.orders"])
    telemetry.progress(10, 100, "rows")
    commit(telemetry, one_batch("shop.orders", 10, NOW - 7))
    found = build_progress(telemetry, None, time.monotonic())
    assert (found.selected, found.copying, found.following, found.lag_seconds, found.rows) == (1, 1, 0, 7, 10)
    assert (found.done, found.total, found.copies) == (10, 100, (Copying("", 10, 100),))
    telemetry.progress(98, 98, "rows")
    found = build_progress(telemetry, None, time.monotonic())
    assert (found.copying, found.following, found.done, found.total, found.copies) == (0, 1, 98, 98, ())


def test_a_commit_without_rows_is_no_news() -> None:
    telemetry = build_telemetry()
    telemetry.select(["t"])
    commit(telemetry, one_batch("t", 1, None))
    before = build_progress(telemetry, None, time.monotonic())
    telemetry.clock = lambda: NOW + 100
    commit(telemetry, one_batch("t", 0, None))
    assert build_progress(telemetry, None, time.monotonic()) == before


def test_the_pace_is_that_since_the_report_before() -> None:
    telemetry, meter = build_telemetry(), PaceMeter()
    commit(telemetry, one_batch("t", 7, None))
    assert meter.measure(telemetry.totals, 100.0) == Pace(), "of the first report nothing is known"
    telemetry.committed(Transaction(1, (one_batch("t", 30, None),), "x"), Receipt(), 0.1)
    telemetry.committed(Transaction(1, (one_batch("t", 10, None),), "x"), Receipt(), 0.3)
    telemetry.committed(Transaction(1, (one_batch("t", 0, None),), "x"), Receipt(), 9.0)
    pace = meter.measure(telemetry.totals, 220.0)
    assert pace == Pace(20, 200), "40 rows in two minutes; a commit without rows does not count"
    found = build_progress(telemetry, None, time.monotonic(), pace)
    assert (found.rows_per_minute, found.commit_milliseconds) == (20, 200)
    assert meter.measure(telemetry.totals, 280.0) == Pace(), "idle: reported once, and then nothing changes"


def test_a_stream_that_fails_again_when_it_is_tried_again_has_failed_since_the_first_time() -> None:
    telemetry = build_telemetry()
    moments = [NOW, NOW + 600, NOW + 610, NOW + 5000]
    for number, moment in enumerate(moments):
        telemetry.clock = lambda moment=moment: moment  # type: ignore[misc]
        if number in {0, 1}:
            telemetry.select(["a", "b"])
        if number != 1:
            telemetry.stream("a", StreamState.FAILED, "SchemaConflict", "no")
        if number == 2:
            telemetry.stream("a", StreamState.FOLLOWING)
    since = telemetry.streams.failures()["a"].since
    assert since == NOW + 5000, "it was well before"
    telemetry.clock = lambda: NOW + 5600
    telemetry.select(["a", "b"])
    telemetry.stream("a", StreamState.FAILED, "SchemaConflict", "no")
    assert telemetry.streams.failures()["a"].since == NOW + 5000


async def test_a_line_is_written_only_when_rows_can_flow_and_only_when_something_changed() -> None:
    log = Recorder()
    telemetry = build_telemetry(log)
    telemetry.health.is_committing = False
    telling = asyncio.create_task(log_progress(telemetry, 0.0))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not log.lines
    telemetry.health.is_committing = True
    await until(lambda: len(log.lines) == 1, "the first line")
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(log.lines) == 1
    telemetry.disconnected("the cable is out")
    await until(lambda: len([line for line in log.lines if line[1] == "progress"]) == 2, "the second line")
    assert log.lines[-1][2]["progress"]["problem"] == "the cable is out"
    telling.cancel()
    with suppress(asyncio.CancelledError):
        await telling


@pytest.mark.parametrize(("text", "seconds"), [("", 60), ("2", 2), ("0", 60), ("soon", 60), ("-1", 60)])
def test_the_interval(text: str, seconds: int) -> None:
    assert read_interval({"CONNECTOR_PROGRESS_SECONDS": text}) == seconds
    assert read_interval({}) == INTERVAL_SECONDS


def test_no_secret_reaches_the_line() -> None:
    redactor, out = Redactor(), io.StringIO()
    redactor.learn(["geheim-1234"])
    telemetry = build_telemetry(LineLog(redactor, out))
    telemetry.select(["a", "b"])
    telemetry.stream("a", StreamState.FAILED, "WrongCredentials", "refused geheim-1234")
    progress = build_progress(telemetry, None, time.monotonic())
    telemetry.log("info", "progress", progress=encode_record(progress))
    assert "geheim" not in out.getvalue()
    found = parse_progress(out.getvalue())
    assert found is not None
    assert found.failures[0].message == "refused •••"


# --- reading

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=400),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=40,
)
FIELDS = [field.encode_name for field in msgspec.structs.fields(Progress)]


def assert_bounded(progress: Progress) -> None:
    assert len(progress.failures) <= MOST_FAILED
    assert max(len(progress.copies), len(progress.slowest)) <= MOST_NAMED
    document = json.loads(msgspec.json.encode(progress))
    numbers = [value for value in document.values() if isinstance(value, int)]
    assert all(0 <= number <= 10**12 for number in numbers)
    assert len(json.dumps(document, ensure_ascii=False)) <= LARGEST_IN_STATUS
    characters = set("".join(texts_of(document)))
    assert not characters & {"\u2028", "\u202e", "\x7f", "\x9b", *map(chr, range(32))}


def texts_of(value: object) -> Iterator[str]:
    """Each text in a document, names of members included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from itertools.chain.from_iterable(map(texts_of, value))
    elif isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(texts_of, itertools.chain(value, value.values())))


@given(RECORDS)
def test_every_record_is_within_limits_and_stays_the_same_on_its_way(record: Progress) -> None:
    limited = within_limits(record)
    assert_bounded(limited)
    assert within_limits(limited) == limited
    line = write_line(limited)
    assert len(line) < MOST_LINE
    assert parse_progress(f"cut in the midd\n{line}") == limited


def test_the_longest_record_is_still_read() -> None:
    name, long = "\U0001f600" * 300, "ü" * 400
    failures = tuple(FailedStream(name, "SchemaConflict", name, "2023-11-14T22:13:20Z") for _ in range(30))
    copies, slowest = (Copying(name, 2**60, 2**60),) * 9, (StreamLag(name, 2**60),) * 9
    record = within_limits(Progress(problem=long, failures=failures, copies=copies, slowest=slowest))
    assert parse_progress(write_line(record)) == record


@given(st.lists(st.text(max_size=200) | JSON.map(json.dumps), max_size=5), st.data())
def test_no_log_breaks_the_reader(lines: list[str], data: st.DataObject) -> None:
    hostile = data.draw(st.dictionaries(st.sampled_from(FIELDS), JSON))
    text = "\n".join([*lines, json.dumps({"message": "progress", "progress": hostile})])
    found = parse_progress(text)
    if found is not None:
        assert_bounded(found)


@pytest.mark.parametrize(
    "line",
    [
        "", "progress", '"progress"', '{"progress": {}}', '{"message": "progress"}', '{"message": "other", "progress": {}}',
        '{"message": "progress", "progress": []}', '{"message": "progress", "progress": {"rows": "5"}}',
        '{"message": "progress", "progress": {"rows": NaN}}', '{"message": "progress", "progress": {"failures": 5}}',
        '{"message": "progress", "progress": {"rows": 1}', '["progress"' + "[" * 30_000,
        '{"message": "progress", "x": ' + "[" * 20_000 + "]" * 20_000 + ', "progress": {}}',
        '{"message": "progress", "progress": {"unit": "\\ud800"}}',
        '{"message": "progress", "progress": {"unit": "' + string.ascii_letters * 6000 + '"}}',
    ],
)  # fmt: skip
def test_what_is_no_record_is_left_out(line: str) -> None:
    good = write_line(Progress(selected=1, following=1, rows=7))
    assert parse_progress(line) is None
    found = parse_progress(f"{good}{line}\n{line}")
    assert found is not None
    assert found.rows == 7


def test_the_last_record_counts_and_foreign_fields_are_no_obstacle() -> None:
    first, second = (write_line(Progress(rows=rows)) for rows in (1, 2))
    line = json.loads(second)
    line["progress"]["ofALaterVersion"] = {"x": 1}
    found = parse_progress(f"{first}noise\n{json.dumps(line)}\nmore noise")
    assert found == Progress(rows=2)


# --- metrics


def stream_samples(meters: PrometheusMeters, name: str) -> dict[str, float]:
    found = {}
    for family in meters.registry.collect():
        for sample in family.samples:
            if sample.name == name:
                found[sample.labels["stream"]] = sample.value
    return found


def test_only_a_hundred_streams_have_labels_of_their_own() -> None:
    meters = PrometheusMeters()
    telemetry = Telemetry(Recorder(), meters, healthy(), clock=lambda: NOW)
    meters.watch_streams(telemetry.stream_lags)
    streams = [f"s{number:03}" for number in range(3 * STREAMS_NAMED)]
    telemetry.select(streams)
    for place, stream in enumerate(streams):
        commit(telemetry, one_batch(stream, 2, NOW - place))
    meters.exposition()
    rows = stream_samples(meters, "connector_stream_rows_total")
    lags = stream_samples(meters, "connector_stream_lag_seconds")
    assert rows.keys() == lags.keys() == {*streams[:STREAMS_NAMED], OTHERS}
    assert (rows["s007"], lags["s007"]) == (2, 7)
    assert (rows[OTHERS], lags[OTHERS]) == (2 * 2 * STREAMS_NAMED, 3 * STREAMS_NAMED - 1)


def test_a_stream_without_news_has_no_lag_and_a_failed_one_falls_behind() -> None:
    meters, now = PrometheusMeters(), [NOW]
    telemetry = Telemetry(Recorder(), meters, healthy(), clock=lambda: now[0])
    meters.watch_streams(telemetry.stream_lags)
    telemetry.select(["a", "b", "c"])
    telemetry.stream("c", StreamState.FAILED, "SchemaConflict", "no")
    now[0] += 500
    meters.exposition()
    assert stream_samples(meters, "connector_stream_lag_seconds") == {"c": 500}
    telemetry.stream("c", StreamState.FOLLOWING)
    meters.exposition()
    assert stream_samples(meters, "connector_stream_lag_seconds") == {}
