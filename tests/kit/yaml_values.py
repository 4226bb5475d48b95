"""YAML that parsers disagree about: scalars of every kind, and documents with keys, merges and separators."""

from __future__ import annotations

from random import Random

_WORDS = "y Y yes Yes YES n N no No NO true True TRUE false False FALSE on On ON off Off OFF ~ null Null NULL yEs tRUE nULL oN"
_NUMBERS = """0 00 0123 -0123 +0123 08 09 0o14 0O14 -0o7 0x1F 0X1f -0x1f 0b101 0B101 -0b101 0b102 0x 0xg 1_000 1__0 _1 1_ 0_7 0x_f +1
-1 - + +- 1.0 1. .5 -.5 +.5 1e3 1E3 1e+3 1e-3 1.5e300 1e309 -1e309 1e21 1e20 1e19 123456789012345678 9223372036854775807 9223372036854775808
18446744073709551615 18446744073709551616 -9223372036854775808 -9223372036854775809 +9223372036854775808 0.1 0.30000000000000004 1_0.5
1_0e1_0 .1_0 .e3 . .. ... 1.2.3 1e 1e+ 0e0 -0 -0.0 0.0 4.9e-324 1e-400 007.5 0x1p3 0x1.8p1 Infinity inf nan NaN .inf .Inf .INF +.inf -.inf .nan .NaN -.nan"""
_TIMES = """12:30 12:30:45 1:1 190:20:30 -12:30 12:30:45.5 2026-01-01 2026-1-1 2026-01-01T00:00:00Z 2026-01-01t00:00:00Z 2026-13-01 0001-01-01
2026-01-01T00:00:00+02:00 20260101 2026-01 2026-01-01T1:2:3Z"""
_OTHER = """'0123' "yes" 'y' "" '' a b-c @x %y & * ! | > `x` #x x#y x: {} [] !12 "\\u0041" "\\x41" 'it\'\'s' äöü 日本 😀 << 1,000 1:2 50% $5 ~x null: = == <<x
"0x1F" '12:30' "~" [y] {y: {y} [ { ] } ? - , &a *a"""
SCALARS = [
    *_WORDS.split(),
    *_NUMBERS.split(),
    *_TIMES.split(),
    "2026-01-01 00:00:00",
    "2026-01-01 00:00:00.123456789",
    "2026-01-01 00:00:00 -5",
    "! 12",
    '! "12"',
    "! yes",
    "!!str",
    "!!int",
    "!!null",
    "",
    "one two",
    "1 2",
    "yes no",
    "0123 # a comment",
    "!!binary aGVsbG8=",
    "!!int 12",
    '!!int "0123"',
    "!!float 3",
    "!!float x",
    "!!bool on",
    "!!bool 1",
    "!!timestamp 2026-01-01",
    "!!timestamp 2026-01-01T00:00:00Z",
    "!!timestamp x",
    "!!timestamp 5",
    "!!str 0123",
    "!!str yes",
    "!!binary ä",
    "!foo 12",
    "!!null x",
    "!!int 2026-01-01",
    "!!float 18446744073709551615",
    "{a: 0123, b: y}",
    "{y: 1, 0123: 2}",
    "!!set {a}",
    "!!map {a: 1}",
    "!!seq [1]",
    "!!str [1]",
    '!!null ""',
    '!!int "12"',
    '!!bool "yes"',
    '!!binary "/w=="',
    "!!binary x",
    "!foo bar",
    "[1, y, 0123, .5, 12:30, 1e3]",
    *_OTHER.split(),
]
"""Each is the rest of a line after `- `; some are refused."""

_PIECES = [
    *"0123456789",
    *"xXoObBeE+-_.:",
    "00",
    "0x",
    "0o",
    "0b",
    "1e",
    "yes",
    "no",
    "on",
    "y",
    "n",
    "T",
    "Z",
    "inf",
    "nan",
    "~",
    "-01",
]


def random_scalar(random: Random) -> str:
    """A scalar composed of pieces of numbers, times and words; never a list, mapping or comment."""
    text = "".join(random.choices(_PIECES, k=random.randint(1, 7)))
    return f"x{text}" if text.endswith(":") or (text.startswith("-") and text[1:2] in {"", " "}) else text


DOCUMENTS = [
    "  1: a\n  0123: b\n  1.5: c\n  1e3: d\n  1e6: e\n  123456.7: f\n  y: g\n  'no': h\n  0.00001: i\n  .inf: j\n  1e20: k\n",
    "  1.1: a\n  16777217.0: b\n  0.1: c\n  3.4028236e38: d\n  1e300: e\n  -1.5: f\n  .nan: g\n",
    "  2026-01-01: a\n  12:30: b\n  ? 5\n  : x\n",
    "  ~: a\n",
    "  ? [a]\n  : b\n",
    "  18446744073709551615: a\n",
    "  a: 1\n  a: 2\n",
    "  x: &x {a: 1, b: 2}\n  y: {b: 3, <<: *x}\n  z: {<<: *x, b: 3}\n",
    "  x: &x {a: 1}\n  y: &y {a: 2, c: 3}\n  z: {<<: [*x, *y], d: 4}\n",
    "  z: {<<: 5}\n",
    "  z: {'<<': 5}\n",
    "  z: {<<: {a: 1}}\n",
    "  a: *missing\n",
    "  a: &a [1, *a]\n",
    "  a: |\n    0123\n  b: >-\n    yes\n    no\n  c: 'yes'\n",
    "  a: one\n    two\n  b:\n    0123\n",
    "  a: 1\n...\nb: 2\n",
    "  a: 1\n# the end\n",
    "\ta: 1\n",
    "  a: [1\n",
    "  a: !!omap [{a: 1}]\n",
    '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "values": {"a": 1, "a": 2, "b": 1.0, "c": 1e3}}',
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, values: {a: y, b: 0123}}",
    "--- # first\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nvalues: {a: off}\n",
    "---\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nvalues: {a: off}\n",
    "--- {a: 1}\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nvalues:\n  a: |\n    text\n--- # ends it\n",
]
"""Placed under `values:` if they begin with blanks, else complete manifests."""
