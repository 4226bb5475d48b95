"""Flat traces tell of each other: one that is left out is missed."""

from typing import Any

import pytest

from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.errors import StaleAnswerError
from connector_runner.sources.ethereum.verify.traces import check_calls

HEADER = Header(7, "0x" + "aa" * 32, "0x" + "bb" * 32, 0, 0)
WHOLE = [([], 2), ([0], 1), ([0, 0], 0), ([1], 0)]


def calls(*told: tuple[list[int], int]) -> list[dict[str, Any]]:
    return [{"transactionHash": "0x01", "traceAddress": path, "subtraces": count} for path, count in told]


@pytest.mark.parametrize("place", range(len(WHOLE)))
def test_a_call_that_is_left_out_is_missed(place: int) -> None:
    check_calls(HEADER, calls(*WHOLE))
    with pytest.raises(StaleAnswerError, match="missing"):
        check_calls(HEADER, calls(*WHOLE[:place], *WHOLE[place + 1 :]))


def test_more_calls_than_are_told_of_are_no_omission() -> None:
    """Some clients don't count the end of a contract."""
    check_calls(HEADER, calls(([], 0), ([0], 0)))
