"""`make test` tries the same examples each time, whatever a worker has imported before."""

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def drawn() -> list[str]:
    found: list[str] = []

    @settings(derandomize=True, database=None, max_examples=300)
    @given(st.text(max_size=20))
    def collect(text: str) -> None:
        found.append(text)

    collect()
    return found


def test_a_module_that_was_imported_meanwhile_changes_no_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = drawn()
    (tmp_path / "more_words.py").write_text(f"WORDS = {[f'a rare word {number}' for number in range(50)]}\n")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("more_words")
    after = drawn()
    del sys.modules["more_words"]
    assert len(before) > 100
    assert after == before
