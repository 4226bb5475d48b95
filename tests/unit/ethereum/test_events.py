"""Events of an ABI as streams: signatures, types, names of columns."""

import json
from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.protocols.schema import APPEND_COLUMNS
from connector_runner.sources.ethereum.decode.abi import Argument, canonical, parse_signature
from connector_runner.sources.ethereum.decode.events import event_rows, event_schema, find_events
from connector_runner.sources.ethereum.decode.responses import Header

OWN, ALICE = "0x" + "11" * 32, "0x" + "aa" * 20
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


@pytest.mark.parametrize(
    ("text", "signature", "topics"),
    [
        ("Transfer(address indexed from, address indexed to, uint value)", "Transfer(address,address,uint256)", 3),
        ("event Transfer(address indexed, address indexed, uint256);", "Transfer(address,address,uint256)", 3),
        ("Nothing()", "Nothing()", 1),
        ("Deep((uint a, (address,bytes32[2])[] b) indexed order, int[3][] x)", "Deep((uint256,(address,bytes32[2])[]),int256[3][])", 2),
        ("Quiet(uint8 a) anonymous", "Quiet(uint8)", 0),
    ],
)  # fmt: skip
def test_signatures(text: str, signature: str, topics: int) -> None:
    event = parse_signature(text)
    assert (event.signature, event.topic_count) == (signature, topics)


def test_the_topic_is_that_of_the_standard() -> None:
    assert parse_signature("Transfer(address indexed a, address indexed b, uint256 c)").topic == TRANSFER


@pytest.mark.parametrize(
    "text",
    ["Transfer", "Transfer(", "Transfer(adress a)", "Transfer(uint7 a)", "T(uint a b c)", "T(bytes33 a)",
     "T(uint indexed a, uint indexed b, uint indexed c, uint indexed d)", "T(uint,,uint)"],
)  # fmt: skip
def test_wrong_signatures_are_problems_with_their_place(text: str) -> None:
    with pytest.raises(InvalidConfigError, match=r"config.events\[0\]: not an event"):
        find_events((), [text])


@pytest.mark.parametrize(
    ("kind", "indexed", "logical"),
    [("uint8", False, "int64"), ("int64", True, "int64"), ("uint64", False, "uint64"), ("uint72", False, "int256"),
     ("int128", True, "int256"), ("bool", False, "bool"), ("address", True, "string"), ("bytes4", False, "string"),
     ("bytes", False, "string"), ("string", False, "string"), ("string", True, "string"), ("uint256[]", False, "json"),
     ("uint256[]", True, "string"), ("(uint256,bool)", False, "json")],
)  # fmt: skip
def test_types_of_columns(kind: str, indexed: bool, logical: str) -> None:
    assert str(Argument("x", canonical(kind), indexed).logical) == logical


def test_names_of_columns_are_unique_and_their_own() -> None:
    (stream, event), = find_events((), ["T(address address, uint from, uint FROM, uint, uint extra)"]).streams.items()  # fmt: skip
    names = event_schema(event, stream).names
    assert event.names == ("address_2", "from", "FROM_2", "argument_3", "extra_2")
    assert len({name.lower() for name in names}) == len(names)
    assert event_schema(event, stream).key == ("block_hash", "log_index")


def test_overloads_and_repetitions() -> None:
    texts = ["T(uint a)", "T(address a)", "T(uint256 a)"]
    assert {name: event.signature for name, event in find_events((), texts).streams.items()} == {
        "events.T": "T(uint256)", "events.T_2": "T(address)",
    }  # fmt: skip


def test_values_keep_every_digit_in_json() -> None:
    text = Argument("x", "(uint256,bytes,bool)[]", False).value(((2**255, b"\x01", True), (1, b"", False)))
    assert json.loads(text) == [[2**255, "0x01", True], [1, "0x", False]]
    assert str(2**255) in text


def test_an_abi_of_a_compiler() -> None:
    component = {
        "name": "o",
        "type": "tuple[]",
        "indexed": False,
        "components": [{"type": "uint256"}, {"type": "string"}],
    }
    streams = find_events([{"type": "event", "name": "E", "inputs": [component]}], ()).streams
    assert streams["events.E"].signature == "E((uint256,string)[])"
    with pytest.raises(InvalidConfigError, match=r"config.abi\[0\]"):
        find_events([{"type": "event", "name": "E"}], ())


