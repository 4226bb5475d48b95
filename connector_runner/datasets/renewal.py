"""What is left to alter in the transaction that removes all rows of a table, after which all come again. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from connector_runner.protocols.batch import Batch, Operation, first_renews
from connector_runner.protocols.sink import Transaction


class Renewal:
    """Statements that belong to one transaction: the first one that renews the table, each time that it is tried."""

    def __init__(self, statements: Sequence[str]) -> None:
        self._statements, self._number = tuple(statements), 0

    def of(self, transaction: Transaction) -> Sequence[str]:
        """Those to run in a transaction of this stream, once its table is empty; none in any other."""
        if not self._statements or not first_renews(transaction.batches):
            return ()
        self._number = self._number or transaction.number
        return self._statements if transaction.number == self._number else ()


def clearing(batches: Sequence[Batch]) -> Batch:
    """A batch that removes all rows, in front of these."""
    first = batches[0]
    return Batch(first.schema, [()], first.position, bytes([Operation.REPLACE]))
