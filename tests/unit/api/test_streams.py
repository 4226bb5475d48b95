"""The pages in which the console gets all streams of a source, from the log of the Job that lists them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from connector_operator.api.streams_service import MOST_STREAMS, PAGE, build_pages
from connector_runner.schemas.catalogue import Catalogue, StreamInfo, list_lines

OF_LOG = '{"time":"t","level":"info","message":"connected","id":"x"}'


def tell(lines: Iterable[str]) -> list[dict[str, Any]]:
    async def come() -> AsyncIterator[bytes]:
        for line in lines:
            yield line.encode()

    async def collect() -> list[dict[str, Any]]:
        return [event async for event in build_pages(come())]

    return asyncio.run(collect())


def list_many(count: int, total: int = 0) -> list[str]:
    streams = tuple(StreamInfo(f"shop.t{n}", modes=("live",)) for n in range(count))
    return list(list_lines(Catalogue(streams, total or count)))


def test_pages_and_how_many_there_are() -> None:
    *pages, end = tell([OF_LOG, *list_many(2 * PAGE + 1, 10_000), OF_LOG])
    assert [len(page["streams"]) for page in pages] == [PAGE, PAGE, 1]
    assert pages[-1]["streams"][0]["id"] == f"shop.t{2 * PAGE}"
    assert end == {"event": "listed", "listed": 1001, "matched": 1001, "total": 10_000}
    assert tell(list_many(PAGE))[-1]["listed"] == PAGE
    assert tell(list_many(0)) == [{"event": "listed", "listed": 0, "matched": 0, "total": 0}]


def test_why_not_goes_with_a_stream() -> None:
    known = StreamInfo("a.b", unavailable={"LOG_BASED": "no key."}, obstacle="no right.", aside="a shadow.")
    (page, _) = tell(list_lines(Catalogue((known,), 1)))
    told = page["streams"][0]
    assert (told["unavailable"], told["obstacle"], told["aside"]) == (
        {"LOG_BASED": "no key."},
        "no right.",
        "a shadow.",
    )


def test_what_does_not_fit_is_counted() -> None:
    *pages, end = tell(list_many(MOST_STREAMS + 7))
    assert sum(len(page["streams"]) for page in pages) == end["listed"] == MOST_STREAMS
    assert end["matched"] == MOST_STREAMS + 7


def test_a_log_that_was_cut_is_seen() -> None:
    lines = list_many(9)
    begin_lost, end_lost = tell(lines[4:])[-1], tell(lines[:-1])[-1]
    assert (begin_lost["listed"], begin_lost["matched"]) == (5, 9)
    assert (end_lost["listed"], end_lost["matched"]) == (9, None)
