"""What runs beside a failure is ended, and may end in peace."""

import asyncio
from collections.abc import Callable

import pytest

from connector_runner.sources.ethereum.rpc.gathering import cancel_all, gather_all, gather_pair


class Endless:
    """Coroutines that never end by themselves, and take two turns of the loop to end."""

    def __init__(self) -> None:
        self.running = asyncio.Event()
        self.ends: list[str] = []

    async def run(self) -> str:
        try:
            self.running.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.ends.append("closed")
        return "never"

    async def failing(self) -> str:
        await self.running.wait()
        raise ValueError("wrong")


async def give(value: str) -> str:
    return value


async def test_results_come_in_order() -> None:
    assert await gather_all(map(give, "abc")) == ["a", "b", "c"]
    assert await gather_pair(give("a"), give("b")) == ("a", "b")
    assert await gather_all([]) == []


GATHERED: list[Callable[[Endless], object]] = [
    lambda endless: gather_all([endless.run(), endless.failing()]),
    lambda endless: gather_pair(endless.run(), endless.failing()),
]


@pytest.mark.parametrize("gathered", GATHERED)
async def test_a_failure_ends_the_others_before_it_is_raised(
    gathered: Callable[[Endless], asyncio.Future[object]],
) -> None:
    endless = Endless()
    with pytest.raises(ValueError, match="wrong"):
        await gathered(endless)
    assert endless.ends == ["closed"]


@pytest.mark.parametrize("gathered", GATHERED)
async def test_a_cancellation_reaches_each_once(gathered: Callable[[Endless], asyncio.Future[object]]) -> None:
    """A second one would interrupt the closing of what was opened."""
    endless = Endless()
    task = asyncio.ensure_future(gathered(endless))
    await endless.running.wait()
    task.cancel()
    with pytest.raises((asyncio.CancelledError, ValueError)):
        await task
    assert endless.ends == ["closed"]


async def test_what_is_ending_is_waited_for() -> None:
    endless = Endless()
    task = asyncio.create_task(endless.run())
    await endless.running.wait()
    task.cancel()
    await cancel_all([task])
    assert endless.ends == ["closed"]
