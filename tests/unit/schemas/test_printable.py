"""Nothing in a text of others moves the cursor, changes colours, or makes columns crooked."""

from __future__ import annotations

import ast
import re

from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from connector_runner.schemas.printable import cells, cut, printable, printable_lines

ANY = st.text(st.characters())  # surrogates included


@given(ANY)
@example("\x1b]0;title\x07")
@example("a\u202eb\u2066\u200b\ufeff\x7f\x9b31m\ud800")
def test_only_what_is_printable_is_left_and_nothing_is_lost(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert re.sub(r"\\(x..|u....|U........|[trn])", lambda found: ast.literal_eval(f"'{found[0]}'"), shown) == re.sub(
        r"\\(x..|u....|U........|[trn])", lambda found: ast.literal_eval(f"'{found[0]}'"), text
    )
    assert printable_lines(text).split("\n") == [printable(line) for line in text.split("\n")]


@given(ANY, st.integers(min_value=0, max_value=30))
@example("日本語🙂", 4)
@example("日本語🙂", 1)
def test_what_is_cut_fits_and_says_so(text: str, width: int) -> None:
    shown = printable(text)
    short = cut(shown, width)
    assert cells(short) <= width
    assert short == shown or width == 0 or (short.endswith("…") and shown.startswith(short[:-1]))


def test_wide_characters_and_marks_take_as_many_cells_as_a_terminal_gives_them() -> None:
    for text in ("plain", "日本", "\uff46\uff55", "🙂", "e\u0301", "Straße", "한글", "✓…·"):
        assert cells(text) == cell_len(text), text
