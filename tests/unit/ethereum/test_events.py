"""Events of an ABI as streams: signatures, types, names of columns."""

import json

import pytest

from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.sources.ethereum.decode.events import (
    Argument,
    canonical,
    event_schema,
    event_streams,
    parse_signature,
)

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
        event_streams((), [text])


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
    (stream, event), = event_streams((), ["T(address address, uint from, uint FROM, uint, uint extra)"]).items()  # fmt: skip
    names = event_schema(event, stream).names
    assert event.names == ("address_2", "from", "FROM_2", "argument_3", "extra_2")
    assert len({name.lower() for name in names}) == len(names)
    assert event_schema(event, stream).key == ("block_hash", "log_index")


def test_overloads_and_repetitions() -> None:
    texts = ["T(uint a)", "T(address a)", "T(uint256 a)"]
    assert {name: event.signature for name, event in event_streams((), texts).items()} == {
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
    streams = event_streams([{"type": "event", "name": "E", "inputs": [component]}], ())
    assert streams["events.E"].signature == "E((uint256,string)[])"
    with pytest.raises(InvalidConfigError, match=r"config.abi\[0\]"):
        event_streams([{"type": "event", "name": "E"}], ())
