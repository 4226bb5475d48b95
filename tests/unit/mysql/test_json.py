"""MySQL's binary JSON and its differences: against documents worked out by hand, and against damaged bytes."""

from __future__ import annotations

import json
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.mysql.decode import json_binary, json_diff
from tests.unit.mysql.test_values import pack_decimal


def small_json(value: object) -> bytes:
    """A document of one level in the small format."""
    if isinstance(value, str):
        raw = value.encode()
        return b"\x0c" + bytes([len(raw)]) + raw
    if isinstance(value, bool) or value is None:
        return b"\x04" + bytes([{None: 0, True: 1, False: 2}[value]])
    if isinstance(value, float):
        return b"\x0b" + struct.pack("<d", value)
    assert isinstance(value, int)
    return b"\x09" + struct.pack("<q", value)


@given(
    st.one_of(
        st.text(max_size=100),
        st.booleans(),
        st.none(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_json_scalars_mean_the_same(value: object) -> None:
    text = json_binary.json_text(
        small_json(value) if not isinstance(value, str) or len(value.encode()) < 128 else b"\x0c\x00"
    )
    if not isinstance(value, str) or len(value.encode()) < 128:
        assert json.loads(text) == value


def test_json_differences() -> None:
    tree = json_binary.parse(b"\x00" + struct.pack("<HHHHBH", 1, 12, 11, 1, 5, 7) + b"a")
    assert json_binary.render(tree) == '{"a": 7}'
    change = bytes([1, 5]) + b'$."b"' + bytes([len(small_json("x"))]) + small_json("x")
    assert json_binary.render(json_diff.apply_differences(tree, change)) == '{"a": 7, "b": "x"}'
    assert json_binary.render(json_diff.apply_differences(tree, bytes([2, 3]) + b"$.a")) == '{"b": "x"}'
    with pytest.raises(ValueError, match="does not fit"):
        json_diff.apply_differences(tree, bytes([2, 3]) + b"$.z")


def path_bytes(path: str, value: bytes, operation: int = 0) -> bytes:
    raw = path.encode()
    return bytes([operation, len(raw)]) + raw + (b"" if operation == 2 else bytes([len(value)]) + value)


@pytest.mark.parametrize(
    ("operation", "path", "found"),
    [
        (0, "$.l[last]", '{"a": 7, "l": [1, 2, "x"]}'), (0, '$ . "l" [ last - 1 ] ', '{"a": 7, "l": [1, "x", 3]}'), (0, "$.a[0]", '{"a": "x", "l": [1, 2, 3]}'),
        (0, "$.a[last]", '{"a": "x", "l": [1, 2, 3]}'), (0, "$[0].a", '{"a": "x", "l": [1, 2, 3]}'), (0, "$", '"x"'), (1, "$.l[last]", '{"a": 7, "l": [1, 2, "x", 3]}'),
        (1, "$.l[9]", '{"a": 7, "l": [1, 2, 3, "x"]}'), (1, "$.l[last-9]", '{"a": 7, "l": ["x", 1, 2, 3]}'), (1, '$."a.b[0]"', '{"a": 7, "l": [1, 2, 3], "a.b[0]": "x"}'),
        (1, "$.\u00e9", '{"a": 7, "l": [1, 2, 3], "é": "x"}'), (2, "$.l[last-2]", '{"a": 7, "l": [2, 3]}'), (2, "$.l", '{"a": 7}'),
    ],
)  # fmt: skip
def test_paths_of_differences(operation: int, path: str, found: str) -> None:
    tree = {"a": "7", "l": ["1", "2", "3"]}
    assert json_binary.render(json_diff.apply_differences(tree, path_bytes(path, small_json("x"), operation))) == found


@pytest.mark.parametrize("path", ["$.l[3]", "$.l[last-3]", "$.z", "$.a.b", "$.l[*]", "$.l[1 to 2]", "$**.a"])
def test_paths_that_do_not_fit(path: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_diff.apply_differences({"a": "7", "l": ["1", "2", "3"]}, path_bytes(path, small_json("x")))


@given(st.binary(max_size=60))
def test_damaged_differences_are_an_error_and_nothing_else(raw: bytes) -> None:
    with suppress(ValueError):
        json_diff.apply_differences({"a": "7"}, raw)


def test_json_numbers_and_bytes_as_the_server_prints_them() -> None:
    """Decimals never with an exponent; base64 in lines of 76."""
    decimal = bytes([20, 10]) + pack_decimal("0.0000001000", 20, 10)
    assert json_binary.json_text(b"\x0f\xf6" + bytes([len(decimal)]) + decimal) == "0.0000001000"
    text = json_binary.json_text(b"\x0f\x0f" + bytes([58]) + b"ab" * 29)
    assert text.startswith('"base64:type15:YWJh')
    assert text.count("\\n") == 1


@given(st.binary(max_size=60))
def test_damaged_json_is_an_error_and_nothing_else(raw: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(json_binary.json_text(raw), str)


def test_a_damaged_count_is_noticed_at_once() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        json_binary.json_text(b"\x01" + b"\xff\xff\xff\xff" * 2 + bytes(20))
