"""Many seeds of a net: each result is a line in a file, so that a run that was ended can be continued; and the table of what was drawn."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Result:
    """One seed.

    Attributes:
        seed: Which.
        stream: What was read.
        active: Misbehaviours that could strike.
        drawn: How often each did.
        told: Whether something was reported to people.
        fault: What was wrong, or "".
    """

    seed: int
    stream: str
    active: Sequence[str]
    drawn: dict[str, int]
    told: bool
    fault: str = ""


class Results:
    """A file of JSON lines; the last line of a seed counts, and a line that was cut by a kill does not."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> dict[int, Result]:
        """By seed, in order."""
        found: dict[int, Result] = {}
        for line in self._path.read_text().splitlines() if self._path.exists() else []:
            try:
                one = Result(**json.loads(line))
            except (ValueError, TypeError):
                continue
            found[one.seed] = one
        return dict(sorted(found.items()))

    def left(self, seeds: Iterable[int]) -> list[int]:
        """The seeds that have no line yet."""
        done = self.all()
        return [seed for seed in seeds if seed not in done]

    def add(self, result: Result) -> None:
        with self._path.open("a") as file:
            file.write("\n" + json.dumps(asdict(result)))


def summary(results: Iterable[Result], net: str) -> dict[str, Any]:
    """What a document shows of a net."""
    listed = list(results)
    active, drawn, told = Counter[str](), Counter[str](), Counter[str]()
    for one in listed:
        active.update(one.active)
        drawn.update(one.drawn)
        told.update(one.active if one.told else ())
    seeds = [one.seed for one in listed]
    return {
        "net": net,
        "seeds": len(listed),
        "first": min(seeds, default=0),
        "last": max(seeds, default=0),
        "streams": dict(sorted(Counter(one.stream for one in listed).items())),
        "told": sum(one.told for one in listed),
        "failed": {str(one.seed): one.fault for one in listed if one.fault},
        "misbehaviours": {
            kind: {"seeds": active[kind], "drawn": drawn[kind], "told": told[kind]}
            for kind in sorted({*active, *drawn})
        },
    }


def table(found: dict[str, Any]) -> list[str]:
    """A summary as Markdown, the rarest misbehaviour first."""
    rows = sorted(found["misbehaviours"].items(), key=lambda item: (item[1]["drawn"], item[0]))
    return [
        f"{found['seeds']} seeds ({found['first']} to {found['last']}), {len(found['failed'])} failed; in {found['told']} something was reported.",
        "",
        "| misbehaviour | seeds | drawn | seeds that reported something |",
        "|---|---:|---:|---:|",
        *(f"| `{kind}` | {row['seeds']:,} | {row['drawn']:,} | {row['told']:,} |" for kind, row in rows),
        *([""] if found["failed"] else []),
        *(f"- seed {seed}: {fault}" for seed, fault in found["failed"].items()),
    ]


def main(net: str, run: Callable[[Sequence[int]], Iterator[Result]]) -> int:
    """The command of a net: runs the seeds that have no result yet; 1 if one failed.

    Args:
        net: Its name.
        run: Runs seeds, one after the other.
    """
    parser = argparse.ArgumentParser(description=f"Many seeds of the net {net}.")
    parser.add_argument("seeds", help="such as 0-1999, or 17")
    parser.add_argument(
        "--results", type=Path, required=True, help="a file of JSON lines; seeds that it has are not run again"
    )
    parser.add_argument(
        "--summary", type=Path, help="a file of JSON to put the summary into, beside those of other nets"
    )
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition("-")
    results = Results(arguments.results)
    for result in run(results.left(range(int(first), int(last or first) + 1))):
        results.add(result)
        if result.fault:
            print(f"seed {result.seed}: {result.fault}", flush=True)
    found = summary(results.all().values(), net)
    print("\n".join(table(found)))
    if arguments.summary:
        known = json.loads(arguments.summary.read_text()) if arguments.summary.exists() else {}
        arguments.summary.write_text(json.dumps(known | {net: found}, indent=1, sort_keys=True) + "\n")
    return 1 if found["failed"] else 0
