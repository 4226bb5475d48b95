"""ALTER TABLE, CREATE INDEX and DROP INDEX: clause by clause, and as migrations go."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.mysql.draw import Draw, quoted
from tests.fuzz.mysql.grammar import clauses
from tests.fuzz.mysql.grammar.changes import insert, update, update_key
from tests.fuzz.mysql.grammar.clauses import Clause, alter, place, stored_as
from tests.fuzz.mysql.grammar.scene import Kind, Scene, Writer, disguise
from tests.fuzz.mysql.grammar.tables import column_name, random_type
from tests.fuzz.mysql.shapes import PARENT


def one(clause: Callable[[Scene, Draw], Clause]) -> Writer:
    """The clause as a statement, sometimes with another beside it."""

    def write(scene: Scene, draw: Draw) -> list[str] | None:
        first = clause(scene, draw)
        if first is None:
            return None
        parts = [first]
        if draw.chance(0.15):
            second = draw.pick([clauses.add_column, clauses.nothing, clauses.modify, clauses.set_default])(scene, draw)
            parts += [second] if second else []
        if draw.chance(0.1):
            parts.append(draw.pick(["ALGORITHM=INPLACE", "ALGORITHM=COPY", "LOCK=NONE", "ALGORITHM=INSTANT"]))
        return alter(scene, draw, *parts)

    return write


def links(scene: Scene, draw: Draw) -> list[str] | None:
    clause = clauses.foreign_key(scene, draw)
    if clause is None:
        return None
    numbers = ", ".join(f"({n}, {n})" for n in range(1, 6))
    return [
        *alter(scene, draw, clause),
        f"INSERT IGNORE INTO {PARENT} VALUES {numbers}",
        f"UPDATE IGNORE {scene.name(draw)} SET pid = 1 + CRC32(HEX({quoted(scene.shape.columns[0].name)})) % 5",
    ]


def default_and_drop(scene: Scene, draw: Draw) -> list[str] | None:
    name = quoted(column_name(draw, scene.shape))
    between = draw.pick([insert, update, lambda *_: None])(scene, draw) or []
    kind = draw.pick(["INT DEFAULT 5 NULL", "VARCHAR(10) DEFAULT 'old'", "DECIMAL(10,2) DEFAULT 1.25"])
    return [
        *alter(scene, draw, f"ADD COLUMN {name} {kind}"),
        *between,
        *alter(scene, draw, f"ALTER {name} DROP DEFAULT"),
    ]


def there_and_back(scene: Scene, draw: Draw) -> list[str] | None:
    known = [
        column
        for column in scene.shape.plain
        if column.base in {"decimal", "varchar", "int", "bigint", "double"} and column.charset != "binary"
    ]
    if not known:
        return None
    column = draw.pick(known)
    name = quoted(column.name)
    charset = f" CHARACTER SET {column.charset} COLLATE {column.collation}" if column.charset else ""
    between = draw.pick([update, insert, lambda *_: None])(scene, draw) or []
    through = (
        "TINYINT"
        if stored_as(column.kind) == "number"
        else "FLOAT"
        if column.base == "double"
        else draw.pick(["CHAR(1)", "DATE", "DECIMAL(4,1)"])
    )
    if draw.chance(0.15):
        through = "INT"
    return [
        *alter(scene, draw, f"MODIFY {name} {through}"),
        *between,
        *alter(scene, draw, f"MODIFY {name} {column.kind}{charset}"),
    ]


def add_rows_drop(scene: Scene, draw: Draw) -> list[str] | None:
    name = quoted(column_name(draw, scene.shape))
    charset, collation = draw.charset()
    # Most people name no collation: the server's default may be one that only its newest versions have.
    wide = f"VARCHAR(10) CHARACTER SET {draw.pick(['utf8mb3', 'utf8mb4', 'ucs2', 'utf16', 'utf32', 'latin1'])}"
    kind = draw.pick(
        [random_type(draw), f"VARCHAR(10) CHARACTER SET {charset} COLLATE {collation}", wide, wide, "POINT"]
    )
    if kind == "JSON":
        return None
    inner = [
        statement
        for change in draw.some([insert, update_key, update, insert], 2, 3)
        for statement in change(scene, draw) or []
    ]
    return [
        *alter(scene, draw, f"ADD COLUMN {name} {kind}{place(scene, draw)}"),
        *inner,
        *alter(scene, draw, f"DROP COLUMN {name}"),
        *(insert(scene, draw) or []),
    ]


def create_index(scene: Scene, draw: Draw) -> list[str] | None:
    small = [column for column in scene.shape.columns if column.base in {"int", "bigint", "varchar", "date", "decimal"}]
    if not small:
        return None
    how = draw.pick(["", "", "UNIQUE "])
    return [
        disguise(
            f"CREATE {how}INDEX i{draw.number(100, 999)} ON {scene.name(draw)} ({quoted(draw.pick(small).name)})", draw
        )
    ]


def drop_index(scene: Scene, draw: Draw) -> list[str] | None:
    named = [found.name for found in scene.shape.indexes if found.name != "PRIMARY"]
    return [disguise(f"DROP INDEX {quoted(draw.pick(named))} ON {scene.name(draw)}", draw)] if named else None


def ignoring(scene: Scene, draw: Draw) -> list[str] | None:
    column = next((column for column in scene.shape.plain if column.base in {"int", "varchar", "tinyint"}), None)
    if column is None or not draw.is_mariadb:
        return None
    return [f"ALTER IGNORE TABLE {scene.name(draw)} ADD UNIQUE u{draw.number(10, 99)} ({quoted(column.name)})"]


_ROW = "ALTER TABLE, CREATE INDEX, DROP INDEX"
ALTERATIONS = [
    Kind("add column", _ROW, 5, one(clauses.add_column)), Kind("add generated column", _ROW, 1, one(clauses.add_generated)),
    Kind("drop column", _ROW, 3, one(clauses.drop_column)), Kind("drop and add of one name", _ROW, 2, one(clauses.drop_and_add)),
    Kind("modify column", _ROW, 4, one(clauses.modify)), Kind("modify a column of the key", _ROW, 2, one(clauses.modify_key)),
    Kind("rename column", _ROW, 2.5, one(clauses.rename_column)), Kind("swap columns", _ROW, 1, one(clauses.swap_columns)),
    Kind("set or drop a default", _ROW, 1, one(clauses.set_default)), Kind("character set of the table", _ROW, 1.5, one(clauses.charset)),
    Kind("add, drop, rename, hide an index", _ROW, 3, one(clauses.index)), Kind("another primary key", _ROW, 1.4, one(clauses.primary_key)),
    Kind("alteration that changes nothing", _ROW, 2, one(clauses.nothing)), Kind("another engine", _ROW, 0.7, one(clauses.engine)),
    Kind("foreign key", _ROW, 1, links), Kind("default added and dropped", _ROW, 1.5, default_and_drop),
    Kind("migration and its way back", _ROW, 1.5, there_and_back), Kind("column added, rows, column dropped", _ROW, 1.8, add_rows_drop),
    Kind("create index", _ROW, 1, create_index), Kind("drop index", _ROW, 1.2, drop_index), Kind("alter ignore", _ROW, 1, ignoring, only="mariadb"),
]  # fmt: skip
