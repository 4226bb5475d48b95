"""`rows`: what the Job printed, as a table for people."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connector_operator.kubectl.newest import format_rows
from connector_operator.workloads.rows_jobs import read_rows

VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.lists(st.integers(), max_size=3)
ROWS = st.lists(st.dictionaries(st.sampled_from(["id", "name", "店", "n\x1b"]), VALUES), min_size=1, max_size=5)


def test_rows_are_a_table_of_all_columns_and_those_too_wide_are_named() -> None:
    rows: list[dict[str, Any]] = [
        {"id": 1, "body": "x" * 90, "n": None},
        {"id": 20, "body": "", "n": True, "later": [1]},
    ]
    assert format_rows(rows, 40, is_vertical=False) == [
        "id  n     later",
        "1",
        "20  true  [1]",
        "not shown, too wide: body (--wide, --vertical or --output json shows all)",
    ]
    assert format_rows(rows[:1], 40, is_vertical=True) == ["id    1", f"body  {'x' * 90}", "n"]


@given(ROWS, st.integers(min_value=1, max_value=60), st.booleans())
def test_no_value_drives_the_terminal(rows: list[dict[str, Any]], width: int, is_vertical: bool) -> None:
    read = read_rows("\n".join(json.dumps(row) for row in rows))
    assert read == rows
    lines = format_rows(read, width, is_vertical=is_vertical)
    assert all(line.isprintable() for line in lines)


def test_a_command_imports_what_it_needs_and_no_more() -> None:
    """Starting is what a person waits for: neither the Kubernetes client, rich nor jsonschema is imported to list connectors."""
    code = (
        "import sys; from connector_operator.kubectl import cli, commands, cluster; cli.build_parser(); "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"kubernetes", "rich", "jsonschema", "asyncio", "pydantic"} & set(done.stdout.split())
