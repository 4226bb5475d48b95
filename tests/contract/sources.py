"""What the contract of sources needs of each: a world that it reads (`worlds`), and one entry a stream in `SOURCES`.

A new source gets the whole contract suite by its world and its entries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from connector_runner.sources.coinbase.streams import STREAMS as COINBASE_STREAMS
from connector_runner.sources.coinbase.streams import Proof
from tests.contract.worlds import CoinbaseWorld, EthereumWorld, MysqlWorld, ScriptedWorld, Servers, World
from tests.scripted.source import STREAMS as SCRIPTED_STREAMS


class Resumes(Enum):
    """What comes after a position, beyond what all promise: that the dataset ends up the same."""

    EXACTLY = "the very same operations"
    BY_KEY = "the same keys, in the same order; a row may know less than the feed told"
    ANEW = "the state as it is, told again"
    WITH_NEWS = "nothing again; that something may lie in between is told as an incident"


@dataclass(frozen=True)
class SourceCase:
    """One stream of one source under the contract.

    Attributes:
        world: Builds the stream's world; a fresh one for each test.
        resumes: What its positions promise.
        mode: That `discover` must offer for it.
        has_rows: False where the world here can't make any.
        has_server: False if there is no server to reach.
        starts_over: Each run copies everything again, so a position of another source has no meaning and is not an error.
    """

    connector_type: str
    stream: str
    world: Callable[[Servers], World] = field(repr=False)
    resumes: Resumes = Resumes.EXACTLY
    mode: str = "live"
    variant: str = ""
    has_rows: bool = True
    has_server: bool = True
    starts_over: bool = False

    def __str__(self) -> str:
        return "-".join(part for part in (self.connector_type.lower(), self.variant, self.stream) if part)


def _scripted(stream: str) -> SourceCase:
    return SourceCase("SCRIPTED", stream, lambda _: ScriptedWorld(stream), has_server=False)


PROOFS = {
    Proof.TRADE_IDS: Resumes.BY_KEY,
    Proof.SEQUENCE: Resumes.WITH_NEWS,
    Proof.BOOK: Resumes.ANEW,
    Proof.STATE: Resumes.ANEW,
    Proof.NONE: Resumes.WITH_NEWS,
}


def _coinbase(stream: str) -> SourceCase:
    proof = COINBASE_STREAMS[stream].proof
    return SourceCase("COINBASE", stream, lambda servers: CoinbaseWorld(servers.coinbase(), stream), PROOFS[proof])


def _mysql(dialect: str, mode: str) -> SourceCase:
    is_copy = mode == "FULL_TABLE"
    return SourceCase(
        "MYSQL", mode, lambda servers: MysqlWorld(servers.database(dialect), mode, servers.new_name()),
        Resumes.ANEW if is_copy else Resumes.EXACTLY, mode=mode, variant=dialect, starts_over=is_copy,
    )  # fmt: skip


def _ethereum(stream: str, *, has_rows: bool = True) -> SourceCase:
    return SourceCase("ETHEREUM", stream, lambda servers: EthereumWorld(*servers.chain(), stream), has_rows=has_rows)


SOURCES = (
    *map(_scripted, SCRIPTED_STREAMS),
    *map(_coinbase, COINBASE_STREAMS),
    *(_mysql(dialect, mode) for dialect in ("mysql", "mariadb") for mode in MysqlWorld.CHANGES),
    *map(_ethereum, ("blocks", "transactions", "receipts", "logs", "token_transfers", "traces", "events.Transfer")),
    _ethereum("withdrawals", has_rows=False),  # the test chain has no validators
)
