"""How a history begins: the table, the first rows, and what happens while they are copied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fuzz.mysql.draw import Draw, quoted
from tests.fuzz.mysql.grammar.alterations import add_rows_drop
from tests.fuzz.mysql.grammar.motifs import many_rows
from tests.fuzz.mysql.grammar.scene import Writer
from tests.fuzz.mysql.grammar.tables import column_definition, create_table, merge_tables
from tests.fuzz.mysql.shapes import PART
from tests.fuzz.mysql.steps import LOST_EVENTS, Step


@dataclass(frozen=True)
class Beginning:
    """A table of a kind.

    Attributes:
        kind: As the report lists it.
        steps: Make the table.
        config: Of the connector, where it matters.
        rows: Statements that fill it; none: rows are drawn.
        prepared: Steps of an XA transaction up to its PREPARE, before the connector starts.
        finished: The rest of it, right after the start.
        later: Statements that follow the first copy.
        alone: Steps after those, which concern all tables of the server.
        is_copied_in_parts: The connector is killed in the middle of the first copy.
        is_empty: It has no rows before the connector follows.
        shown_by: Motifs, one of which is done while the connector is away after the first copy: without it nothing would show.
    """

    kind: str
    steps: list[Step]
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)
    prepared: list[Step] = field(default_factory=list)
    finished: list[Step] = field(default_factory=list)
    later: list[str] = field(default_factory=list)
    alone: list[Step] = field(default_factory=list)
    is_copied_in_parts: bool = False
    is_empty: bool = False
    shown_by: tuple[Writer, ...] = ()


def _table(kind: str, name: str, text: str) -> list[Step]:
    return [Step(kind, f"CREATE TABLE {name} {text}")]


def _others(draw: Draw, low: int = 1, high: int = 3) -> str:
    """More columns."""
    return "".join(f", x{number} {column_definition(draw)}" for number in range(draw.number(low, high)))


def ordinary(name: str, draw: Draw) -> Beginning:
    return Beginning("create", _table("create", name, create_table(draw)))


def nothing_copied(name: str, draw: Draw) -> Beginning:
    """A table that is followed from the next change on; it is empty until then."""
    kind = "followed without a copy"
    return Beginning(kind, _table(kind, name, create_table(draw)), {"snapshot": "never"}, is_empty=True)


def merge(name: str, draw: Draw) -> Beginning:
    rows = [
        f"INSERT IGNORE INTO {PART} VALUES ({draw.number(200, 999)}, 'part')",
        f"UPDATE {PART} SET v = 'of the part'",
    ]
    return Beginning("merge table", [Step("merge table", text) for text in merge_tables(name)], later=rows)


def unique_keys(name: str, draw: Draw) -> Beginning:
    """No primary key but unique ones, of which the server may not read by some."""
    kind = "unique keys alone"
    hidden = " IGNORED" if draw.is_mariadb else " INVISIBLE"
    first, second = draw.pick([("", hidden), ("", hidden), (hidden, ""), ("", "")])
    columns = f"a INT NOT NULL, b {draw.pick(['INT', 'BIGINT', 'VARCHAR(20)', 'DATE'])} NOT NULL{_others(draw)}"
    return Beginning(kind, _table(kind, name, f"({columns}, UNIQUE KEY x (a, b){first}, UNIQUE KEY u (b){second})"))


def generated_key(name: str, draw: Draw) -> Beginning:
    """A primary key that MySQL makes and may hide, beside a unique one."""
    kind = "generated invisible key"
    key = draw.pick(["", ", UNIQUE KEY u (a)"])
    return Beginning(
        kind,
        [
            Step(kind, "SET SESSION sql_generate_invisible_primary_key = 1"),
            *_table(kind, name, f"(a INT NOT NULL{_others(draw)}{key})"),
            Step(kind, "SET SESSION sql_generate_invisible_primary_key = 0"),
        ],
    )


def odd_labels(name: str, draw: Draw) -> Beginning:
    """A key of labels that read alike."""
    kind = "labels in the key"
    key = draw.pick(["ENUM('', 'a', 'b', 'C')", "ENUM('', 'a')", "ENUM('a', '', 'b')"])
    second = draw.pick(["", "", ", k1 TINYINT NOT NULL"])
    names = "k0, k1" if second else "k0"
    text = f"(k0 {key} NOT NULL{second}{_others(draw)}, PRIMARY KEY ({names}))"
    return Beginning(kind, _table(kind, name, text))


def odd_dates(name: str, draw: Draw) -> Beginning:
    """A key of dates that no calendar has, copied in small parts."""
    kind = "dates in the key"
    key = draw.pick(["DATE", "DATE", "DATETIME"])
    days = draw.some(
        ["2020-02-31", "2023-02-29", "1999-11-31", "2020-00-00", "2020-01-00", "0000-00-00", "2021-04-31"], 3, 6
    )
    rows = ", ".join(f"('{day}')" for day in days)
    return Beginning(
        kind,
        [Step("sql_mode", "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'"), *_table(kind, name, f"(k0 {key} NOT NULL{_others(draw)}, PRIMARY KEY (k0))")],
        {"chunkRows": draw.number(1, 3)},
        [f"INSERT IGNORE INTO {name} (k0) VALUES {rows}"],
    )  # fmt: skip


def unpadded_key(name: str, draw: Draw) -> Beginning:
    """A key of CHAR that is not padded, with what sorts before a blank, copied in small parts (MariaDB sorts it in two ways)."""
    kind = "CHAR without padding in the key"
    charset = draw.pick(["utf8mb4", "latin1", "utf8mb3"])
    endings = draw.some(["", "09", "0909", "01", "20", "61"], 3, 6)
    rows = ", ".join(f"(x'{start}{ending}')" for start in ("", "61", "62") for ending in endings)
    return Beginning(
        kind,
        _table(kind, name, f"(k0 CHAR(10) CHARACTER SET {charset} COLLATE {charset}_nopad_bin NOT NULL{_others(draw)}, PRIMARY KEY (k0))"),
        {"chunkRows": draw.number(1, 3)},
        [f"INSERT IGNORE INTO {name} (k0) VALUES {rows}"],
    )  # fmt: skip


def long_copy(name: str, draw: Draw) -> Beginning:
    """A copy that is stopped in its middle; its key is a text."""
    kind = "copied in parts"
    collation = draw.pick(
        ["utf8mb4_general_ci", "utf8mb4_bin", "utf8mb4_unicode_ci", "latin1_swedish_ci", "latin1_bin"]
    )
    second = draw.pick(["", "", ", k1 INT NOT NULL DEFAULT 0"])
    key = "k0, k1" if second else "k0"
    column = f"k0 VARCHAR(20) CHARACTER SET {collation.split('_')[0]} COLLATE {collation} NOT NULL"
    others = f", w VARCHAR(20) CHARACTER SET utf8mb4, n {draw.pick(['INT', 'SMALLINT', 'BIGINT UNSIGNED'])}{_others(draw, 0, 2)}"
    numbers = f"WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < {draw.number(150, 400)})"
    text = "CONCAT(CHAR(65 + (i * 7) % 26 + 32 * (i % 2)), HEX(i * 7919 % 1000), 'x', i)"
    return Beginning(
        kind,
        _table(kind, name, f"({column}{second}{others}, PRIMARY KEY ({key}))"),
        {"chunkRows": draw.number(2, 7)},
        [f"INSERT IGNORE INTO {name} (k0, w, n) {numbers} SELECT {text}, CONCAT('é', i), i FROM n"],
        is_copied_in_parts=True,
    )


def counted_columns(name: str, draw: Draw) -> Beginning:
    """Texts of several character sets beside columns that some servers count among them."""
    kind = "shapes beside texts"
    vector = "VECTOR(3)" if draw.dialect.has_vectors else "POINT"
    parts = [
        f"g {draw.pick(['POINT', 'GEOMETRY', vector])}", "s VARCHAR(20) CHARACTER SET utf8mb4", f"w VARCHAR(9) CHARACTER SET {draw.pick(['latin1', 'gbk', 'ucs2', 'utf16', 'utf32', 'utf8mb3'])}",
        f"e ENUM('a', 'é') CHARACTER SET {draw.pick(['latin1', 'utf8mb4', 'binary'])}", "y INT",
    ]  # fmt: skip
    draw.random.shuffle(parts)
    text = f"(k0 INT NOT NULL, {', '.join(parts)}, PRIMARY KEY (k0))"
    return Beginning(kind, _table(kind, name, text), shown_by=(add_rows_drop, many_rows))


def lost_events(name: str, draw: Draw) -> Beginning:
    """Rows that the server keeps and can't log: an engine without transactions, and more than what a session may log at once."""
    numbers = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 120)"
    limits = ("max_binlog_stmt_cache_size", "binlog_stmt_cache_size")
    low, usual = (", ".join(f"GLOBAL {limit} = {value}" for limit in limits) for value in ("4096", "DEFAULT"))
    engine = draw.pick(["MyISAM", "Aria"] if draw.is_mariadb else ["MyISAM"])
    text = f"(k0 INT NOT NULL, s VARCHAR(200){_others(draw)}, PRIMARY KEY (k0)) ENGINE={engine}"
    return Beginning(
        "rows that are not logged",
        _table("rows that are not logged", name, text),
        {"chunkRows": draw.pick([20, 50, 20000])},
        alone=[
            Step(LOST_EVENTS, f"SET {low}"),
            Step(LOST_EVENTS, f"INSERT IGNORE INTO {name} (k0, s) {numbers} SELECT 2000 + i, SHA2(i, 512) FROM n", "l"),
            Step(LOST_EVENTS, f"SET {usual}"),
        ],
    )


