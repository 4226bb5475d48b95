"""The labels of an ENUM's or SET's numbers, and when they can't be known.

Without rows, the server shows labels only in COLUMN_TYPE, and there in utf8mb3: a character outside of it appears as a question
mark. The log has the exact labels with binlog_row_metadata=FULL; without it, such a label is refused as soon as a row has it. In
a key, a number is also refused if another number has the same text.

`ALTER TABLE … CONVERT TO CHARACTER SET` leaves the bytes of labels as they were, and the server then treats them as text of the
new set. Where they are not valid text there, it shows a part of them, question marks, or nothing: such a label is refused in copy
and log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from connector_runner.protocols.errors import RESET
from connector_runner.sources.mysql.decode.undecodable import UndecodableError
from connector_runner.sources.mysql.decode.values import SetTexts
from connector_runner.sources.mysql.types.charsets import encode_text, key_decoder, text_decoder
from connector_runner.sources.mysql.types.columns import SourceColumn

# How many texts of a column in result sets are cached.
_REMEMBERED = 4096
# Sets with characters that COLUMN_TYPE can't show.
_BEYOND_UTF8MB3 = frozenset({"utf8mb4", "utf16", "utf16le", "utf32", "gb18030", "binary"})


def has_hidden_labels(column: SourceColumn) -> bool:
    """Whether a label may differ from what COLUMN_TYPE shows."""
    return column.charset in _BEYOND_UTF8MB3 and any("?" in label for label in column.type.labels)


def is_ambiguous(column: SourceColumn) -> bool:
    """Whether two values of an ENUM or SET have the same text: a label is empty (as error value and empty set are) or repeated."""
    return column.type.base in {"enum", "set"} and len({"", *column.type.labels}) <= len(column.type.labels)


def exact_labels(column: SourceColumn, logged: Sequence[bytes] | None) -> tuple[str, ...] | None:
    """The labels as the log's table map gives them; None where it does not have them."""
    if not logged or len(logged) != len(column.type.labels):
        return None
    return tuple(map(text_decoder(column.charset or "utf8mb4"), logged))


def result_reader(column: SourceColumn, *, in_key: bool) -> Callable[[bytes], str]:
    """A function from the bytes of an ENUM or SET in a result set, for columns with a character set, to its text.

    Raises:
        UndecodableError: Raised by the returned function, for bytes that are not text.
    """
    decode = (key_decoder if in_key else text_decoder)(column.charset)

    @lru_cache(maxsize=_REMEMBERED)
    def read(raw: bytes) -> str:
        text = decode(raw)
        if not _is_text(text):
            raise _unreadable(column, "a label", text)
        return text

    return read


def _is_text(label: str) -> bool:
    """Whether a label has no lone surrogates, which represent bytes that are not a character."""
    return not any("\ud800" <= character <= "\udfff" for character in label)


def unreadable_after(before: SourceColumn, after: SourceColumn) -> str | None:
    """The first label of an ENUM or SET whose bytes are no longer text after a change of its character set; None without one.

    Labels that were defined again (`MODIFY`) have the same text as before; those of `CONVERT TO` have the same bytes.
    """
    if (
        after.type.base not in {"enum", "set"}
        or before.charset == after.charset
        or not (before.charset and after.charset)
    ):
        return None
    decode = text_decoder(after.charset)
    for old, new in zip(before.type.labels, after.type.labels, strict=False):
        try:
            is_unreadable = new != old and not _is_text(decode(encode_text(before.charset, old)))
        except ValueError:
            continue
        if is_unreadable:
            return old
    return None


def _unreadable(column: SourceColumn, which: str, label: str) -> UndecodableError:
    return UndecodableError(
        f"column {column.name}: {which} ({label!a}) is not valid text in {column.charset}. ALTER TABLE … CONVERT TO CHARACTER SET leaves the "
        "bytes of labels as they were: define the labels again (ALTER TABLE … MODIFY the column with its whole type), check its rows, "
        f"and copy the table again ({RESET})",
        reason="UnreadableLabel",
    )


