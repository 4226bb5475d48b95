"""Reads the words of a statement one by one: keywords, names, tables. No I/O."""

from __future__ import annotations

from connector_runner.sources.mysql.ddl.tokens import Token
from connector_runner.sources.mysql.types.names import TableName, fold_table


class Reader:
    """Reads a statement's tokens from left to right.

    Args:
        tokens: The statement's tokens.
        database: The database that it ran in.
        folds_case: Whether lower_case_table_names is not 0.
    """

    def __init__(self, tokens: list[Token], database: str, *, folds_case: bool = False) -> None:
        self.tokens, self.database, self.folds_case, self.at = tokens, database, folds_case, 0

    def peek(self) -> str:
        """The next token's key; "" at the end."""
        return self.tokens[self.at].key if self.at < len(self.tokens) else ""

    def take(self, *keys: str) -> bool:
        """Skips these words if they come next, in this order; returns whether they did."""
        found = [token.key for token in self.tokens[self.at : self.at + len(keys)]]
        if found != list(keys):
            return False
        self.at += len(keys)
        return True

    def skip(self, *keys: str) -> None:
        """Skips each of these words, as long as one comes next."""
        while self.peek() in keys:
            self.at += 1

    def name(self) -> str:
        """The next token as a name."""
        self.at += 1
        return self.tokens[self.at - 1].name if self.at <= len(self.tokens) else ""

    def table(self) -> TableName:
        """A table's name, with its database."""
        if self.take("."):  # `.t` is the t of the current database
            return self._fold((self.database, self.name()))
        first = self.name()
        return self._fold((first, self.name()) if self.take(".") else (self.database, first))

    def tables(self) -> list[TableName]:
        """Table names with commas between them."""
        names = [self.table()]
        while self.take(","):
            names.append(self.table())
        return names

    def rest(self) -> list[Token]:
        """The tokens that were not read."""
        return self.tokens[self.at :]

    def _fold(self, name: TableName) -> TableName:
        return fold_table(name, folds_case=self.folds_case)
