"""How one observation goes through the modules of `decide`: each is entered for what it alone knows, not again and again."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from connector_operator.decide import decision
from connector_operator.decide.decision import Decision
from connector_operator.decide.observation import Observation
from tests.unit.operator import world as world_module
from tests.unit.operator.test_states import CHANGES, GRID, make

MODULES = "connector_operator.decide."
MOST = 15


@contextmanager
def entries(into: Counter[str]) -> Iterator[None]:
    """Counts calls from one module of `decide` into another (or from outside)."""

    def note(frame: FrameType, event: str, _: Any) -> None:
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith(MODULES):
            caller = frame.f_back.f_globals.get("__name__", "") if frame.f_back is not None else ""
            into[module] += caller != module

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("state", GRID)
def test_one_observation_comes_back_to_a_module_a_few_times_only(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Counter[str]] = []

    def measure(seen: Observation) -> Decision:
        found = Counter[str]()
        with entries(found):
            decided = decision.decide(seen)
        measured.append(found)
        return decided

    for change in CHANGES.values():
        world = make(state)
        change(world)
        with monkeypatch.context() as patched:
            patched.setattr(world_module, "decide", measure)
            world.step()
            world.pass_time(60)
            world.look()
    assert measured
    for found in measured:
        assert found["connector_operator.decide.facts"] == 1, "facts are computed once"
        assert sum(found.values()) - len([module for module, count in found.items() if count]) <= MOST, found
