"""Labels of ENUM and SET: told apart, or refused with the reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connector_runner.sources.mysql.decode.fields import result_field
from connector_runner.sources.mysql.decode.undecodable import UndecodableError
from connector_runner.sources.mysql.types.charsets import PYTHON_CODECS
from connector_runner.sources.mysql.types.columns import SourceColumn
from connector_runner.sources.mysql.types.labels import (
    enum_texts,
    exact_labels,
    has_hidden_labels,
    set_texts,
    unreadable_after,
)


def test_labels_that_are_told_apart_or_refused() -> None:
    column = SourceColumn("e", "enum('','a','a')", "latin1")
    texts = enum_texts(column, in_key=True)
    assert (texts[1], texts[2]) == ("", "a")
    for number in (0, 3, 9):
        with pytest.raises(UndecodableError):
            _ = texts[number]
    assert enum_texts(column)[0] == enum_texts(column)[1] == ""
    hidden = SourceColumn("e", "enum('?','b')", "utf8mb4")
    assert has_hidden_labels(hidden)
    assert not has_hidden_labels(replace(hidden, charset="latin1"))
    assert enum_texts(hidden, ("🎈", "b"))[1] == "🎈"
    assert exact_labels(hidden, ("🎈".encode(), b"b")) == ("🎈", "b")
    with pytest.raises(UndecodableError, match="binlog_row_metadata"):
        _ = enum_texts(hidden)[1]
    sets = set_texts(SourceColumn("s", "set('','a')", "latin1"), in_key=True)
    assert (sets[0], sets[2]) == ("", "a")
    assert sets[3] == ",a"
    with pytest.raises(UndecodableError):
        _ = sets[1]


@pytest.mark.parametrize("charset", ["utf32", "utf16", "ucs2", "utf16le", "utf8mb4", "gb18030", "sjis", "ujis"])
@pytest.mark.parametrize("label", [b"a\xdf\xff", b"\xff", b"\xc3\x9f\xff"])
def test_labels_of_another_charset_are_refused_in_copy_and_log(charset: str, label: bytes) -> None:
    """ALTER TABLE … CONVERT TO leaves the bytes of labels as they were, and calls them of the new set."""
    good = "q".encode(PYTHON_CODECS[charset])
    column = SourceColumn("e", "enum('','q')", charset)
    for build in (enum_texts, set_texts):
        texts = build(column, exact_labels(column, (label, good)))
        assert texts[2] == "q"
        with pytest.raises(UndecodableError, match=rf"column e: .*label 1 .*not valid text in {charset}") as refusal:
            _ = texts[1]
        assert refusal.value.reason == "UnreadableLabel"
    for kind in ("enum", "set"):
        convert = result_field(SourceColumn("e", f"{kind}('','q')", charset)).convert
        assert callable(convert)
        assert convert(good) == "q"
        with pytest.raises(UndecodableError, match=f"not valid text in {charset}"):
            convert(label)


def test_labels_that_the_server_can_only_show_as_bytes_are_refused() -> None:
    """As MySQL shows half a surrogate pair of ucs2, without names in the log."""
    column = SourceColumn("e", "enum(x'edbda3','x''61','b')", "ucs2")
    texts = enum_texts(column)
    assert (texts[2], texts[3]) == ("x'61", "b")
    with pytest.raises(UndecodableError, match=r"udced\\udcbd\\udca3"):
        _ = texts[1]


@pytest.mark.parametrize(
    ("old", "new", "before", "after", "found"),
    [
        ("latin1", "utf8mb4", "'a','caé'", "'a','ca'", "caé"),
        ("latin1", "utf8mb4", "'a','é'", "'a','é'", None),  # written again
        ("latin1", "utf8mb4", "'a','b'", "'a','b'", None),
        ("utf8mb4", "latin1", "'ß'", "'Ã\u009f'", None),  # other text, which the server reads so, too
        ("latin1", "cp1251", "'ß'", "'Я'", None),
        ("utf8mb4", "utf32", "'ßc'", "''", "ßc"),
        ("swe7", "ucs2", "'a'", "''", "a"),
    ],
)
def test_labels_that_convert_to_leaves_unreadable(
    old: str, new: str, before: str, after: str, found: str | None
) -> None:
    for kind in ("enum", "set"):
        known, now = SourceColumn("e", f"{kind}({before})", old), SourceColumn("e", f"{kind}({after})", new)
        assert unreadable_after(known, now) == found
        assert unreadable_after(known, known) is None
