"""Orders that change while a runner runs: how they are written, read and answered."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.commands.selection import Selecting
from connector_runner.log import LineLog
from connector_runner.orders import Orders
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.errors import InvalidConfigError, SchemaConflictError
from connector_runner.redaction import Redactor
from connector_runner.registry import FolderRegistry
from connector_runner.schemas.kinds.streams import StreamsSpec
from connector_runner.schemas.manifest import SELECTION_FILE, RunnerManifest
from connector_runner.schemas.orders import OrdersAnswer, encode_orders, find_answer

MADE = StreamsSpec(("shop.*",))
LATER = StreamsSpec(("crm.*",), ("crm.old",), "ignore", {"crm.a": "b"})


class Pod:
    """What chooses the streams of a pod, and its log."""

    def __init__(self, folder: Path) -> None:
        manifest = RunnerManifest(namespace="n", name="c", uid="u", connector_type="MYSQL", streams=MADE)
        orders = Orders(manifest, lambda: (), lambda: "", folder, live=folder)
        self.file = folder / SELECTION_FILE
        self.log = io.StringIO()
        redactor = Redactor()
        telemetry = Telemetry(LineLog(redactor, self.log), NoMeters())
        self.selecting = Selecting(orders, FolderRegistry(), telemetry, redactor)

    def patterns(self) -> tuple[str, ...]:
        return self.selecting.read_spec().include


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


def test_orders_that_are_there_count_and_those_that_vanish_still_count(pod: Pod) -> None:
    assert pod.patterns() == MADE.include
    pod.file.write_text(encode_orders(LATER))
    assert pod.patterns() == LATER.include
    pod.file.unlink()
    assert pod.patterns() == LATER.include, "going back would change what is carried twice"
    pod.file.write_text(encode_orders(MADE))
    assert pod.patterns() == MADE.include


@pytest.mark.parametrize("text", ["no JSON", "{}", '{"include": ["a..b"], "mark": "m"}', '{"include": "a"}'])
def test_what_can_not_be_read_is_refused_with_its_mark(pod: Pod, text: str) -> None:
    pod.file.write_text(text)
    with pytest.raises(InvalidConfigError) as refused:
        pod.patterns()
    pod.selecting.refuse(refused.value)
    answer = find_answer(pod.log.getvalue())
    assert (answer is not None) == ("mark" in text)
    if answer is not None:
        assert (answer.mark, answer.reason) == ("m", "InvalidConfig")


def test_a_refusal_is_answered_with_its_reason(pod: Pod) -> None:
    pod.file.write_text(encode_orders(LATER))
    pod.patterns()
    pod.selecting.refuse(SchemaConflictError("streams meet in one table"))
    assert find_answer(pod.log.getvalue()) == OrdersAnswer(
        LATER.whole_key, "SchemaConflict", "streams meet in one table"
    )


TEXTS = st.text(min_size=1, max_size=9)
SPECS = st.builds(
    StreamsSpec,
    st.lists(TEXTS, min_size=1, max_size=3).map(tuple),
    st.lists(TEXTS, max_size=3).map(tuple),
    st.sampled_from(["follow", "ignore"]),
    st.dictionaries(TEXTS, TEXTS, max_size=3),
)


@given(SPECS, SPECS)
def test_equal_orders_are_equal_texts_and_others_are_not(one: StreamsSpec, other: StreamsSpec) -> None:
    assert (encode_orders(one) == encode_orders(other)) == (one == other)
    assert (one.whole_key == other.whole_key) == (one == other)
    assert json.loads(encode_orders(one))["mark"] == one.whole_key


LINES: list[tuple[str, Any]] = [
    ("", None),
    ('{"message": "the \\"orders\\" of a table", "x": 1}', None),
    ('{"orders": 3}', None),
    ('{"orders": {"mark": "a"}', None),
    ('{"orders": {"mark": "a"}}\n{"message": "orders"}', OrdersAnswer("a")),
    ('{"orders": {"mark": "a"}}\n{"orders": {"mark": "b", "reason": "R"}}\n{"ord', OrdersAnswer("b", "R")),
]


@pytest.mark.parametrize(("log", "answer"), LINES)
def test_the_newest_answer_of_a_log_counts(log: str, answer: OrdersAnswer | None) -> None:
    assert find_answer(log) == answer
