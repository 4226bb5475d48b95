"""Following a chain, as values: what to do about a head, and walking back over simulated reorganisations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.ethereum.chain import (
    PATIENCE_SECONDS,
    RING_BLOCKS,
    Chain,
    Extend,
    Step,
    Wait,
    WalkBack,
    ancestor_at,
    check_depth,
    median_interval,
    next_step,
)
from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.errors import DeepReorganisationError
from connector_runner.sources.ethereum.position import from_position, to_position


def header(number: int, branch: str = "a", parent: str | None = None) -> Header:
    return Header(number, f"{branch}{number}", parent or f"{branch}{number - 1}", number * 12, None)


def chain_of(start: int, last: int, branch: str = "a") -> Chain:
    chain = Chain.starting_at(start)
    for number in range(start, last + 1):
        chain = chain.extended(header(number, branch))
    return chain


@pytest.mark.parametrize(
    ("chain", "head", "waited", "step"),
    [
        (Chain.starting_at(5), header(9), 0, Extend(5, 9)),
        (Chain.starting_at(5), header(3), 0, Wait(2)),
        (chain_of(0, 5), header(7), 0, Extend(6, 7)),
        (chain_of(0, 5), header(7, "b"), 0, Extend(6, 7)),  # the divergence shows when block 6 comes
        (chain_of(0, 5), header(5), 0, Wait(0)),
        (chain_of(0, 5), header(3), 0, Wait(2)),
        (chain_of(0, 5), header(3), 10 * PATIENCE_SECONDS, Wait(2)),
        (chain_of(0, 5), header(5, "b"), 0, WalkBack(5)),
        (chain_of(0, 5), header(4, "b"), 0, Wait(1)),
        (chain_of(0, 5), header(4, "b"), PATIENCE_SECONDS, WalkBack(4)),
        (chain_of(0, 500), header(100, "b"), PATIENCE_SECONDS, Wait(400)),
    ],
)
def test_next_step(chain: Chain, head: Header, waited: float, step: Step) -> None:
    assert next_step(chain, head, waited) == step


def test_the_ring_is_bounded_and_survives_json() -> None:
    chain = chain_of(10, 1000)
    assert len(chain.hashes) == RING_BLOCKS
    assert chain.oldest == 1001 - RING_BLOCKS
    assert from_position(to_position(chain)) == chain
    assert from_position(to_position(Chain.starting_at(7))) == Chain.starting_at(7)


@pytest.mark.parametrize(
    "position",
    [{}, {"number": 5}, {"start": 0, "number": "x", "_ring": []}, {"start": 5, "number": 9, "_ring": []},
     {"start": 5, "number": 5, "_ring": ["a", "b"]}],
)  # fmt: skip
def test_a_foreign_position_is_refused(position: dict[str, object]) -> None:
    with pytest.raises(ActionRequiredError, match="checkpoint reset"):
        from_position(position)


def test_depth_below_the_ring_says_from_where_to_rebuild() -> None:
    chain = chain_of(0, 500)
    check_depth(chain, chain.oldest)
    with pytest.raises(DeepReorganisationError, match=f"at most {chain.oldest}.*delete the rows.*reset.*startBlock"):
        check_depth(chain, chain.oldest - 1)


def test_a_whole_young_dataset_may_be_replaced() -> None:
    chain = chain_of(100, 103)
    check_depth(chain, 99)
    assert chain.orphans(99) == ("a103", "a102", "a101", "a100")
    assert chain.cut(99) == Chain.starting_at(100)
    with pytest.raises(DeepReorganisationError):
        check_depth(chain, 98)


def walk_back(chain: Chain, node: dict[int, Header], top: int) -> int:
    """The loop of `replace_branch` over a dictionary."""
    number = top
    while number >= chain.oldest and not ancestor_at(chain, node[number]):
        check_depth(chain, number - 1)
        number -= 1
    return number


@given(
    start=st.integers(0, 3),
    moves=st.lists(st.tuples(st.integers(0, 25), st.integers(1, 6)), min_size=1, max_size=30),
)
def test_over_any_reorganisations_the_chain_is_the_nodes(start: int, moves: list[tuple[int, int]]) -> None:
    """A model: the node cuts and grows; after each step retractions and extensions give just the node's blocks."""
    node: dict[int, Header] = {number: header(number) for number in range(start + 1)}
    dataset: list[str] = []
    chain = Chain.starting_at(start)
    for serial, (cut, growth) in enumerate(moves):
        top = max(start, max(node) - cut)
        node = {number: block for number, block in node.items() if number <= top}
        for number in range(top + 1, top + growth + 1 + cut):
            node[number] = header(number, f"s{serial}-", node[number - 1].hash)
        head = node[max(node)]
        while chain.head != head.hash:
            step = next_step(chain, head, PATIENCE_SECONDS)
            if isinstance(step, Extend) and chain.is_parent_of(node[step.first]):
                for number in range(step.first, step.last + 1):
                    assert chain.is_parent_of(node[number])
                    chain = chain.extended(node[number])
                    dataset.append(node[number].hash)
                continue
            ancestor = walk_back(chain, node, min(chain.number, head.number))
            orphans = chain.orphans(ancestor)
            assert orphans == tuple(reversed(dataset[-len(orphans) :]))
            del dataset[len(dataset) - len(orphans) :]
            chain = chain.cut(ancestor)
        assert dataset == [node[number].hash for number in range(start, max(node) + 1)]


@pytest.mark.parametrize(("seconds", "expected"), [([], 1.0), ([5], 1.0), ([0, 12, 24, 60], 12.0), ([1, 2, 3], 1.0)])
def test_median_interval(seconds: list[int], expected: float) -> None:
    assert median_interval(seconds, 1.0) == expected