def prepared_beside(name: str, draw: Draw) -> Beginning:
    """An XA transaction that lies around the start of the copy: its rows are in the log before it, its end after it."""
    kind, xid = "prepared beside the start", f"'x{draw.number(1, 10**9)}'"
    changes = [f"INSERT IGNORE INTO {name} (k0) VALUES (900), (901)", f"DELETE FROM {name} WHERE k0 = 1"]
    said = [f"XA START {xid}", *draw.some(changes, 1, 2), f"XA END {xid}", f"XA PREPARE {xid}"]
    return Beginning(
        kind,
        _table(kind, name, f"(k0 INT NOT NULL{_others(draw)}, PRIMARY KEY (k0))"),
        rows=[f"INSERT IGNORE INTO {name} (k0) VALUES (1), (2), (3)"],
        prepared=[Step("XA transaction", text, "x") for text in said],
        finished=[
            Step("pause", draw.pick(["0.3", "1", "2.5"])),  # while the connector looks where the log ends
            Step("XA transaction", f"XA {draw.pick(['COMMIT', 'COMMIT', 'ROLLBACK'])} {xid}", "x"),
        ],
    )


_Makes = Callable[[str, Draw], Beginning]
ANY: dict[_Makes, float] = {
    ordinary: 15.0, nothing_copied: 1.6, merge: 1.6, unique_keys: 2.0, odd_labels: 1.6, odd_dates: 1.8, long_copy: 4.4, counted_columns: 1.8,
    prepared_beside: 1.8,
}  # fmt: skip
MYSQL: dict[_Makes, float] = {generated_key: 2.0}
MARIADB: dict[_Makes, float] = {unpadded_key: 1.0}


def draw_beginning(table: str, draw: Draw, *, is_alone: bool = False) -> Beginning:
    """Any of them; `is_alone`: one that concerns the whole server, which no other history uses."""
    if is_alone:
        return lost_events(quoted(table), draw)
    own = MARIADB if draw.is_mariadb else MYSQL if draw.dialect.version >= (8, 0, 30) else {}
    return draw.weighted({**ANY, **own})(quoted(table), draw)
