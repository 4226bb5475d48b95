"""The pure parts of the net under tests/fuzz/mysql: it draws the same from the same seed, tells rows apart, and makes histories short."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.fuzz.mysql.draw import Dialect, Draw
from tests.fuzz.mysql.grammar.beginnings import ANY, MARIADB, MYSQL, draw_beginning
from tests.fuzz.mysql.grammar.kinds import KINDS
from tests.fuzz.mysql.grammar.motifs import MOTIFS, in_other_words
from tests.fuzz.mysql.grammar.scene import Scene, Session
from tests.fuzz.mysql.grammar.statements import LAST
from tests.fuzz.mysql.grammar.tables import create_table, random_type
from tests.fuzz.mysql.oracle import Truth, differences
from tests.fuzz.mysql.running.verdict import VANISHED, Said, judge_error, needless_gap, repeated_loss
from tests.fuzz.mysql.shapes import Column, Index, Shape
from tests.fuzz.mysql.shrinking import shrink_steps
from tests.fuzz.mysql.steps import LOST_EVENTS, CopyOnce, History, Step
from tests.fuzz.mysql.values import literal

DIALECTS = [
    Dialect(is_mariadb, version, {"utf8mb4": ["utf8mb4_bin"], "latin1": ["latin1_bin"], "gbk": ["gbk_bin"]})
    for is_mariadb, version in ((False, (8, 0, 31)), (False, (9, 7, 4)), (True, (10, 11)), (True, (11, 8, 9)))
]
SHAPE = Shape(
    (
        Column("k0", "int", "int(11)", nullable=False), Column("v", "varchar", "varchar(20)", charset="utf8mb4", collation="utf8mb4_bin"),
        Column("n", "decimal", "decimal(10,2)"), Column("js0", "json", "json", is_json=True), Column("w", "int", "int(11)", nullable=False),
    ),
    (Index("PRIMARY", ("k0",), is_unique=True, is_usable=True), Index("i1", ("v",), is_unique=False, is_usable=False)),
    engine="InnoDB",
)  # fmt: skip


def scene() -> Scene:
    return Scene("t", SHAPE, {name: Session(name) for name in "abc"})


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_same_seed_draws_the_same(dialect: Dialect) -> None:
    def drawn() -> list[object]:
        draw, place = Draw("seed", dialect), scene()
        return [create_table(draw), *(kind.write(place, draw) for kind in [*KINDS, *MOTIFS, *LAST] for _ in range(5))]

    assert drawn() == drawn()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_kind_can_be_drawn(dialect: Dialect) -> None:
    draw = Draw("kinds", dialect)
    name = "mariadb" if dialect.is_mariadb else "mysql"
    for kind in [*KINDS, *MOTIFS, *LAST]:
        found = [kind.write(scene(), draw) for _ in range(60)]
        assert any(found) == kind.is_of(name), kind.name


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_beginning_can_be_drawn(dialect: Dialect) -> None:
    draw = Draw("beginnings", dialect)
    found = [draw_beginning("we`ird", draw) for _ in range(400)]
    assert len({beginning.kind for beginning in found}) == len(ANY) + len(MARIADB if dialect.is_mariadb else MYSQL)
    assert all(any("CREATE TABLE `we``ird` (" in step.sql for step in beginning.steps) for beginning in found)


def test_a_favoured_family_is_drawn_more_often() -> None:
    draw = Draw("favoured", DIALECTS[0])
    seldom = sum(draw.favouring({"a": 1.0, "b": 1.0}) == "a" for _ in range(400))
    draw.favoured = frozenset("a")
    assert sum(draw.favouring({"a": 1.0, "b": 1.0}) == "a" for _ in range(400)) > seldom + 50


def test_a_table_is_named_in_a_session_s_own_way() -> None:
    """A name beyond ASCII in a session that writes another character set; a name with quotes in one that quotes by them."""
    draw = Draw("words", DIALECTS[0])
    for table, setting in (
        ("größe", "SET NAMES latin1"),
        ("表", "SET NAMES gbk"),
        ('we"ird', "SET SESSION sql_mode = 'ANSI_QUOTES'"),
    ):
        found = [in_other_words(Scene(table, SHAPE, {"a": Session("a")}), draw) or [] for _ in range(40)]
        first = [words[0].sql for words in found if words and isinstance(words[0], Step)]
        assert setting in first, table


GAP = "LogGap: d.t: rows changed by a statement, which the log does not show row by row: "


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        (f"{GAP}DELETE FROM t WHERE id > 1. Set onLogGap", "told"), (f"{GAP}UPDATE t SET v = 'of a temporary one'. Set", "needless"),
        ("LogGap: d.t: something", "vague"), ("Preflight: the foreign key", "told"),
        ("SchemaConflict: table rows can't hold stream d.t: column", "conflict"),
    ],
)  # fmt: skip
def test_an_error_is_judged_by_what_it_names(message: str, outcome: str) -> None:
    said = [
        Said("logged as a statement", "DELETE FROM t WHERE id > 1"),
        Said("temporary namesake", "UPDATE t SET v = 'of a temporary one'"),
        Said("transaction", "BEGIN"),
    ]
    assert judge_error(message, said, is_told=True, has_begun=True) == outcome
    assert judge_error(message, said, is_told=False, has_begun=True) == "crash"
    assert bool(needless_gap(message.replace("LogGap", "resnapshot"), said)) == (outcome in {"needless", "vague"})  # fmt: skip


@pytest.mark.parametrize(("has_failed", "outcome"), [(True, "told"), (False, "vague")])
def test_a_table_is_gone_unsaid_only_where_the_statement_failed(has_failed: bool, outcome: str) -> None:
    said = [Said("create or replace database", "Create OR REPLACE DATABASE `h1`", has_failed)]
    message = f"TableGone: h1.t is gone, and {VANISHED} (a CREATE OR REPLACE DATABASE that failed)"
    assert judge_error(message, said, is_told=True, has_begun=True) == outcome


def test_rows_read_again_for_nothing_are_needless() -> None:
    unnamed = "refresh: d.t: rows may have changed without the log showing it by: a statement before the log's rows; they are read again"
    plain, kept_out = (
        Said("insert", "INSERT INTO t VALUES (1)"),
        Said("unlogged alteration", "SET SESSION sql_log_bin = 0"),
    )
    assert needless_gap(unnamed, [plain]) == unnamed
    assert needless_gap(unnamed, [plain, kept_out]) == ""
    alterations = [
        Said("modify column", "ALTER TABLE t MODIFY v INT"),
        Said("add column", "/*!99999 DROP */ ALTER TABLE t ADD c INT"),
    ]
    assert needless_gap(unnamed, [*alterations, plain]) == ""
    assert needless_gap(unnamed, [*alterations, plain], [plain]) == unnamed
    assert (
        needless_gap(
            "refresh: d.t: … by: ALTER TABLE t ADD c INT DEFAULT 1",
            [Said("add column", "ALTER TABLE t ADD c INT DEFAULT 1")],
        )
        == ""
    )


def test_a_run_that_ends_by_itself_is_kept_as_text() -> None:
    copy = CopyOnce("append", {"mode": "FULL_TABLE"}, "the view")
    assert CopyOnce.from_text(copy.to_text()) == copy


def test_each_row_of_the_docs_is_in_the_table_of_kinds() -> None:
    """The table of statements in docs/mysql.md is the source's own list; each row has kinds here, by the words it begins with."""
    page = (Path(__file__).parents[3] / "docs" / "mysql.md").read_text()
    table = page.split("<!-- begin: statements -->")[1].split("<!-- end: statements -->")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines()[3:] if line.startswith("|")]
    assert len(rows) >= 8
    known = [re.sub(r"\W+", " ", kind.row).split() for kind in [*KINDS, *LAST]]
    for row in rows:
        words = re.sub(r"\W+", " ", row).split()
        assert any(words[:2] == other[:2] for other in known), f"no kind for the row {row!r}"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_type_has_values(dialect: Dialect) -> None:
    draw = Draw("types", dialect)
    for _ in range(500):
        kind = random_type(draw)
        base = kind.split("(")[0].split(" ")[0].lower()
        text = kind.split(" CHARACTER SET")[0].replace("ENUM", "enum").replace("SET(", "set(")
        charset = "utf8mb4" if base in {"char", "varchar", "text", "enum", "set"} else ""
        assert literal(
            Column("c", base, text.lower() if base not in {"enum", "set"} else text, charset=charset), draw, nulls=0
        )


