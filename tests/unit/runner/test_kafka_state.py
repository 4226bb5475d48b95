"""What a topic holds, in the runner's private file."""

from __future__ import annotations

import sqlite3
import tracemalloc
from typing import Any

from connector_runner.sinks.kafka.key_state import KeyState

NO_CLIENT: Any = None
MANY = 50_000


def build_state(count: int) -> tuple[sqlite3.Connection, KeyState]:
    """A stream whose topic was empty when it was read, and then got so many keys."""
    local = sqlite3.connect("", isolation_level=None)
    state = KeyState(local, NO_CLIENT, 1024)
    state._loaded["s"] = 0
    state._places["s"] = 0
    local.execute("BEGIN")
    state.change("s", [(b'{"k":%d}' % number, b"row") for number in range(count)])
    return local, state


def test_what_begins_so_is_taken_in_the_order_in_which_it_was_stored() -> None:
    _, state = build_state(0)
    stored = [(b'{"a":1,"b":2}', b"x"), (b'{"a":1,"b":1}', b"y"), (b'{"a":10,"b":1}', b"z"), (b'{"a":2,"b":1}', b"w")]
    state.change("s", stored)
    assert list(state.take("s", b'{"a":1,')) == stored[:2]
    assert list(state.take("s", b'{"a":2,"b":1}')) == stored[3:]
    assert not state.has("s", stored[0][0])
    assert list(state.take("s", b"")) == stored[2:3]
    assert list(state.take("s", b"")) == []


def test_taking_all_of_a_topic_needs_no_memory_for_it() -> None:
    _, state = build_state(MANY)
    tracemalloc.start()
    try:
        taken = sum(1 for _ in state.take("s", b""))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken == MANY
    assert peak < 1 << 20  # as a list it was twenty times as much


def test_what_is_taken_comes_back_with_the_transaction() -> None:
    local, state = build_state(3)
    local.execute("COMMIT")
    local.execute("BEGIN")
    assert len(list(state.take("s", b""))) == 3
    assert not state.has("s", b'{"k":1}')
    local.execute("ROLLBACK")
    assert state.has("s", b'{"k":1}')
