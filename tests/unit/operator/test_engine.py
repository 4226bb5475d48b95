"""Line, queue, slots and workers: fair, one worker a key, nobody starves, one key's failure is its own."""

import asyncio
from itertools import pairwise

import pytest

from connector_operator.engine.fair_queue import FairQueue, Key
from connector_operator.engine.queue import Priority, WorkQueue
from connector_operator.engine.slots import Slots
from connector_operator.engine.workers import HEARTBEAT, VisitError, Workers


def key(name: str, namespace: str = "a") -> Key:
    return Key("connector", namespace, name)


def test_namespaces_take_turns() -> None:
    line = FairQueue()
    for name in "123":
        line.push(key(name, "big"))
    line.push(key("1", "small"))
    line.push(key("1", "big"))
    assert len(line) == 4
    assert [line.pop().namespace for _ in range(4)] == ["big", "small", "big", "big"]
    with pytest.raises(KeyError):
        line.pop()


def test_a_discarded_key_is_not_served() -> None:
    line = FairQueue()
    line.push(key("1"))
    line.discard(key("1"))
    line.discard(key("2"))
    assert len(line) == 0
    assert key("1") not in line


async def test_people_come_first_and_the_last_is_never_starved() -> None:
    queue = WorkQueue()
    queue.add(key("resync"), Priority.RESYNC)
    served = []
    for number in range(10):
        queue.add(key(f"person-{number}"), Priority.PERSON)
        served.append(await queue.get())
    assert served[0] == key("person-0")
    assert key("resync") in served


async def test_a_key_is_worked_on_by_one_worker_and_once_more_if_it_was_added_meanwhile() -> None:
    queue = WorkQueue()
    queue.add(key("1"))
    queue.add(key("1"))
    taken = await queue.get()
    queue.add(taken, Priority.PERSON)
    queue.add(taken)
    assert len(queue) == 0
    queue.done(taken)
    assert len(queue) == 1
    assert await queue.get() == taken
    queue.done(taken)
    assert len(queue) == 0


async def test_a_raised_priority_moves_a_key_forward() -> None:
    queue = WorkQueue()
    queue.add(key("1"), Priority.RESYNC)
    queue.add(key("2"), Priority.CLUSTER)
    queue.add(key("1"), Priority.PERSON)
    assert await queue.get() == key("1")
    assert len(queue) == 1


async def test_of_several_delays_the_earliest_counts() -> None:
    queue = WorkQueue()
    queue.add(key("1"), delay=30)
    queue.add(key("1"), delay=0.01)
    queue.add(key("1"), delay=60)
    assert await asyncio.wait_for(queue.get(), 20) == key("1")


async def test_conflicts_in_a_row_come_further_and_further_apart() -> None:
    """The watch may be behind for a minute: until it shows the change, each visit is a write in vain."""
    queue, delays = WorkQueue(), list[float]()
    enough = asyncio.Event()

    async def visit(_: Key) -> float | None:
        await asyncio.sleep(0)
        raise VisitError("Conflict", "changed meanwhile", shortest=0.05, is_expected=True)

    def note(added: Key, priority: Priority = Priority.CLUSTER, delay: float = 0) -> None:
        if added == key("1") and delay:
            delays.append(delay)
            WorkQueue.add(queue, added, priority)
            if len(delays) == 10:
                enough.set()
        else:
            WorkQueue.add(queue, added, priority, delay)

    queue.add = note  # type: ignore[method-assign,assignment]
    queue.add(key("1"))
    working = asyncio.create_task(Workers(queue, visit, 1).run())
    async with asyncio.timeout(60):
        await enough.wait()
    working.cancel()
    assert delays[0] <= 0.06
    assert delays[9] >= 0.05 * 2**9 * 0.8
    assert sum(delays[:10]) > 30


async def test_visits_that_wait_for_nothing_leave_room_for_others() -> None:
    """At a resync of thousands that are as they should be; the Lease is renewed by the same loop."""
    queue, visited, turns = WorkQueue(), list[Key](), list[int]()

    async def visit(visited_key: Key) -> float | None:
        visited.append(visited_key)
        return None

    async def renew() -> None:
        while len(visited) < 200:
            turns.append(len(visited))
            await asyncio.sleep(0)

    for number in range(200):
        queue.add(key(str(number)), Priority.RESYNC)
    working = asyncio.create_task(Workers(queue, visit, 4).run())
    await renew()
    working.cancel()
    assert len(turns) > 20
    assert max(after - before for before, after in pairwise(turns)) <= 8


def test_slots_are_kept_for_those_in_line() -> None:
    woken: list[Key] = []
    slots = Slots(2, woken.append)
    for name in "12":
        assert slots.is_free_for(key(name))
        slots.hold(key(name))
    assert not slots.is_free_for(key("3"))
    slots.wait(key("3"))
    slots.wait(key("4"))
    slots.release(key("1"))
    assert woken == [key("3")]
    assert slots.is_free_for(key("3"))
    assert not slots.is_free_for(key("5"))
    slots.release(key("3"))
    assert woken == [key("3"), key("4")]
    assert len(slots) == 2


def test_a_key_that_is_gone_leaves_the_line() -> None:
    woken: list[Key] = []
    slots = Slots(1, woken.append)
    slots.hold(key("1"))
    slots.wait(key("2"))
    slots.release(key("2"))
    slots.release(key("1"))
    assert woken == []
    assert slots.is_free_for(key("3"))


async def test_one_that_fails_does_not_stop_the_others() -> None:
    queue, seen = WorkQueue(), list[str]()
    finished = asyncio.Event()

    async def visit(what: Key) -> float | None:
        seen.append(what.name)
        if what.name == "bad":
            raise ValueError("nobody thought of this")
        if what.name == "later":
            raise VisitError("Test", "not yet", delay=0.01 if seen.count("later") < 3 else 60)
        if {"bad", "good"} <= set(seen) and seen.count("later") >= 3:
            finished.set()
        return 0.01

    workers = Workers(queue, visit, 2)
    for name in ("bad", "later", "good"):
        queue.add(key(name))
    task = asyncio.create_task(workers.run())
    await asyncio.wait_for(finished.wait(), 30)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert workers.is_turning()
    assert not workers.is_turning(within=-1)
    assert HEARTBEAT.name == ""
