"""The ledger's part for one stream: the names of its tables, dead letters, incidents, and its row in the checkpoint table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence

from connector_runner.datasets.dead_letters import DeadLetter, Refusals, incident_row, incident_rows
from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.ledger_statements import build_table_statements
from connector_runner.datasets.names import TableNames
from connector_runner.datasets.procedure import Statement
from connector_runner.protocols.batch import Batch, Incident, Position
from connector_runner.protocols.errors import ActionRequiredError, InvalidConfigError, SchemaConflictError
from connector_runner.protocols.sink import SinkContext


class StreamLedger:
    """The ledger of one stream of the selection.

    Attributes:
        stream: The stream's id.
        spelled: Its table as the selection spells it.
        names: The names of its tables.
        is_located: Whether their schema was found.
        key: The key of its row: connector, stream, table; of a table in another schema than the ledger with that schema.
        refusals: The counter of its refused rows.
    """

    def __init__(self, context: SinkContext, dialect: Dialect, stream: str, table: str) -> None:
        names = dialect.parse_table(table)
        self.stream, self.spelled = stream, table
        self.is_located = False
        self.key = (context.connector, stream, dialect.table_key(names))
        self.refusals = Refusals(context.refused_rows, context.refusal_limit)
        self._dialect = dialect
        self._name(names)

    @property
    def owner(self) -> tuple[str, str]:
        """Connector and stream, which own the rows."""
        return self.key[:2]

    def locate(self, names: TableNames) -> None:
        """Sets the names of the tables, with the schema that the database has found."""
        self.is_located = True
        self._name(names)

    def settle(self, home: str) -> None:
        """Sets the row's key, for a ledger in this schema."""
        names = self.names
        table = self._dialect.table_key(names) if names.schema == home else names.text
        self.key = (*self.owner, table)

    def _name(self, names: TableNames) -> None:
        self.names = names
        self.sql = build_table_statements(names, self._dialect)

    def dead_letter(self, letter: DeadLetter, place: str = "") -> Statement:
        """Counts a refused row, and stores it.

        Args:
            letter: The row.
            place: What refused it, for messages; by default the table.

        Raises:
            ActionRequiredError: Refused rows are configured to end the run, or there are too many.
        """
        self.refusals.refused(letter, place or self.names.text)
        return Statement(
            self.sql.dead_letter, [*self.owner, letter.reason, letter.operation, letter.position, letter.row]
        )

    def incidents(self, batches: Sequence[Batch]) -> list[Statement]:
        """Statements for the incidents in batches of this stream."""
        return [Statement(self.sql.incident, [*self.owner, *row]) for row in incident_rows(batches)]

    def incident(self, incident: Incident, position: Position | None) -> Statement:
        """The statement for an incident at a position without a batch."""
        row = incident_row(incident, {} if position is None else position)
        return Statement(self.sql.incident, [*self.owner, *row])


class _ByStream(dict[str, StreamLedger]):
    """Stream → its part. A single one is found by any id: a source may spell it otherwise than it was selected (names that fold case)."""

    def __missing__(self, stream: str) -> StreamLedger:
        if len(self) != 1:
            raise KeyError(stream)
        (only,) = self.values()
        return only


Failures = MutableMapping[str, ActionRequiredError]


def build_stream_ledgers(
    context: SinkContext, dialect: Dialect, failures: Failures, *, append: bool
) -> MutableMapping[str, StreamLedger]:
    """Builds the ledger's parts by stream.

    Args:
        context: The selection.
        dialect: The dialect of the ledger's database.
        failures: Gets the streams that are left out, with the reason; only if the context isolates streams.
        append: Whether streams may share a table.

    Raises:
        InvalidConfigError: A table's name is not valid.
        SchemaConflictError: Two streams use the same table, or one uses a table that the ledger keeps for another.
    """
    ledgers = _ByStream()
    for stream, table in context.tables.items():
        try:
            ledgers[stream] = StreamLedger(context, dialect, stream, table)
        except InvalidConfigError as error:
            if not context.isolates:
                raise
            failures[stream] = error
    for stream, meeting in find_meetings(ledgers.values(), dialect, append=append).items():
        if not context.isolates:
            raise meeting
        failures[stream] = meeting
        del ledgers[stream]
    return ledgers


def find_meetings(streams: Iterable[StreamLedger], dialect: Dialect, *, append: bool) -> dict[str, SchemaConflictError]:
    """The streams that use a table that an earlier one has, each with the error that says so."""
    found: dict[str, SchemaConflictError] = {}
    taken: dict[str, StreamLedger] = {}
    for ledger in streams:
        names = _tables_of(ledger, dialect)
        others = [other for name in names if (other := taken.get(name)) is not None]
        meeting = next((other for other in others if not (append and other.key[2] == ledger.key[2])), None)
        if meeting is not None:
            found[ledger.stream] = _explain_meeting(meeting, ledger)
            continue
        for name in names:
            taken.setdefault(name, ledger)
    return found


def _explain_meeting(other: StreamLedger, ledger: StreamLedger) -> SchemaConflictError:
    return SchemaConflictError(
        f"streams {other.stream} and {ledger.stream} meet in one table: {other.names.text} and {ledger.names.text}, "
        "each with its _dead_letters and _incidents beside it; give one of them another table"
        + (", or set writeMode: append on the Dataset" if other.key[2] == ledger.key[2] else "")
        + "; nothing was written"
    )


def _tables_of(ledger: StreamLedger, dialect: Dialect) -> Sequence[str]:
    """The names of all tables of a stream, as the database distinguishes them."""
    names = ledger.names
    return [
        f"{names.schema}\0{dialect.table_key(TableNames(names.schema, f'{names.table}{suffix}'))}"
        for suffix in ("", "_dead_letters", "_incidents")
    ]
