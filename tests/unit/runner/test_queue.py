"""Batches of one transaction of the source stay together in the queue, whatever happens."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from connector_runner.pipeline.queue import BatchQueue, Group, Limits
from connector_runner.protocols.batch import Batch
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.types import INT64, STRING, LogicalType

SCHEMAS = {
    (stream, kind): StreamSchema(stream, (Column("k", kind),), ("k",)) for stream in "abc" for kind in (INT64, STRING)
}
Drawn = tuple[str, LogicalType, int, bool]  # stream, type (a transaction has that of its first batch), rows, more
DRAWN = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([INT64, STRING]), st.integers(0, 4), st.booleans()), max_size=30
)


@given(DRAWN, st.integers(1, 12), st.lists(st.booleans(), max_size=30))
def test_transactions_are_whole_and_in_order(drawn: list[Drawn], most: int, takes: list[bool]) -> None:
    asyncio.run(_run(drawn, most, takes))


async def _run(drawn: list[Drawn], most: int, takes: list[bool]) -> None:
    queue = BatchQueue(Limits(queue_bytes=most, queue_rows=most, group_bytes=most, group_rows=most))
    offered: list[Batch] = []
    groups: list[Group] = []
    used = INT64
    for (stream, kind, rows, more), is_taken in zip(drawn, [*takes, *[False] * len(drawn)], strict=False):
        used = used if offered and offered[-1].more else kind
        batch = Batch(SCHEMAS[stream, used], [(1,)] * rows, {"n": len(offered)}, size=max(1, rows), more=more)
        while not queue.offer(batch, "x"):
            group = queue.take()
            assert group is not None  # a full queue has something whole, or the reader would wait for ever
            groups.append(group)
        offered.append(batch)
        if is_taken and (group := queue.take()) is not None:
            groups.append(group)
    queue.close()
    while (group := queue.take()) is not None:
        groups.append(group)
    taken = [batch for group in groups for batch in group.batches]
    whole = len(offered)
    while whole and offered[whole - 1].more:
        whole -= 1
    assert taken == offered[:whole]
    assert not any(group.batches[-1].more for group in groups)
    for group in groups:
        of_stream = {(batch.schema.stream, batch.schema.version) for batch in group.batches}
        assert len(of_stream) == len({stream for stream, _ in of_stream})
    assert (queue.bytes, queue.rows, queue.is_finished) == (0, 0, True)


def test_what_was_begun_is_forgotten_with_its_connection() -> None:
    queue = BatchQueue(Limits())
    schema = SCHEMAS["a", INT64]
    assert queue.offer(Batch(schema, [(1,)], {"n": 1}, size=5), "x")
    assert queue.offer(Batch(schema, [(2,)], {"n": 2}, size=5, more=True), "x")
    queue.discard_begun()
    assert queue.offer(Batch(schema, [(3,)], {"n": 2}, size=5), "x")
    group = queue.take()
    assert group is not None
    assert [batch.rows for batch in group.batches] == [[(1,)], [(3,)]]
    assert (queue.bytes, queue.rows) == (0, 0)
