"""Names as the server compares them."""

from __future__ import annotations

TableName = tuple[str, str]


def fold_table(name: TableName, *, folds_case: bool) -> TableName:
    """A table's (database, name) as it is compared.

    Args:
        name: As it was written.
        folds_case: Whether lower_case_table_names is not 0.
    """
    return (fold_column(name[0]), fold_column(name[1])) if folds_case else name


def fold_column(name: str) -> str:
    """A column's or index's name as it is compared: case is always ignored.

    Servers fold fewer letters than this (verified letter by letter): two names that are equal to a server are equal here.
    """
    return "".join(character.lower()[:1] for character in name)