def test_differences_are_told_by_column() -> None:
    truth = Truth(SHAPE, Counter({("1", "41", "0.50", None, "2"): 1, ("2", None, None, None, "2"): 1}))
    assert differences(truth, Counter(truth.rows)) == ""
    text = differences(truth, Counter({("1", "42", "0.50", None, "2"): 1}))
    assert "2 rows differ or are missing, 1 are too many, of 2" in text
    assert "v: '41' is stored as '42'" in text
    assert "missing: {'k0': '2'" in text


async def test_only_what_is_needed_is_left() -> None:
    steps = [Step("x", str(number)) for number in range(40)]
    needed = {steps[3], steps[17], steps[31]}

    async def fails(found: list[Step]) -> bool:
        return needed <= set(found)

    assert set(await shrink_steps(steps, fails)) == needed


def test_a_kept_history_is_the_same(tmp_path: Path) -> None:
    import json

    history = History(
        "1/mysql-8.0/3",
        "mysql-8.0",
        ["--a"],
        ".db",
        "größe",
        {"chunkRows": 3},
        ["append"],
        [Step("charset", "SET NAMES gbk", "b", "gbk"), Step("start")],
    )
    history.save(tmp_path / "history.json")
    assert History.from_json(json.loads((tmp_path / "history.json").read_text())) == history


def test_a_part_of_the_log_is_lost_once() -> None:
    said = [
        Said(LOST_EVENTS, "SET GLOBAL max_binlog_stmt_cache_size = 4096"),
        Said(LOST_EVENTS, "INSERT INTO t SELECT 1"),
    ]
    told = "resnapshot: an incident event: the server lost part of its log"
    assert repeated_loss([told], said) == ""
    assert repeated_loss([told, "refresh: other"], said) == ""
    assert repeated_loss([told, told], said) == told
