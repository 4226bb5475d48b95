"""Traces in both forms: the same rows, nothing lost, what is missing is not believed."""

import json
from typing import Any

import pytest

from connector_runner.sources.ethereum.decode.traces import TRACE_SCHEMA, call_tree_rows, flat_trace_rows
from connector_runner.sources.ethereum.errors import StaleAnswerError
from connector_runner.sources.ethereum.verify.traces import check_call_trees, check_flat_traces, check_traces
from tests.unit.ethereum.objects import ALICE, BOB, OWN, PARENT, column, header


def flat(path: list[int], own: str = OWN, **changes: Any) -> dict[str, Any]:
    action = {"from": ALICE, "to": BOB, "callType": "call", "value": "0x5", "gas": "0x10", "input": "0x"}
    plain = {
        "action": action, "blockHash": OWN, "blockNumber": 16, "result": {"gasUsed": "0x1", "output": "0xff"},
        "subtraces": 0, "traceAddress": path, "transactionHash": own, "transactionPosition": 0, "type": "call",
    }  # fmt: skip
    return {**plain, **changes}


def test_both_forms_of_traces_make_the_same_rows() -> None:
    call = {"type": "CALL", "from": ALICE, "to": BOB, "value": "0x5", "gas": "0x10", "gasUsed": "0x1", "input": "0x", "output": "0xff"}  # fmt: skip
    tree = [{"txHash": OWN, "result": {**call, "calls": [{**call, "calls": [call]}, call]}}]
    flats = [flat([], subtraces=2), flat([0], subtraces=1), flat([0, 0]), flat([1])]
    assert call_tree_rows(header(), [OWN], tree) == flat_trace_rows(header(), flats)


def test_rewards_and_creations() -> None:
    reward = flat([], type="reward", action={"author": BOB, "rewardType": "block", "value": "0x2"}, result=None, transactionHash=None, transactionPosition=None)  # fmt: skip
    create = flat([], type="create", action={"from": ALICE, "gas": "0x1", "init": "0x60", "value": "0x0"}, result={"address": BOB, "code": "0x00", "gasUsed": "0x1"})  # fmt: skip
    one, two = flat_trace_rows(header(), [create, reward])
    pick = ("transaction_index", "type", "from_address", "to_address", "input", "output", "value")
    assert [column(TRACE_SCHEMA, one, name) for name in pick] == [0, "create", ALICE, BOB, "0x60", "0x00", 0]
    assert [column(TRACE_SCHEMA, two, name) for name in pick] == [-1, "reward", None, BOB, None, None, 2]


def test_a_deep_tree_does_not_exhaust_the_stack() -> None:
    call: dict[str, Any] = {"type": "CALL"}
    for _ in range(5000):
        call = {"type": "CALL", "calls": [call]}
    assert len(call_tree_rows(header(), [OWN], [{"result": call}])) == 5001


def test_missing_traces_are_not_believed() -> None:
    with pytest.raises(StaleAnswerError):
        check_traces(header(), [OWN, PARENT], [OWN])
    with pytest.raises(StaleAnswerError):
        check_flat_traces(header(), [OWN], [flat([], blockHash=PARENT)])
    with pytest.raises(StaleAnswerError):
        check_call_trees(header(), [OWN], [{"txHash": OWN, "error": "execution timeout"}])


@pytest.mark.parametrize(("kind", "to"), [("block", ALICE), ("uncle", BOB)])
def test_what_a_reward_is_for_is_kept(kind: str, to: str) -> None:
    reward = flat([], type="reward", action={"author": to, "rewardType": kind, "value": "0x2"}, result=None, transactionHash=None, transactionPosition=None)  # fmt: skip
    (row,) = flat_trace_rows(header(), [reward])
    assert json.loads(column(TRACE_SCHEMA, row, "extra")) == {"rewardType": kind}


def test_members_of_traces_that_have_no_column_are_kept() -> None:
    one = flat([], vmTrace={"ops": []}, subtraces=0)
    one["action"] = {**one["action"], "feeCurrency": ALICE}
    one["result"] = {**one["result"], "gas": "0x7", "refund": "0x1"}
    (row,) = flat_trace_rows(header(), [one])
    kept = {"vmTrace": {"ops": []}, "feeCurrency": ALICE, "_gas": "0x7", "refund": "0x1"}
    assert json.loads(column(TRACE_SCHEMA, row, "extra")) == kept


def test_an_error_is_the_nodes_word_and_the_reason_of_a_revert_is_beside_it() -> None:
    call = {"type": "CALL", "from": ALICE, "to": BOB, "error": "execution reverted", "revertReason": "not yet"}
    tree = [{"txHash": OWN, "result": {**call, "calls": [{**call, "revertReason": None, "logs": [{"index": "0x0"}]}]}}]
    first, second = call_tree_rows(header(), [OWN], tree)
    assert [column(TRACE_SCHEMA, row, "error") for row in (first, second)] == ["execution reverted"] * 2
    assert json.loads(column(TRACE_SCHEMA, first, "extra")) == {"revertReason": "not yet"}
    assert json.loads(column(TRACE_SCHEMA, second, "extra")) == {"logs": [{"index": "0x0"}]}
