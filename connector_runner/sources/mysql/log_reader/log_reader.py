"""Changes of tables from the replication stream, as a sans-I/O object: bytes in, batches out, questions out.

Like a protocol of the `websockets` library, it is driven by the owner of the connection:

    reader.receive_data(block)                      # or receive_idle(), when nothing more has arrived
    while ...:
        batches = reader.events_received()          # hand them over
        for question in reader.questions_to_ask():  # ask the server
            reader.receive_answer(answer)

until there is neither a batch nor a question.
"""

from __future__ import annotations

from connector_runner.protocols.errors import ConnectorError, TransientError
from connector_runner.sources.mysql.binlog.frames import Frames
from connector_runner.sources.mysql.binlog.packets import PacketSplitter
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.ddl.effects import Effect
from connector_runner.sources.mysql.log_reader.binlog_decoder import BinlogDecoder
from connector_runner.sources.mysql.log_reader.decisions import Asking, Decisions
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch
from connector_runner.sources.mysql.log_reader.questions import Answer, Context, Decision, Question
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.types.names import TableName
from connector_runner.sources.mysql.types.table import TableDefinition

# Batches are handed over at this size in bytes, also in the middle of a transaction.
BATCH_BYTES = 256 << 10
# Each table's batch costs something by itself, in the reader and in the dataset. If many tables have rows, more is collected: as much
# again for so many tables, up to four times as much.
TABLES_AS_MUCH, MOST_TIMES = 64, 4
# The position is handed over at least once in as much log, also when it is all of other tables.
QUIET_BYTES = 16 << 20


