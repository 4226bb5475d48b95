"""The tables of what the nets have drawn, from `benchmarks/nets/results.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from generate.blocks import Blocks
from tests.simulators.seeds import table

WANTED = 3
"""In so many % of the histories each kind of statement should be."""
RESULTS = Path(__file__).parents[1] / "benchmarks/nets/results.json"


def _read(net: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))[net]
    return found


def _versions() -> dict[str, Any]:
    found = _read("MYSQL")
    return {name: found["versions"][name] for name in found["order"]}


def build_table(net: str) -> str:
    """How often each misbehaviour of a net was drawn."""
    return "\n".join(table(_read(net)))


def build_histories() -> str:
    """MYSQL: how many histories there were, how they ended, and in how many each kind was drawn."""
    versions = _versions()
    outcomes = sorted({name for own in versions.values() for name in own["outcomes"]})
    kinds = sorted({name for own in versions.values() for name in own["kinds"]})
    shares = _read("MYSQL")["shares"]
    seldom = [f"{name} {share} %" for name, share in sorted(shares.items(), key=lambda item: item[1]) if share < WANTED]
    below = f"Of {len(shares)} kinds of statements, in fewer than {WANTED} % of the histories of the servers that have them: {', '.join(seldom) or 'none'}."  # fmt: skip
    rarest = min(shares, key=shares.__getitem__)
    return "\n".join([
        below if seldom else f"{below} The rarest: {rarest}, {shares[rarest]} %.", "",
        *_head(["", *versions]),
        _row("histories", (own["histories"] for own in versions.values())),
        _row("of them with 20 statements and more", (own["long"] for own in versions.values())),
        _row("statements", (own["statements"] for own in versions.values())),
        *(_row(f"ended `{name}`", (own["outcomes"].get(name, 0) for own in versions.values())) for name in outcomes),
        *(_row(name, (own["kinds"].get(name, 0) for own in versions.values())) for name in kinds),
    ])  # fmt: skip


def build_resnapshot() -> str:
    """MYSQL: how many histories with `onLogGap: resnapshot` end exact, and why the others do not."""
    versions = {name: own["resnapshot"] for name, own in _versions().items()}
    reasons = dict(_read("MYSQL")["reasons"])
    others = [name for name in reasons if any(name in own["others"] for own in versions.values())]
    rest = sorted({name for own in versions.values() for name in own["others"]} - {*reasons})
    lines = [
        *_head(["", *versions, "can a copy resolve it?"], words=1),
        _row("counted", [*(own["counted"] for own in versions.values()), ""]),
        _row("exact", [*(_share(own["exact"], own["counted"]) for own in versions.values()), ""]),
        _row("exact, of those whose end a copy can resolve", [*(_resolvable(own, reasons) for own in versions.values()), ""]),
    ]  # fmt: skip
    lines += [_row(name, [*(own["others"].get(name, 0) for own in versions.values()), f"no: {reasons[name]}"]) for name in others]  # fmt: skip
    return "\n".join([*lines, *(_row(name, [*(own["others"].get(name, 0) for own in versions.values()), "yes"]) for name in rest)])  # fmt: skip


def _resolvable(own: Mapping[str, Any], reasons: Mapping[str, str]) -> str:
    return _share(own["exact"], own["counted"] - sum(own["others"].get(name, 0) for name in reasons))


def build_put_back() -> str:
    """MYSQL: which faults the net finds when they are put back."""
    found = _read("MYSQL")["putBack"]
    lines = [
        _row(f"{one['row'].lstrip('0')}: {one['what']}", [
            "yes" if one["is_found"] else "**no**", f"{one['version']}, number {one['number']}" if one["is_found"] else "", one["histories"],
            f"`{one['detail'].split(': ')[1].split(',')[0]}`; control `{one['control']}`; again {one['again']}" if one["is_found"] else "",
        ])
        for one in found
    ]  # fmt: skip
    total = f"{sum(one['is_found'] for one in found)} of {len(found)} are found."
    return "\n".join([total, "", *_head(["fault", "found", "by", "histories done with it", "how"], words=4), *lines])


def _head(names: Iterable[str], words: int = 0) -> list[str]:
    """The head of a table; its last columns have words, those before them numbers."""
    names = [*names]
    return [_row(names[0], names[1:]), f"|---|{'---:|' * (len(names) - 1 - words)}{'---|' * words}"]


def _row(name: str, cells: Iterable[object]) -> str:
    return f"| {' | '.join([name, *(f'{cell:,}' if isinstance(cell, int) else str(cell) for cell in cells)])} |"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole}: {100 * part / whole:.0f} %" if whole else "0"


BLOCKS: Blocks = {
    **{net.lower(): partial(build_table, net) for net in ("ETHEREUM", "COINBASE")},
    "mysql": build_histories,
    "mysql resnapshot": build_resnapshot,
}
FAULT_BLOCKS: Blocks = {"put back": build_put_back}
