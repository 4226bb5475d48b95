"""Asks the server whether streams that stand behind the others can be read again, and from where. Blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from connector_runner.protocols.batch import Incident
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError
from connector_runner.protocols.source import Checkpoint
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.errors import LogGoneError
from connector_runner.sources.mysql.position import Progress, StreamPosition
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.server.connection import Connection, connect
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.server.queries import read_server
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.streaming.answers import later_statements
from connector_runner.sources.mysql.streaming.beginning import first_copy, position_beside, with_defaults
from connector_runner.sources.mysql.streaming.resume_check import check_resume
from connector_runner.sources.mysql.streaming.table_finder import TableFinder


@dataclass(frozen=True)
class Wish:
    """A stream that is to be read again.

    Attributes:
        stream: Its id.
        stand: Where it stands; None for one without a position.
        again: Whether it must be copied again, since the log can't be followed from there on.
    """

    stream: str
    stand: StreamPosition | None
    again: bool = False


@dataclass(frozen=True)
class Resumed:
    """Where a stream can be read from.

    Attributes:
        start: The position.
        rows: The estimated number of rows of its table.
        incident: Why the dataset's table must be emptied first, if it must.
    """

    start: StreamPosition
    rows: int | None
    incident: Incident | None = None


class Resuming:
    """Asks one server, over a new connection each time.

    Args:
        settings: How the server is reached, and what is done about a gap.
        server: The server that the positions are of.

    Attributes:
        server: The same server as it was when it was asked last: grants and settings change while a stream waits.
    """

    def __init__(self, settings: Settings, server: Server) -> None:
        self._settings, self._identity = settings, server.identity
        self.server, self._has_gtids = server, server.has_gtids

    def ask(self, wishes: Sequence[Wish], shared: LogPosition) -> list[Resumed | ConnectorError]:
        """Where each stream can be read from, or why it can't.

        Args:
            wishes: The streams.
            shared: Where the other streams are; streams without a position begin there.

        Raises:
            ConnectorError: The server can't be asked.
        """
        connection = connect(self._settings, purpose="discovery")
        try:
            server = read_server(connection)
            self.server = server if self._has_gtids else server.without_gtids()
            finder = TableFinder(connection, server, self._settings)
            answers: list[Resumed | ConnectorError] = []
            for wish in wishes:
                try:
                    answers.append(self._answer(connection, server, finder, wish, shared))
                except ActionRequiredError as error:
                    answers.append(error)
            return answers
        except Exception as error:
            raise translate(error, "looking at tables that are not followed") from error.__cause__
        finally:
            connection.discard()

    def _answer(
        self, connection: Connection, server: Server, finder: TableFinder, wish: Wish, shared: LogPosition
    ) -> Resumed | ConnectorError:
        stand, incident = wish.stand, None
        if stand is None:
            table = finder.find(wish.stream, None)
            start = position_beside(shared, table.definition, first_copy(self._settings))
        else:
            is_known = not wish.again  # else a table that was dropped must be there again
            table = finder.find(wish.stream, Checkpoint(stand.to_json(), self._identity, "") if is_known else None)
            why = "the log can't be followed from there on"
            try:
                log = check_resume(connection, self._settings, server, self._identity, stand.log)
                if is_known:
                    definition = with_defaults(stand.definition, table.definition)
                    return Resumed(replace(stand, log=log, definition=definition), table.rows)
            except LogGoneError as error:
                if not self._settings.resnapshots:
                    raise
                why = error.message
            message = f"{wish.stream} was paused, and {why}; the table is copied again"
            incident = Incident("resnapshot", wish.stream, message, {})
            start = position_beside(shared, table.definition, Progress(is_cleared=False))
            start = replace(start, parked=stand.parked)
        if later_statements(self._settings, server, [table.definition], shared):
            return TransientError(f"{wish.stream} was altered, and the other streams have not read that far yet")
        return Resumed(start, table.rows, incident)
