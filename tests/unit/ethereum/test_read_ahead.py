"""The read-ahead."""

from connector_runner.sources.ethereum.fetch.prefetch import MOST_AHEAD, READ_AHEAD_BYTES, ReadAhead


def test_read_ahead_starts_with_one_and_is_bounded_in_bytes() -> None:
    ahead = ReadAhead()
    assert ahead.pieces == 1  # how large pieces are is not known
    grown = []
    for _ in range(6):
        ahead.arrived(1000)
        grown.append(ahead.pieces)
    assert grown == [2, 4, 8, MOST_AHEAD, MOST_AHEAD, MOST_AHEAD]
    ahead.arrived(READ_AHEAD_BYTES // 2)
    assert ahead.pieces == 2
    ahead.arrived(10 * READ_AHEAD_BYTES)
    assert ahead.pieces == 1
    for _ in range(100):
        ahead.arrived(1000)
    assert ahead.pieces == MOST_AHEAD
