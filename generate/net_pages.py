"""The tables of what the nets have drawn, from `benchmarks/nets/results.json`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from generate.blocks import Blocks
from tests.simulators.seeds import table

RESULTS = Path(__file__).parents[1] / "benchmarks/nets/results.json"


def build_table(net: str) -> str:
    """How often each misbehaviour of a net was drawn."""
    return "\n".join(table(json.loads(RESULTS.read_text(encoding="utf-8"))[net]))


BLOCKS: Blocks = {net.lower(): partial(build_table, net) for net in ("ETHEREUM", "COINBASE")}
