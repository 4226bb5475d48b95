#!/usr/bin/env bash
# orjson 3.13.0: a JSON integer outside 64 bits is read as a float, without an error; the standard library and msgspec read the integer.
#
# orjson.dumps refuses such an integer ("Integer exceeds 64-bit range"), so one would guess that loads refuses it as well, or gives an int as
# json.loads does. It gives the nearest float: the last digits are gone, and a test like isinstance(value, int) or an equality says so only
# later. Amounts and balances of blockchains, NUMERIC columns as JSON, and ids of 128 bits are such numbers. A float that is too large is an
# error in orjson, and inf in json.
#
# Seen with orjson 3.13.0 and msgspec 0.22.0. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check orjson==3.13.0 msgspec==0.22.0
"$home/venv/bin/python" << 'PYTHON'
import json

import msgspec
import orjson

for number in (2**64 - 1, -(2**63), 2**64, -(2**63) - 1, 10**29 + 1):
    text = str(number)
    assert json.loads(text) == msgspec.json.decode(text) == number, "json or msgspec read otherwise now"
    read = orjson.loads(text)
    print(f"{text}: orjson.loads gives {read!r}, {int(read) - number:+d}")
    if -(2**63) <= number < 2**64:
        assert type(read) is int and read == number
    else:
        assert type(read) is float, "it is no float any more"
        try:
            raise SystemExit(f"dumps gives {orjson.dumps(number)!r} now")
        except orjson.JSONEncodeError as error:
            print(f"    orjson.dumps: {error}")
assert int(orjson.loads(str(10**29 + 1))) != 10**29 + 1
PYTHON