def _refusals(column: SourceColumn, exact: tuple[str, ...] | None) -> dict[int, UndecodableError]:
    """The errors for labels that can't be known, by their index."""
    unreadable = {
        place: _unreadable(column, f"its label {place + 1}", label)
        for place, label in enumerate(exact or column.type.labels)
        if not _is_text(label)
    }
    if exact is not None or not has_hidden_labels(column):
        return unreadable
    return unreadable | {
        place: UndecodableError(
            f"column {column.name}: the label {label!r} has a question mark, or a character that the server does not show there; "
            "only with binlog_row_metadata = 'FULL' the log has the label itself (SET GLOBAL binlog_row_metadata = 'FULL'). Then copy "
            f"the table again ({RESET})",
            reason="HiddenLabel",
        )
        for place, label in enumerate(column.type.labels)
        if "?" in label
    }


def _alike(column: SourceColumn, text: str) -> UndecodableError:
    return UndecodableError(
        f"the key's column {column.name} holds two different values that both read {text!r} ({column.sql_type}): the dataset would "
        "take their rows for one. Change one of the values, or use another key",
        reason="AmbiguousKey",
    )


class _CheckedLabels(dict[int, str]):
    """The texts of an ENUM's numbers, without those that are refused."""

    def __init__(self, texts: Mapping[int, str], refused: Mapping[int, UndecodableError]) -> None:
        super().__init__({number: text for number, text in texts.items() if number not in refused})
        self._refused = refused

    def __missing__(self, number: int) -> str:
        raise self._refused.get(number) or UndecodableError(f"an ENUM of {len(self)} labels has the number {number}")


def enum_texts(
    column: SourceColumn, exact: tuple[str, ...] | None = None, *, in_key: bool = False
) -> Mapping[int, str] | tuple[str, ...]:
    """The texts of an ENUM by number; 0 is the error value, an empty text.

    Raises:
        UndecodableError: When a number is looked up whose text can't be known, or (in a key) is also the text of another number.
    """
    texts = ("", *(exact or column.type.labels))
    refused = {place + 1: error for place, error in _refusals(column, exact).items()}
    if in_key:
        # An empty label is more likely than the error value: it keeps the empty text.
        first = {text: number for number, text in reversed(list(enumerate(texts))) if number or "" not in texts[1:]}
        refused |= {number: _alike(column, text) for number, text in enumerate(texts) if first[text] != number}
    return _CheckedLabels(dict(enumerate(texts)), refused) if refused else texts


class _CheckedSets(SetTexts):
    """The texts of a SET's combinations, without those that are refused."""

    def __init__(
        self, column: SourceColumn, labels: tuple[str, ...], refused: Mapping[int, UndecodableError], *, in_key: bool
    ) -> None:
        super().__init__(labels)
        self._column, self._refused = column, refused
        self._is_ambiguous = in_key and is_ambiguous(column)

    def __missing__(self, bits: int) -> str:
        for place, error in self._refused.items():
            if bits >> place & 1:
                raise error
        text = super().__missing__(bits)
        if self._is_ambiguous and bits != bits_of(self.labels, text):
            del self[bits]
            raise _alike(self._column, text)
        return text


def bits_of(labels: Sequence[str], text: str) -> int:
    """The number of a SET's text; of several numbers the one with the first labels."""
    chosen = text.split(",") if text else []
    return sum({1 << labels.index(label) for label in chosen})


def set_texts(column: SourceColumn, exact: tuple[str, ...] | None = None, *, in_key: bool = False) -> SetTexts:
    """The texts of a SET by number; refused as in `enum_texts`."""
    labels, refused = exact or column.type.labels, _refusals(column, exact)
    if refused or (in_key and is_ambiguous(column)):
        return _CheckedSets(column, labels, refused, in_key=in_key)
    return SetTexts(labels)