def rows_of(text: str, topics: list[str], data: str) -> dict[str, Any]:
    event = parse_signature(text)
    event = replace(event, reserved=frozenset({"extra"}))
    own = {
        "logIndex": "0x0", "transactionIndex": "0x0", "transactionHash": OWN, "address": ALICE, "blockHash": OWN,
        "blockNumber": "0x1", "topics": [event.topic, *topics], "data": data, "removed": False,
    }  # fmt: skip
    (row,) = event_rows(event, Header(1, OWN, OWN, 0, None), [own])
    return dict(zip(event_schema(event, "events.E").names, row, strict=True))


def test_a_log_that_does_not_fit_keeps_its_topics() -> None:
    row = rows_of("E(address indexed a, uint256 b)", ["0x" + "77" * 32], "0x1234")
    assert (row["a"], row["b"], row["undecoded"]) == (None, None, "0x1234")
    assert json.loads(row["extra"])["topics"] == [parse_signature("E(address a, uint b)").topic, "0x" + "77" * 32]


@given(st.binary(max_size=70), st.text(max_size=20))
def test_the_last_value_may_lack_its_filling(value: bytes, words: str) -> None:
    """As Solidity before 0.5 wrote it; geth and ethers read it."""
    whole = encode(["string", "bytes"], [words, value])
    cut = whole[: len(whole) - (-len(value) % 32)]
    row = rows_of("E(string a, bytes b)", [], f"0x{cut.hex()}")
    assert (row["a"], row["b"], row["undecoded"]) == (words, f"0x{value.hex()}", None)


@given(st.binary(min_size=1, max_size=70), st.data())
def test_a_value_that_is_cut_short_is_not_filled_up(value: bytes, data: st.DataObject) -> None:
    whole = encode(["bytes"], [value])[: 64 + len(value)]
    cut = whole[: 64 + data.draw(st.integers(0, len(value) - 1))]
    row = rows_of("E(bytes a)", [], f"0x{cut.hex()}")
    assert (row["a"], row["undecoded"]) == (None, f"0x{cut.hex()}")


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        ("E(function f)", "E(function)"),
        ("E(address payable to, uint v)", "E(address,uint256)"),
        ("E(address payable indexed to)", "E(address)"),
        ("E(address payable[] all)", "E(address[])"),
        ("E((address payable to, uint v) order)", "E((address,uint256))"),
        ("E((address payable, function) order)", "E((address,function))"),
        ("E(address payable)", "E(address)"),
    ],
)
def test_types_that_are_words_for_others(text: str, signature: str) -> None:
    assert parse_signature(text).signature == signature


def test_a_function_is_its_24_bytes() -> None:
    assert rows_of("E(function f)", [], "0x" + "ab" * 24 + "00" * 8)["f"] == "0x" + "ab" * 24


@pytest.mark.parametrize("kind", ["fixed128x18", "Library.Kind", "uint256[] storage", "ufixed"])
def test_an_event_that_has_no_columns_refuses_itself_alone(kind: str) -> None:
    abi = [
        {"type": "event", "name": "Odd", "inputs": [{"name": "a", "type": kind}]},
        {"type": "event", "name": "Good", "inputs": [{"name": "a", "type": "function"}]},
    ]
    found = find_events(abi, ())
    assert [*found.streams] == ["events.Good"]
    assert "the event Odd" in found.unreadable[0]
    assert kind in found.unreadable[0]
    if kind == "fixed128x18":
        with pytest.raises(InvalidConfigError, match=r"config.events\[0\]: not an event"):
            find_events((), [f"Odd({kind} a)"])


def test_no_column_has_the_name_of_one_that_append_mode_adds() -> None:
    texts = ["E(uint _id, uint _Op, uint other)"]
    (event,) = find_events((), texts, frozenset(APPEND_COLUMNS)).streams.values()
    assert event.names == ("_id_2", "_Op_2", "other")
    assert find_events((), texts).streams["events.E"].names == ("_id", "_Op", "other")


def test_what_is_indexed_is_part_of_an_events_identity() -> None:
    one = parse_signature("T(address indexed a, uint b)")
    two = parse_signature("T(address indexed a, uint indexed b)")
    assert one.signature == two.signature
    assert (one.identity, two.identity) == ("T(address indexed,uint256)", "T(address indexed,uint256 indexed)")
