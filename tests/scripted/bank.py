"""Many streams of one reader, as a pure function of settings: money moves between accounts of different tables, each move in one
source transaction, so that the sum over all tables never changes; with a source that copies, catches up, joins and breaks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from connector_runner.protocols.batch import Batch, Position, Row
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.source import Checkpoint, Opened
from connector_runner.protocols.types import INT64, STRING
from connector_runner.schemas.catalogue import Catalogue
from tests.kit.pipeline import Reporting

COLUMNS = (Column("id", INT64, nullable=False), Column("balance", INT64), Column("moved", INT64))
OPENING = 1000
Balances = dict[int, tuple[int, int]]


@dataclass(frozen=True)
class Bank:
    """What is streamed.

    Attributes:
        seed: The seed of everything.
        tables, accounts: The number of tables, and of accounts in each table.
        moves: The number of moves; the n-th takes the reader from position n to n + 1.
        wide_from: From this move on the table `t1` has one more column.
    """

    seed: int = 1
    tables: int = 3
    accounts: int = 4
    moves: int = 200
    wide_from: int = 1 << 30

    @property
    def streams(self) -> tuple[str, ...]:
        return tuple(f"t{number}" for number in range(self.tables))

    @property
    def total(self) -> int:
        return self.tables * self.accounts * OPENING

    def schema(self, stream: str, move: int) -> StreamSchema:
        is_wide = stream == "t1" and move >= self.wide_from
        return StreamSchema(stream, (*COLUMNS, Column("note", STRING)) if is_wide else COLUMNS, ("id",))

    @cached_property
    def _moves(self) -> list[tuple[tuple[str, int], tuple[str, int], int]]:
        random_ = random.Random(self.seed)
        found = []
        for _ in range(self.moves):
            giver, taker = random_.sample(self.streams, 2)
            account = random_.randrange
            found.append(((giver, account(self.accounts)), (taker, account(self.accounts)), random_.randrange(1, 90)))
        return found

    @cached_property
    def _states(self) -> list[dict[str, Balances]]:
        state: dict[str, Balances] = {
            stream: dict.fromkeys(range(self.accounts), (OPENING, -1)) for stream in self.streams
        }
        states = [state]
        for number, (giver, taker, amount) in enumerate(self._moves):
            state = dict(state)
            for (stream, account), change in ((giver, -amount), (taker, amount)):
                state[stream] = {**state[stream], account: (state[stream][account][0] + change, number)}
            states.append(state)
        return states

    def sides(self, move: int) -> tuple[str, str]:
        """The streams that a move touches, in order."""
        giver, taker, _ = self._moves[move]
        return giver[0], taker[0]

    def row(self, move: int, stream: str) -> Row:
        """The row of the move's account in that stream after the move."""
        giver, taker, _ = self._moves[move]
        account = giver[1] if giver[0] == stream else taker[1]
        return self._row(stream, account, move + 1, move)

    def rows(self, stream: str, moves: int) -> list[Row]:
        """The table after this many moves, as it is copied."""
        return [self._row(stream, account, moves, moves) for account in range(self.accounts)]

    def _row(self, stream: str, account: int, moves: int, move: int) -> Row:
        row = (account, *self._states[moves][stream][account])
        return (*row, f"note {move}") if len(self.schema(stream, move).columns) > len(COLUMNS) else row

    def balances(self, stream: str, moves: int | None = None) -> list[tuple[int, int]]:
        """The expected rows: (account, balance)."""
        state = self._states[self.moves if moves is None else moves][stream]
        return [(account, balance) for account, (balance, _) in sorted(state.items())]


class NumberedBank(Bank):
    """Accounts have numbers of their own in each table, so that a posted record says whose it is."""

    def _row(self, stream: str, account: int, moves: int, move: int) -> Row:
        return (self._number(stream, account), *super()._row(stream, account, moves, move)[1:])

    def _number(self, stream: str, account: int) -> int:
        return 100 * self.streams.index(stream) + account

    def state(self, stream: str, moves: int) -> dict[int, int]:
        """The balances by the accounts' numbers after so many moves."""
        return {self._number(stream, account): balance for account, balance in self.balances(stream, moves)}


