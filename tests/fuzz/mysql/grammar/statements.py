"""Statements that empty, move, replace or imitate the table."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.mysql.draw import Draw, quoted
from tests.fuzz.mysql.grammar.changes import delete, insert, update
from tests.fuzz.mysql.grammar.clauses import add_generated, alter
from tests.fuzz.mysql.grammar.failing import half_done
from tests.fuzz.mysql.grammar.partitions import discard, of_partition, other_partitions, put_back
from tests.fuzz.mysql.grammar.scene import Kind, Scene, Words, Writer, disguise
from tests.fuzz.mysql.shapes import OTHER, SPARE
from tests.fuzz.mysql.steps import DATABASE, HALF_DONE, OTHER_DATABASE, Step

TRUNCATE = "TRUNCATE TABLE"
GONE = "DROP TABLE, DROP DATABASE"
GONE_UNSAID = "a table that is gone without a statement in the log"
RENAMED = "RENAME TABLE, ALTER TABLE … RENAME"
REPLACED = "another table is renamed to this one, CREATE OR REPLACE TABLE"
PARTITIONS = "EXCHANGE, DROP, TRUNCATE or CONVERT PARTITION"
STATEMENTS = "INSERT, UPDATE, DELETE logged as statements"
TEMPORARY_NAMESAKE = "a statement on a temporary table of the same name"


def truncate(scene: Scene, draw: Draw) -> list[str] | None:
    return [
        disguise(f"TRUNCATE {draw.pick(['TABLE ', 'TABLE ', ''])}{scene.name(draw)}", draw),
        *(insert(scene, draw) or []),
    ]


def rename_and_back(scene: Scene, draw: Draw) -> list[str] | None:
    """Away and back within one statement: nothing happened, or it is told."""
    name = scene.name(draw)
    return [disguise(f"RENAME TABLE {name} TO {SPARE}9, {SPARE}9 TO {name}", draw)]


def _away(draw: Draw) -> str:
    return draw.pick([f"{SPARE}8", f"{quoted(OTHER_DATABASE)}.{SPARE}8"])


def rename_away(scene: Scene, draw: Draw) -> list[str] | None:
    return [disguise(f"RENAME TABLE {scene.name(draw)} TO {_away(draw)}", draw)]


def alter_away(scene: Scene, draw: Draw) -> list[str] | None:
    return [disguise(f"ALTER TABLE {scene.name(draw)} RENAME {draw.pick(['TO ', ''])}{_away(draw)}", draw)]


def drop(scene: Scene, draw: Draw) -> list[str] | None:
    name = scene.name(draw)
    return [
        disguise(
            draw.pick(
                [
                    f"DROP TABLE {name}",
                    f"DROP TABLE IF EXISTS nothing_there, {name}",
                    f"DROP TABLES {name}",
                    f"DROP TABLE {name} CASCADE",
                ]
            ),
            draw,
        )
    ]


def drop_database(_scene: Scene, draw: Draw) -> list[str] | None:
    return [
        disguise(draw.pick([f"DROP DATABASE {quoted(DATABASE)}", f"DROP SCHEMA IF EXISTS {quoted(DATABASE)}"]), draw)
    ]


def replace_database(_scene: Scene, draw: Draw) -> list[str] | None:
    return [disguise(f"CREATE OR REPLACE DATABASE {quoted(DATABASE)}", draw)] if draw.is_mariadb else None


def swap(scene: Scene, draw: Draw) -> list[str] | None:
    """As gh-ost and pt-online-schema-change end."""
    name, number = scene.name(draw), draw.number(10, 9999)
    shadow, old = f"_{SPARE}{number}", f"_o{number}"
    end = draw.pick(
        [
            f"RENAME TABLE {name} TO {old}, {shadow} TO {name}",
            f"RENAME TABLE {name} TO {old}; RENAME TABLE {shadow} TO {name}",
        ]
    )
    return [f"CREATE TABLE {shadow} LIKE {name}", f"INSERT IGNORE INTO {shadow} SELECT * FROM {name} LIMIT 5" if draw.chance(0.7) else "DO 1",
            *end.split("; "), *(insert(scene, draw) or [])]  # fmt: skip


def _copy(scene: Scene, draw: Draw) -> str:
    return draw.pick([f"LIKE {quoted(scene.table)}", f"(PRIMARY KEY (k0)) AS SELECT * FROM {quoted(scene.table)}"])


def drop_and_create(scene: Scene, draw: Draw) -> list[str] | None:
    name, number = scene.name(draw), draw.number(10, 9999)
    return [
        f"CREATE TABLE _c{number} LIKE {name}",
        f"DROP TABLE {name}",
        f"CREATE TABLE {name} LIKE _c{number}",
        *(insert(scene, draw) or []),
    ]


def create_or_replace(scene: Scene, draw: Draw) -> list[str] | None:
    if not draw.is_mariadb:
        return None
    number, name = draw.number(10, 9999), scene.name(draw)
    return [
        f"CREATE TABLE _r{number} LIKE {name}",
        disguise(f"CREATE OR REPLACE TABLE {name} LIKE _r{number}", draw),
        *(insert(scene, draw) or []),
    ]


def create_if_not_exists(scene: Scene, draw: Draw) -> list[str] | None:
    return [disguise(f"CREATE TABLE IF NOT EXISTS {scene.name(draw)} (id INT PRIMARY KEY, v INT)", draw)]


def as_statement(change: Callable[[Scene, Draw], Words]) -> Writer:
    """A change of rows in a session that logs statements."""

    def write(scene: Scene, draw: Draw) -> Words:
        words = change(scene, draw)
        if not words:
            return None
        form = draw.weighted({"STATEMENT": 4.0, "MIXED": 1.0})
        return [f"SET SESSION binlog_format = {form}", *words, "SET SESSION binlog_format = ROW"]

    return write


def load_data(scene: Scene, draw: Draw) -> Words:
    """Rows of the table itself, by way of a file."""
    names = ", ".join(quoted(column.name) for column in scene.shape.writable)
    file = f"'./{DATABASE}-{draw.number(10, 10**9)}.txt'"
    return [
        Step("file", f"SELECT {names} FROM {quoted(scene.table)} LIMIT 3 INTO OUTFILE {file}", scene.session),
        f"LOAD DATA INFILE {file} {draw.pick(['REPLACE', 'IGNORE'])} INTO TABLE {scene.name(draw)} CHARACTER SET utf8mb4 ({names})",
    ]


def other_statement(_scene: Scene, draw: Draw) -> list[str] | None:
    """Of another table, as a statement."""
    return [
        "SET SESSION binlog_format = STATEMENT",
        f"REPLACE INTO {OTHER} VALUES ({draw.number(1, 9)}, 'TRUNCATE TABLE t')",
        "SET SESSION binlog_format = ROW",
    ]


def small_image(scene: Scene, draw: Draw) -> list[str] | None:
    change = draw.pick([update, delete, insert])(scene, draw)
    if change is None:
        return None
    return [
        f"SET SESSION binlog_row_image = {draw.pick(['MINIMAL', 'NOBLOB'])}",
        *change,
        "SET SESSION binlog_row_image = FULL",
    ]


def generated_update(scene: Scene, draw: Draw) -> Words:
    """Some servers log these without the generated column."""
    has_one = any(column.is_generated for column in scene.shape.columns)
    clause = None if has_one else add_generated(scene, draw)
    change = update(scene, draw)
    if change is None or not (has_one or clause):
        return None
    return [
        *(Step("add generated column", text, scene.session) for text in (alter(scene, draw, clause) if clause else [])),
        *change,
    ]


def temporary(scene: Scene, draw: Draw) -> list[str] | None:
    """A namesake that only its session sees: none of this concerns the table."""
    name = scene.name(draw)
    make = draw.pick(
        [f"CREATE TEMPORARY TABLE {name} LIKE {name}", f"CREATE TEMPORARY TABLE {name} (id INT PRIMARY KEY, v INT)"]
    )
    changes = [f"INSERT INTO {name} (id, v) VALUES (1, 1), (2, 2)", f"UPDATE {name} SET v = 3", f"TRUNCATE {name}", f"TRUNCATE TABLE {name}", f"DELETE FROM {name}",
               f"ALTER TABLE {name} ADD COLUMN z INT"]  # fmt: skip
    if draw.is_mariadb:
        changes.append(f"CREATE OR REPLACE TEMPORARY TABLE {name} (id INT PRIMARY KEY, v INT)")
    inner = draw.some(changes, 1, 3)
    if draw.chance(0.5):  # nothing that would be told by itself
        inner = draw.some(changes[2:4], 1, 2)
    end = draw.pick([f"DROP TEMPORARY TABLE {name}", f"DROP TABLE {name}", f"DROP TEMPORARY TABLE IF EXISTS {name}"])
    form = draw.pick(["ROW", "STATEMENT", "STATEMENT", "STATEMENT", "MIXED"])
    return [f"SET SESSION binlog_format = {form}", make, *inner, end, "SET SESSION binlog_format = ROW"]


def from_temporary(scene: Scene, draw: Draw) -> list[str] | None:
    """A statement that uses some temporary table, but changes the very table."""
    column = next((column for column in scene.shape.plain if column.base in {"int", "bigint", "varchar"}), None)
    if column is None:
        return None
    return [f"SET SESSION binlog_format = {draw.pick(['STATEMENT', 'ROW', 'MIXED'])}", "CREATE TEMPORARY TABLE tmp1 (id INT PRIMARY KEY)", "INSERT INTO tmp1 VALUES (1), (2)",
            f"UPDATE IGNORE {scene.name(draw)} SET {quoted(column.name)} = (SELECT MAX(id) FROM tmp1)", "DROP TEMPORARY TABLE tmp1", "SET SESSION binlog_format = ROW"]  # fmt: skip


def through_a_view(scene: Scene, draw: Draw) -> list[str] | None:
    change = update(scene, draw)
    if change is None:
        return None
    number = draw.number(10, 9999)
    return [
        f"CREATE OR REPLACE VIEW view{number} AS SELECT * FROM {quoted(scene.table)}",
        *[
            text.replace(text.split(" ")[2], f"view{number}", 1)
            for text in change
            if "`" not in text.split(" SET")[0]
            and '"' not in text.split(" SET")[0]
            and text.startswith("UPDATE IGNORE ")
        ],
        f"DROP VIEW view{number}",
    ]


def through_a_trigger(scene: Scene, draw: Draw) -> list[str] | None:
    number = draw.number(10, 9999)
    key = scene.shape.key
    if not key:
        return None
    return [f"CREATE TRIGGER tr{number} AFTER UPDATE ON {OTHER} FOR EACH ROW DELETE FROM {quoted(scene.table)} ORDER BY {', '.join(map(quoted, key))} LIMIT 1",
            f"UPDATE {OTHER} SET v = CONCAT(id, 'tr{number}') WHERE id < 3", f"DROP TRIGGER tr{number}"]  # fmt: skip


def beside(scene: Scene, draw: Draw) -> list[str] | None:
    """Statements on other objects whose words look like this table's."""
    name, number = quoted(scene.table), draw.number(10, 9999)
    return draw.pick([
        [f"CREATE TABLE {quoted(OTHER_DATABASE)}.{name} (id INT PRIMARY KEY)", f"TRUNCATE {quoted(OTHER_DATABASE)}.{name}", f"DROP TABLE {quoted(OTHER_DATABASE)}.{name}"],
        [f"ALTER TABLE {OTHER} COMMENT 'TRUNCATE TABLE {number}'"], [f"ALTER TABLE {OTHER} ADD COLUMN c{number} INT", f"ALTER TABLE {OTHER} DROP COLUMN c{number}"],
        [f"CREATE TABLE _b{number} LIKE {name}", f"RENAME TABLE _b{number} TO _bb{number}", f"DROP TABLE _bb{number}"],
        ["ANALYZE TABLE " + name], ["OPTIMIZE TABLE " + name], ["CHECK TABLE " + name], ["FLUSH TABLES"],
        [f"CREATE DATABASE `@DB@{number}`", f"DROP DATABASE `@DB@{number}`"],
        [f"USE {quoted(OTHER_DATABASE)}", f"CREATE TABLE {name} (id INT PRIMARY KEY)", f"INSERT INTO {name} VALUES (1)", f"TRUNCATE TABLE {name}", f"DROP TABLE {name}", f"USE {quoted(DATABASE)}"],
        [f"USE {quoted(OTHER_DATABASE)}", f"TRUNCATE TABLE {quoted(DATABASE)}.{name}", f"USE {quoted(DATABASE)}"],
    ])  # fmt: skip


