"""Who may write, decided over values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.datasets.fencing import (
    Holder,
    decode_position,
    encode_position,
    explain_refused_commit,
    find_taken,
    next_epoch,
    require_alone,
)
from connector_runner.protocols.errors import (
    ActionRequiredError,
    ClaimRefusedError,
    DatasetWentBackError,
    FenceLostError,
    SchemaConflictError,
    TakenOverError,
    TransientError,
)
from connector_runner.schemas.manifest import TakeOver

HOLDER = Holder("ns/c", "s", "t", 4, 17, "uid", 2, "source", "abc", '{"n":1}', "upsert")


@pytest.mark.parametrize(
    ("holder", "uid", "run", "epoch"),
    [
        (None, "uid", 1, 1),
        (HOLDER, "uid", 3, 5),
        (HOLDER, "other", 1, 5),  # deleted and made again
        (replace(HOLDER, uid="", run=0, position=None), "uid", 1, 5),
    ],
)
def test_a_claim_takes_the_next_epoch(holder: Holder | None, uid: str, run: int, epoch: int) -> None:
    assert next_epoch(holder, uid, run) == epoch


def test_an_older_run_of_the_same_connector_is_refused_and_told_the_number() -> None:
    with pytest.raises(ClaimRefusedError, match="run 1 of ns/c is too late: run 2") as refused:
        next_epoch(HOLDER, "uid", 1)
    assert (refused.value.run, refused.value.mark) == (2, "4:17")


def test_an_equal_run_is_refused_unless_it_is_this_pods_own_claim_whose_answer_was_lost() -> None:
    with pytest.raises(ClaimRefusedError, match="from another pod"):
        next_epoch(HOLDER, "uid", 2)
    assert next_epoch(HOLDER, "uid", 2, tried=4) == 5
    with pytest.raises(ClaimRefusedError):
        next_epoch(replace(HOLDER, epoch=5), "uid", 2, tried=4)


def test_a_run_that_was_told_a_mark_follows_only_while_it_stands() -> None:
    assert next_epoch(HOLDER, "uid", 3, unmoved="4:17") == 5
    with pytest.raises(ClaimRefusedError, match="somebody else runs ns/c: run 2") as refused:
        next_epoch(replace(HOLDER, number=18), "uid", 3, unmoved="4:17")
    assert refused.value.mark == "4:18"
    with pytest.raises(ClaimRefusedError):
        next_epoch(HOLDER, "uid", 2, unmoved="4:17")
    assert next_epoch(replace(HOLDER, uid="other"), "uid", 1, unmoved="4:17") == 5


def test_only_who_was_taken_over_while_writing_is_told_so() -> None:
    assert isinstance(explain_refused_commit(replace(HOLDER, epoch=5), "uid", 2, 4, 18), TakenOverError)
    reset = replace(HOLDER, epoch=5, uid="", position=None)
    assert not isinstance(explain_refused_commit(reset, "uid", 2, 4, 18), TakenOverError)
    assert not isinstance(explain_refused_commit(None, "uid", 2, 4, 18), TakenOverError)


def test_two_streams_in_one_table() -> None:
    released = replace(HOLDER, uid="", position=None)
    for append in (False, True):
        require_alone([HOLDER], "ns/c", "s", "t", append=append)
        require_alone([released], "ns/other", "s", "t", append=append)
        with pytest.raises(SchemaConflictError, match="stream s of connector ns/c"):
            require_alone([HOLDER], "ns/other", "s", "t", append=append)
        with pytest.raises(SchemaConflictError, match="stream s"):
            require_alone([HOLDER], "ns/c", "another stream", "t", append=append)
    history = replace(HOLDER, write_mode="append")
    require_alone([history], "ns/other", "s", "t", append=True)
    with pytest.raises(SchemaConflictError, match="stream s of connector ns/c"):
        require_alone([history], "ns/other", "s", "t", append=False)
    with pytest.raises(SchemaConflictError, match="is no history: choose another table"):
        require_alone([history, HOLDER], "ns/other", "s", "t", append=True)


def test_a_table_is_taken_over_only_from_whom_was_named() -> None:
    named = TakeOver("ns/c", 4)
    same = find_taken([HOLDER], named, "ns/new", "s", append=False)
    assert same is not None
    assert same.keeps_position
    other = find_taken([HOLDER], named, "ns/new", "another", append=False)
    assert other is not None
    assert not other.keeps_position
    assert other.incident[0] == "takeover"
    assert find_taken([HOLDER], None, "ns/new", "s", append=False) is None
    for wrong in (TakeOver("ns/c", 3), TakeOver("ns/c", 5), TakeOver("other/c", 4)):
        assert find_taken([HOLDER], wrong, "ns/new", "s", append=False) is None
    assert find_taken([HOLDER], named, "ns/c", "s", append=False) is None, "it is its own"
    assert find_taken([replace(HOLDER, uid="", position=None)], named, "ns/new", "s", append=False) is None
    with pytest.raises(ActionRequiredError, match="history") as refused:
        find_taken([HOLDER], named, "ns/new", "s", append=True)
    assert refused.value.reason == "TakeOverRefused"
    assert (
        "remove spec.takeOver, and this connector starts as a new one beside the rows of ns/c" in refused.value.message
    )
    assert "keep its name and namespace" in refused.value.message


def test_a_table_that_is_filled_by_another_is_told_with_the_command_that_takes_it_over() -> None:
    with pytest.raises(SchemaConflictError) as refused:
        require_alone([HOLDER], "ns/new", "s", "t", TakeOver("ns/c", 2), append=False)
    assert "spec.takeOver names epoch 2" in refused.value.message
    assert (
        'kubectl patch connector new -n ns --type=merge -p \'{"spec": {"takeOver": {"connector": "ns/c", "epoch": 4}}}\''
        in refused.value.message
    )


@pytest.mark.parametrize(
    ("holder", "kind", "text"),
    [
        (None, FenceLostError, "is gone"),
        (replace(HOLDER, epoch=5, run=3), FenceLostError, "run 3 has taken over"),
        (replace(HOLDER, epoch=5, uid="new"), FenceLostError, "another connector object (uid new)"),
        (replace(HOLDER, epoch=5, uid="", position=None), FenceLostError, "was reset"),
        (replace(HOLDER, epoch=3, run=1), DatasetWentBackError, "restored from a backup"),
        (HOLDER, TransientError, "last committed one is 17"),
    ],
)
def test_why_a_commit_was_refused(holder: Holder | None, kind: type[Exception], text: str) -> None:
    error = explain_refused_commit(holder, "uid", 2, 4, 19)
    assert isinstance(error, kind)
    assert text in str(error)


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
POSITIONS = st.dictionaries(
    st.text(max_size=5),
    LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(st.text(max_size=5), LEAVES, max_size=3),
    max_size=4,
)


@given(POSITIONS)
def test_positions_survive(position: dict[str, object]) -> None:
    assert decode_position(encode_position(position)) == position


def test_what_json_has_not_is_no_position() -> None:
    with pytest.raises(TypeError, match="bytes"):
        encode_position({"at": b"x"})