class BankSource(Reporting):
    """See the module.

    Args:
        bank: What is streamed.
        break_every: The connection is lost after this many batches; 0 for never.
        until: After this many moves the streams end, or stay quiet if `endless`.
    """

    def __init__(self, bank: Bank, *, break_every: int = 0, until: int | None = None, endless: bool = False) -> None:
        self._bank = bank
        self._break_every = break_every
        self._until = bank.moves if until is None else until
        self._endless = endless
        self._at: dict[str, tuple[int, int] | None] = {}
        self.opened_at: list[Mapping[str, Checkpoint | None]] = []

    async def discover(self, selected: str | None, also: Collection[str] = ()) -> Catalogue:
        return Catalogue((), 0)

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        self.opened_at.append(dict(checkpoints))
        self._at = {
            stream: (found.position["next"], found.position["part"]) if found is not None else None
            for stream, found in checkpoints.items()
        }
        if self.report is not None:
            self.report.connected()
        schemas = {stream: self._bank.schema(stream, at[0] if at else 0) for stream, at in self._at.items()}
        return Opened(schemas, "bank")

    async def batches(self) -> AsyncIterator[Batch]:
        for count, batch in enumerate(self._batches(), 1):
            yield batch
            if self._break_every and count == self._break_every:
                raise TransientError("the bank hangs up", retry_after=0)
        if self._endless:
            await asyncio.Event().wait()

    async def close(self) -> None:
        pass

    def _batches(self) -> Iterator[Batch]:
        reader = max((at for at in self._at.values() if at is not None), default=(0, 0))
        behind = {stream: at for stream, at in self._at.items() if at is not None and at < reader}
        for (
            stream,
            at,
        ) in behind.items():  # stored before anything else: with the reader's position alone they would move with it
            place = {**position_of(at), "schema": 1}
            schema = self._bank.schema(stream, at[0])
            yield Batch(schema, (), position_of(reader), place=place, more=stream != next(reversed(behind)))
        for stream, at in behind.items():
            yield from self._catch_up(stream, at, reader)
        new = [stream for stream, at in self._at.items() if at is None]
        for stream in new:  # all at once, so that the sum is right from the first state on
            yield self._copy(stream, reader, more=stream != new[-1])
        move, part = reader
        while move < self._until:
            sides = [stream for stream in self._bank.sides(move) if stream in self._at]
            for side, stream in enumerate(sides):
                is_last = side == len(sides) - 1
                if not (part and side == 0 and not is_last):
                    position = {"next": move + 1, "part": 0} if is_last else {"next": move, "part": 1}
                    yield self._batch(stream, move, position, {"schema": 1}, more=not is_last)
            move, part = move + 1, 0

    def _batch(self, stream: str, move: int, position: Position, place: Position, *, more: bool = False) -> Batch:
        row = self._bank.row(move, stream)
        return Batch(self._bank.schema(stream, move), [row], position, size=50, place=place, more=more)

    def _copy(self, stream: str, reader: tuple[int, int], *, more: bool) -> Batch:
        """Copies the table at the reader's position."""
        moves = reader[0] + (1 if reader[1] and self._bank.sides(reader[0])[0] == stream else 0)
        schema = self._bank.schema(stream, moves)
        return Batch(
            schema, self._bank.rows(stream, moves), position_of(reader), size=99, place={"schema": 1}, more=more
        )

    def _catch_up(self, stream: str, at: tuple[int, int], reader: tuple[int, int]) -> Iterator[Batch]:
        """Reads a parked stream alone up to the reader's position; then it joins."""
        end = reader[0] + (1 if reader[1] and self._bank.sides(reader[0])[0] == stream else 0)
        for move in range(at[0], end):
            if stream in self._bank.sides(move):
                place = {"next": min(move + 1, reader[0]), "part": 0, "schema": 1}
                yield self._batch(stream, move, position_of(reader), place)
        schema = self._bank.schema(stream, max(at[0], end - 1))
        yield Batch(schema, (), position_of(reader), place={"schema": 1})


def position_of(reader: tuple[int, int]) -> dict[str, Any]:
    return {"next": reader[0], "part": reader[1]}