OTHERS = [
    Kind("truncate", TRUNCATE, 4, truncate), Kind("rename away and back", RENAMED, 0.6, rename_and_back),
    Kind("swap with another table", REPLACED, 1.2, swap), Kind("drop and create", REPLACED, 0.8, drop_and_create),
    Kind("create or replace table", REPLACED, 1.2, create_or_replace, only="mariadb"), Kind("create if not exists", "beside", 0.7, create_if_not_exists),
    Kind("exchange a partition", PARTITIONS, 1.5, of_partition("EXCHANGE PARTITION {part} WITH TABLE _e{number}")),
    Kind("drop a partition", PARTITIONS, 1.4, of_partition("DROP PARTITION {part}")),
    Kind("truncate a partition", PARTITIONS, 1.2, of_partition("TRUNCATE PARTITION {part}")),
    Kind("convert a partition", PARTITIONS, 1.4, of_partition("CONVERT PARTITION {part} TO TABLE _p{number}"), only="mariadb"),
    Kind("other partitions", PARTITIONS, 1.2, other_partitions), Kind("import a tablespace", PARTITIONS, 1.4, put_back),
    Kind("insert as a statement", STATEMENTS, 1, as_statement(insert)), Kind("update as a statement", STATEMENTS, 0.7, as_statement(update)),
    Kind("delete as a statement", STATEMENTS, 1.2, as_statement(delete)), Kind("load data as a statement", STATEMENTS, 0.8, as_statement(load_data)),
    Kind("another table's rows as a statement", "beside", 0.7, other_statement), Kind("small row image", "rows logged without some of their columns", 1.2, small_image),
    Kind("update beside a generated column", "updates logged without generated columns", 1.3, generated_update), Kind("temporary namesake", TEMPORARY_NAMESAKE, 3, temporary), Kind("from a temporary table", STATEMENTS, 1.5, from_temporary),
    Kind("through a view", "rows", 0.7, through_a_view), Kind("through a trigger", "rows", 0.7, through_a_trigger),
    Kind("statements on other objects", "beside", 2.5, beside),
]  # fmt: skip
LAST = [
    Kind("drop table", GONE, 1.5, drop, is_last=True), Kind("rename away", RENAMED, 1.5, rename_away, is_last=True),
    Kind("alter table rename", RENAMED, 1.5, alter_away, is_last=True), Kind("drop database", GONE, 1.3, drop_database, is_last=True),
    Kind("create or replace database", GONE, 1.3, replace_database, is_last=True, only="mariadb"), Kind("discard the tablespace", PARTITIONS, 1.9, discard, is_last=True),
    Kind(HALF_DONE, GONE_UNSAID, 1.3, half_done, is_last=True),
]  # fmt: skip
