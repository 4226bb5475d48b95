"""XA transactions: their rows come at the commit, and what a position before it must remember."""

from __future__ import annotations

import pytest

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql.log_reader import log_reader as log_module
from connector_runner.sources.mysql.log_reader import transaction_buffer
from connector_runner.sources.mysql.log_reader.log_batch import Again
from connector_runner.sources.mysql.log_reader.lookahead import FinishedBefore
from connector_runner.sources.mysql.server.facts import Server
from tests.unit.mysql.logs import BOTH, SERVER, Log, packet, resume, start

XA_COMMIT = "XA COMMIT X'7831',X'',1"


def prepared(*, is_mariadb: bool, table: str = "t") -> Log:
    log = Log(is_mariadb=is_mariadb)
    log.begin(10, xa=True)
    log.rows([(1, 1)], table=table)
    log.prepare()
    return log


@BOTH
def test_an_xa_commit_is_not_behind_the_position_before_it_was_answered(is_mariadb: bool) -> None:
    log = prepared(is_mariadb=is_mariadb)
    reader = resume(log, start(is_mariadb=is_mariadb)).feed(log.events)
    before = reader.position
    assert before.prepared == ("7831,",)
    commit = Log(is_mariadb=is_mariadb)
    commit.statement(11, XA_COMMIT)
    for _ in range(2):  # each start meets it again
        reader = resume(log, reader.position)
        with pytest.raises(ActionRequiredError, match="XA COMMIT") as failure:
            reader.feed(commit.events)
        assert failure.value.reason == "LogGap"
        assert reader.position == before
        assert not reader.rows
    again = resume(log, before, gaps="resnapshot").feed(commit.events)
    assert again.batches[-1].again is Again.RENEW
    assert again.position.prepared == ()
    assert again.position.gtids == ("0-1-11" if is_mariadb else f"{SERVER}:1-11")


@BOTH
@pytest.mark.parametrize(("table", "is_known"), [("t", False), ("other", False), ("other", True)])
def test_an_xa_transaction_is_harmless_only_if_its_rows_were_seen(is_mariadb: bool, table: str, is_known: bool) -> None:
    log = prepared(is_mariadb=is_mariadb, table=table) if is_known else Log(is_mariadb=is_mariadb)
    log.statement(11, XA_COMMIT)
    reader = resume(log, start(is_mariadb=is_mariadb))
    if is_known:
        reader.feed(log.events)
        assert (reader.position.others, reader.rows) == ((), [])
    else:
        with pytest.raises(ActionRequiredError, match="XA COMMIT"):
            reader.feed(log.events)


@BOTH
def test_an_xa_rollback_leaves_nothing(is_mariadb: bool) -> None:
    log = prepared(is_mariadb=is_mariadb)
    log.statement(11, "XA ROLLBACK X'7831',X'',1")
    log.begin(12)
    log.rows([(5, 5)])
    log.commit()
    reader = resume(log, start(is_mariadb=is_mariadb)).feed(log.events)
    assert reader.rows == [(5, 5)]
    assert reader.position.prepared == ()


@BOTH
def test_a_large_xa_transaction_is_neither_split_nor_kept(is_mariadb: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "BATCH_BYTES", 20)
    monkeypatch.setattr(transaction_buffer, "XA_BYTES", 200)
    log = Log(is_mariadb=is_mariadb)
    log.begin(10, xa=True)
    for number in range(50):
        log.rows([(number, number)])
    log.prepare()
    reader = resume(log, start(is_mariadb=is_mariadb))
    for event in log.events:
        reader.feed([event], is_quiet=False)
        assert reader.log_reader.waiting < 25
    reader.feed([])
    assert reader.rows == []
    assert reader.position.prepared == ("7831,",)


@BOTH
def test_only_what_was_prepared_before_is_found_as_finished(is_mariadb: bool) -> None:
    log = prepared(is_mariadb=is_mariadb)
    log.statement(11, XA_COMMIT)
    log.statement(12, "XA COMMIT X'61',X'62',1")
    log.statement(13, "XA ROLLBACK X'63',X'',1")
    log.statement(14, "XA COMMIT X'64',X'',1 ONE PHASE")
    log.statement(15, "TRUNCATE TABLE t")
    finished = FinishedBefore(Server(is_mariadb, {}))
    finished.receive_data(b"".join(packet(event) for event in log.events))
    assert [*finished.found] == ["61,62", "63,"]
