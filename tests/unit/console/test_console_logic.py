"""The console's pure modules, by Node.js's own test runner (`make servers` needs Node.js, too: it comes with npm)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from connector_runner.schemas.selection import may_take, parse_selection

FOLDER = Path(__file__).parent
IDS = ["a", "a.b", "a.b.c", "ab", "a*", "shop.orders", "shop.tmp_1", 'say "x"', "my.db.t", "Ü.x", "a\nb", "a.", "(a)"]
PATTERNS = [
    "*",
    "a",
    "a*",
    "a.*",
    "*.b",
    "a.b.c",
    "?",
    "a?",
    '"a*"',
    "*.*",
    '"my.db".t',
    "my.*",
    '"say ""x"""',
    "shop.tmp_?",
    "(a)",
    "Ü.*",
]


def test_the_consoles_logic(tmp_path: Path) -> None:
    cases = tmp_path / "patterns.json"
    taken = [
        {"pattern": pattern, "taken": {i: may_take(parse_selection([pattern]), i) for i in IDS}} for pattern in PATTERNS
    ]
    cases.write_text(json.dumps(taken))
    files = sorted(str(file) for file in FOLDER.glob("*.test.mjs"))
    environment = {**os.environ, "PATTERN_CASES": str(cases)}
    done = subprocess.run(["node", "--test", *files], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert (
        f"pass {sum(file.read_text().count('test(') - file.read_text().count('.test(') for file in FOLDER.glob('*.test.mjs'))}"
        in done.stdout
    )
