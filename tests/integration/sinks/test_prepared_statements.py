"""A session's prepared statements: the server's memory for them is bounded, whatever number of streams is busy and whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from connector_runner.datasets.procedure import Statement
from connector_runner.sinks.postgresql import session as sessions
from connector_runner.sinks.postgresql.session import Session, StatementError
from tests.servers.postgresql import PostgresServer

MOST = 20
COUNT = Statement("SELECT count(*) FROM pg_prepared_statements", ())


@pytest.fixture
async def session(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Session]:
    monkeypatch.setattr(sessions, "MOST_STATEMENTS", MOST)
    made = await Session.connect(postgres_server.url(), "test")
    yield made
    await made.close()


async def prepared(session: Session) -> int:
    await session.settle()
    (result,) = await session.run(COUNT)
    return int(result.get_value(0, 0) or b"0")


def select(number: int) -> Statement:
    return Statement(f"SELECT {number} + $1::int", [b"\0\0\0\1"])


async def test_statements_that_were_used_longest_ago_are_closed(session: Session) -> None:
    for _ in range(2):  # the second time all but the last are prepared again
        units = [session.send([select(number), select(number + 1)]) for number in range(0, 200, 2)]
        answers = [[result.get_value(0, 0) for result in results] for results in await asyncio.gather(*units)]
        assert answers == [[b"%d" % (number + 1), b"%d" % (number + 2)] for number in range(0, 200, 2)]
    for number in range(200):
        await session.run(select(0), select(number))
    assert await prepared(session) <= MOST + 1
    (result,) = await session.run(Statement("SELECT count(*) FROM pg_prepared_statements WHERE statement = $1", [select(0).sql]))  # fmt: skip
    assert result.get_value(0, 0) == b"1", "what is used all the time stays"


async def test_a_transaction_may_have_more_statements_than_are_kept(session: Session) -> None:
    results = await session.run(*[select(number) for number in range(3 * MOST)])
    assert [result.get_value(0, 0) for result in results] == [b"%d" % (number + 1) for number in range(3 * MOST)]
    await session.run(select(0))
    assert await prepared(session) <= MOST + 1


async def test_transactions_that_fail_leave_no_statement_behind(session: Session) -> None:
    divided = Statement("SELECT 1 / $1::int", [b"\0\0\0\0"])
    missing = Statement("SELECT * FROM no_such_table", ())
    for _ in range(3 * MOST):
        for failing in (divided, missing):
            with pytest.raises(StatementError) as failure:
                await session.run(select(1), failing, select(2))
            assert failure.value.place == 1
    assert await prepared(session) <= 4
    (result,) = await session.run(Statement(divided.sql, [b"\0\0\0\1"]))
    assert result.get_value(0, 0) == b"1"
