"""The table of what others may do to the operator's objects names tests that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_line_of_the_table_names_tests_that_there_are() -> None:
    text = (ROOT / "docs/among-others.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(lines) > 15
    for line in lines:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", line)
        assert named, line
        for file, test in named:
            assert f"def {test}(" in (ROOT / "tests/e2e" / file).read_text(), f"{file} has no {test}"


def test_the_stated_number_of_requests_is_the_tested_one() -> None:
    text = (ROOT / "docs/among-others.md").read_text()
    stated = re.search(r"at most (\d+) requests a minute", text)
    tested = re.search(r"^MOST_A_MINUTE = (\d+)$", (ROOT / "tests/e2e/test_policies.py").read_text(), re.MULTILINE)
    assert stated is not None
    assert tested is not None
    assert stated[1] == tested[1]
