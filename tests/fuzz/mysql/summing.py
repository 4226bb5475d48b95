"""Reports of several runs, and of faults that were put back, added up for benchmarks/nets: `python -m tests.fuzz.mysql.summing FOLDER …`."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.fuzz.mysql.report import ALL_KINDS
from tests.fuzz.mysql.versions import VERSIONS

Json = dict[str, Any]
# Why a history with `onLogGap: resnapshot` did not end exact, the first that fits; and why a copy can't help.
REASONS = (
    ("`Preflight`: an engine whose rows change elsewhere (MERGE)", r"Preflight.*its engine is", "rows change in the parts"),
    ("`Preflight`: CHAR without padding in the key", r"Preflight.*NO PAD", "it would leave rows out"),
    ("`Preflight`: a foreign key that changes rows", r"Preflight.*changes its rows without the log", "not logged, as long as the key is there"),
    ("`NoKey`, `Preflight`: no key", r"NoKey|neither a primary key nor", "nothing says which row an update means"),
    ("`AmbiguousKey`: two key values that read alike", r"AmbiguousKey", "the dataset has one row for both"),
    ("`IncompleteRows`: generated columns that are not logged", r"IncompleteRows.*generated columns", "each update would mean a copy"),
    ("its tablespace is discarded", r"discarded", "the server has no rows"),
    ("labels and texts that are no characters", r"UnreadableLabel|surrogates not allowed", "there is no text to store"),
    ("`TableGone`: dropped or moved away", r"TableGone", "there is no table"),
)  # fmt: skip
OTHER = "something else"


def why(detail: str) -> str:
    """The reason that an end has, in the words of the table."""
    return next((name for name, pattern, _ in REASONS if re.search(pattern, detail, re.DOTALL)), OTHER)


def add_up(reports: Iterable[Json]) -> dict[str, Json]:
    """By version, in the order of the versions."""
    found: dict[str, list[Json]] = {version: [] for version in VERSIONS}
    for report in reports:
        found[report["version"]].append(report)
    return {version: _add_up(own) for version, own in found.items() if own}


def _add_up(reports: list[Json]) -> Json:
    outcomes: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    gap: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for report in reports:
        outcomes.update(report["outcomes"])
        kinds.update({kind: sum(ended.values()) for kind, ended in report["kinds"].items()})
        gap.update(report["withoutLossOfTheTableOrKey"].get("resnapshot", {}))
        reasons.update(why(end["detail"]) for end in report["ends"] if end["onLogGap"] == "resnapshot")
    return {
        "seeds": sorted({report["seed"] for report in reports}), "histories": sum(report["histories"] for report in reports),
        "statements": sum(report["statements"] for report in reports), "long": sum(report["atLeast20Statements"] for report in reports),
        "outcomes": _sorted(outcomes), "kinds": dict(sorted(kinds.items())),
        "resnapshot": {"counted": gap.total(), "exact": gap["exact"], "others": _sorted(reasons)},
        "defects": [{**defect, "seed": report["seed"]} for report in reports for defect in report["defects"]],
    }  # fmt: skip


def shares(versions: dict[str, Json]) -> dict[str, float]:
    """Of each kind of statement: in how many % of the histories it was, of those whose server has it; the rarest first."""
    found = {}
    for kind in ALL_KINDS:
        own = [counts for version, counts in versions.items() if kind.is_of(version)]
        total = sum(counts["histories"] for counts in own)
        found[kind.name] = round(100 * sum(counts["kinds"].get(kind.name, 0) for counts in own) / max(1, total), 1)
    return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def read_reports(folders: Iterable[Path]) -> list[Json]:
    return [
        json.loads(path.read_text())
        for folder in folders
        for version in VERSIONS
        if (path := folder / f"{version}.json").exists()
    ]


def read_put_back(files: Iterable[Path]) -> list[Json]:
    """One result for each row: what found it, else the last; with all histories that were done with the fault."""
    results: dict[str, list[Json]] = {}
    for path in files:
        for result in json.loads(path.read_text()):
            results.setdefault(result["row"], []).append(result)
    return [
        {
            **max(own, key=lambda result: bool(result["is_found"])),
            "histories": sum(result["histories"] for result in own),
        }
        for _, own in sorted(results.items())
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.mysql.summing", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*", help="where runs have left their reports")
    parser.add_argument("--put-back", type=Path, nargs="*", default=[], help="results of tests.fuzz.mysql.mutating")
    parser.add_argument("--summary", type=Path, required=True, help="gets what is added up under MYSQL")
    given = parser.parse_args()
    summary = json.loads(given.summary.read_text())
    own = summary.setdefault("MYSQL", {})
    if given.folders:
        own["versions"] = add_up(read_reports(given.folders))
        own["shares"] = shares(own["versions"])
        own["order"] = [*own["versions"]]
        own["reasons"] = [[name, reason] for name, _, reason in REASONS]
    if given.put_back:
        own["putBack"] = read_put_back(given.put_back)
    given.summary.write_text(json.dumps(summary, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