class LogReader:
    """Reads the changes of one or more tables out of the log.

    Args:
        settings: The configuration: it decides whether a gap leads to a new copy.
        server: The server's facts.
        definition: The (first) table at `position`.
        position: The position at which the stream of bytes starts.
        others: Further tables, each with its position, at the same offset of the log.
        isolates: Whether a table that can't be followed any further is left out (see `LogBatch.failure`) while the others continue.
        until: Where to stop: exactly at this end of an event, or right after it; None to read on for ever.

    Attributes:
        isolates: See above.
        end: Where it has stopped, once everything up to there was handed over.
    """

    def __init__(
        self, settings: Settings, server: Server, definition: TableDefinition, position: LogPosition,
        *others: tuple[TableDefinition, LogPosition], isolates: bool = False, until: LogPosition | None = None,
    ) -> None:  # fmt: skip
        self._until = until
        self.end: LogPosition | None = None
        self.isolates = isolates
        self._decoder = BinlogDecoder(
            definition,
            position,
            *others,
            isolates=isolates,
            is_mariadb=server.is_mariadb,
            has_gtids=server.has_gtids,
            folds_case=server.folds_case,
            charsets=server.charsets,
        )
        self._decisions = Decisions(settings, server, waits=not isolates)
        self._frames = Frames(self._decoder.take_in)
        self._packets = PacketSplitter(self._receive_event)
        self._data, self._at, self._quiet = b"", 0, 0
        self._is_half_decided = False  # an interruption of several tables is decided for only some of them
        self._is_full = False  # a batch is as large as it should be; asked once after each event, since XA rows can't be handed over
        self._ready: list[LogBatch] = []
        self._deciding: Asking[Decision] | None = None
        self._question: Question | None = None
        self._missing: frozenset[TableName] = frozenset()
        self._missing_since = LogPosition()
        self._denied: frozenset[TableName] = frozenset()
        self._doubted: frozenset[TableName] = frozenset()

    @property
    def tables(self) -> list[TableName]:
        """(database, name) of the tables that are followed."""
        definitions = [table.definition for table in self._decoder.tables.values()]
        return [(definition.database, definition.name) for definition in definitions]

    @property
    def waiting(self) -> int:
        """How many rows wait to be handed over, including those of the open transaction."""
        return self._decoder.waiting

    def receive_data(self, data: bytes) -> None:
        """Receives bytes of the stream as the server sends them, split anywhere."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0
        self._quiet += len(data)

    def receive_idle(self) -> None:
        """To be called when nothing more has arrived: finished transactions are handed over; the log is read up to now."""
        self._take(is_at_end=True)
        if (
            self._missing
            and not self._decoder.buffer.is_open
            and self._decoder.state.position().has_reached(self._missing_since)
        ):
            missing, self._missing = self._missing, frozenset()
            self._decoder.lose(missing, Effect.VANISHED)
        if self._denied and not self._decoder.buffer.is_open:
            denied, self._denied = self._denied, frozenset()
            self._decoder.lose(denied, Effect.DENIED)

    def receive_missing(self, tables: frozenset[TableName], position: LogPosition) -> None:
        """Receives which tables the server does not have any more.

        Such a table is lost if the log up to the position, which has every statement that removed it, does not show that.
        """
        self._missing, self._missing_since = tables, position

    def receive_denied(self, tables: frozenset[TableName]) -> None:
        """Receives which tables the account may not read; one that is among them twice in a row is left out if the others continue.

        The log goes on for it, but it could not be copied again, nor would its next start be allowed.
        """
        if self.isolates:
            self._denied = tables & (self._doubted | self._denied)
            self._doubted = tables - self._denied

    @property
    def has_doubts(self) -> bool:
        """Whether tables may not be read which will be left out if that is still so."""
        return bool(self._doubted)

    def events_received(self) -> list[LogBatch]:
        """The next batches of rows and positions, of about `BATCH_BYTES` together; to be called until there are none.

        Raises:
            ConnectorError: The log can't be read any further; all batches before that were returned by earlier calls.
        """
        while not self._ready and self._question is None:
            decoder = self._decoder
            if decoder.pending:
                self._decide()
            elif self._is_full:
                self._is_full = False
                if self._is_enough():
                    self._take_part()
            elif decoder.replays:
                decoder.replay_next()
                self._is_full = self._is_enough()
            elif self._frames.payload is not None:
                self._frames.unpack()
                self._is_full = self._is_enough()
            elif self._has_arrived:
                self._take()
                self.end = decoder.state.position()
                break
            elif not self._parse():
                break
        ready, self._ready = self._ready, []
        return ready

    def questions_to_ask(self) -> list[Question]:
        """The question that must be answered before more of the log can be read: at most one; see `receive_answer`."""
        return [] if self._question is None else [self._question]

    def receive_answer(self, answer: Answer) -> None:
        """Receives the answer to the question.

        Raises:
            ActionRequiredError: By this answer, the table can't be followed any further; the message names the statement.
        """
        self._question = None
        self._go_on(answer)

    # --- events

    def _receive_event(self, buffer: bytes, start: int, end: int) -> bool:
        """Receives an event; returns whether something must be done before the next one."""
        self._frames.feed(buffer, start, end)
        self._is_full = self._decoder.buffer.size >= BATCH_BYTES and self._is_enough()
        decoder = self._decoder
        return (
            self._is_full or bool(decoder.pending) or decoder.replays or self._frames.payload is not None or self._has_arrived
        )  # fmt: skip

    def _is_enough(self) -> bool:
        """Whether the rows that wait should be handed over."""
        buffer = self._decoder.buffer
        if buffer.size < BATCH_BYTES:
            return False
        more = min(buffer.tables_waiting - 1, TABLES_AS_MUCH * (MOST_TIMES - 1))
        return buffer.size >= BATCH_BYTES + BATCH_BYTES * more // TABLES_AS_MUCH

    @property
    def _has_arrived(self) -> bool:
        until, decoder = self._until, self._decoder
        return until is not None and not decoder.buffer.is_open and decoder.state.has_reached(until)

    def _parse(self) -> bool:
        """Parses more of the bytes that have arrived; False at their end."""
        before, self._at = self._at, self._packets.split(self._data, self._at)
        if self._packets.has_ended:
            raise TransientError("the server ended the stream of its log")
        if self._at > before:
            return True
        if self._quiet > QUIET_BYTES:
            self._take()
        return False

    # --- batches and decisions

    def _take(self, *, whole: bool = True, is_at_end: bool = False) -> bool:
        """Prepares batches; returns whether they have rows."""
        batches = self._decoder.take(whole=whole)
        if whole and (is_at_end or self._quiet > QUIET_BYTES):
            self._quiet = 0
        for batch in batches:
            batch.is_at_end = is_at_end
        self._ready += batches
        return any(batch.rows for batch in batches)

    def _take_part(self) -> None:
        """Takes the finished transactions; if they have no rows, also the arrived part of the open one."""
        if not self._take():
            self._take(whole=False)

    def _decide(self) -> None:
        if self._deciding is None:
            decoder = self._decoder
            assert decoder.interruption is not None  # noqa: S101 - asked by the caller
            if not self._is_half_decided:
                self._take()  # rows under the old definition are a separate batch
            context = Context(
                decoder.interrupted.definition, decoder.state.position(), decoder.statements, frozenset(decoder.tables)
            )  # fmt: skip
            self._deciding = self._decisions.decide(decoder.interruption, context)
            if self._ready:
                return
        self._go_on(None)

    def _go_on(self, answer: Answer) -> None:
        """Continues the decision to its next question or its end."""
        deciding, self._deciding = self._deciding, None
        assert deciding is not None  # noqa: S101 - an answer without a question
        try:
            self._question = deciding.send(answer)
            self._deciding = deciding
            return
        except StopIteration as end:
            decision: Decision = end.value
            if decision.replay is None:
                self._decoder.adopt(decision.definition, again=decision.again, incident=decision.incident)
            else:
                self._decoder.replay(decision.replay)
            self._missing -= {
                (decision.definition.database, decision.definition.name)
            }  # the log shows what happened to it
        except ConnectorError as error:
            if not self.isolates:
                raise
            self._decoder.give_up(error)
        # A statement on several tables is handed over with the decisions for all of them.
        self._is_half_decided = bool(self._decoder.pending)
        if not self._is_half_decided:
            self._take()
