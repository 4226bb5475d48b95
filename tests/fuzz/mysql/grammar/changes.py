"""Changes of rows."""

from __future__ import annotations

from collections.abc import Sequence

from tests.fuzz.mysql import texts
from tests.fuzz.mysql.draw import Draw, quoted
from tests.fuzz.mysql.grammar.scene import Kind, Scene
from tests.fuzz.mysql.shapes import OTHER, PARENT, PART, Column
from tests.fuzz.mysql.values import literal


def _columns(scene: Scene, draw: Draw) -> list[Column]:
    columns = scene.shape.writable
    if draw.chance(0.3):
        columns = [column for column in columns if column.name in scene.shape.key or draw.chance(0.7)]
    return columns


def _rows(columns: Sequence[Column], draw: Draw, count: int, key: tuple[str, ...]) -> str:
    def row() -> str:
        return ", ".join(literal(column, draw, nulls=0.0 if column.name in key else 0.15) for column in columns)

    return ", ".join(f"({row()})" for _ in range(count))


def insert(scene: Scene, draw: Draw, count: int | None = None) -> list[str] | None:
    if not scene.shape.key:
        return None
    columns = _columns(scene, draw)
    names = ", ".join(quoted(column.name) for column in columns)
    rows = _rows(columns, draw, count or draw.number(1, 6), scene.shape.key)
    verb = draw.pick(["INSERT IGNORE", "INSERT IGNORE", "INSERT", "REPLACE"])
    return [f"{verb} INTO {scene.name(draw)} ({names}) VALUES {rows}"]


def insert_or_update(scene: Scene, draw: Draw) -> list[str] | None:
    if not scene.shape.plain:
        return None
    columns = scene.shape.writable
    names = ", ".join(quoted(column.name) for column in columns)
    changed = draw.pick(columns)
    rows = _rows(columns, draw, draw.number(1, 3), scene.shape.key)
    return [
        f"INSERT IGNORE INTO {scene.name(draw)} ({names}) VALUES {rows} ON DUPLICATE KEY UPDATE {quoted(changed.name)} = {literal(changed, draw)}"
    ]


def _where(scene: Scene, draw: Draw) -> str:
    key = [quoted(name) for name in scene.shape.key] or [quoted(scene.shape.columns[0].name)]
    match draw.number(0, 5):
        case 0:
            return ""
        case 1 | 2:
            return f" WHERE CRC32(CONCAT({', '.join(f'HEX({name})' for name in key)})) % 3 = {draw.number(0, 2)}"
        case 3 if scene.shape.plain:
            return f" WHERE {quoted(draw.pick(scene.shape.plain).name)} IS {draw.pick(['NULL', 'NOT NULL'])}"
        case _:
            return f" ORDER BY {', '.join(key)}{draw.pick(['', ' DESC'])} LIMIT {draw.number(1, 3)}"


def update(scene: Scene, draw: Draw) -> list[str] | None:
    if not scene.shape.plain:
        return None
    columns = draw.some(scene.shape.plain, 1, 2)
    changes = ", ".join(f"{quoted(column.name)} = {literal(column, draw)}" for column in columns)
    return [f"UPDATE IGNORE {scene.name(draw)} SET {changes}{_where(scene, draw)}"]


def update_key(scene: Scene, draw: Draw) -> list[str] | None:
    if not scene.shape.key:
        return None
    column = scene.shape.column(draw.pick(scene.shape.key))
    if column.is_generated:
        return None
    key = ", ".join(map(quoted, scene.shape.key))
    return [
        f"UPDATE IGNORE {scene.name(draw)} SET {quoted(column.name)} = {literal(column, draw, nulls=0)} ORDER BY {key} LIMIT {draw.number(1, 2)}"
    ]


def delete(scene: Scene, draw: Draw) -> list[str] | None:
    where = _where(scene, draw)
    return [f"DELETE FROM {scene.name(draw)}{where}"] if where or draw.chance(0.3) else None


def insert_from_itself(scene: Scene, draw: Draw) -> list[str] | None:
    shape = scene.shape
    if not shape.key:
        return None
    changed = shape.column(draw.pick(shape.key))
    if changed.is_generated:
        return None
    columns = shape.writable
    names = ", ".join(quoted(column.name) for column in columns)
    values = ", ".join(
        literal(column, draw, nulls=0) if column == changed else quoted(column.name) for column in columns
    )
    return [
        f"INSERT IGNORE INTO {scene.name(draw)} ({names}) SELECT {values} FROM {scene.name(draw)} ORDER BY {', '.join(map(quoted, shape.key))} LIMIT 2"
    ]


PATHS = (
    "'$.a'",
    "'$.b[1]'",
    "'$[0]'",
    "'$[last]'",
    "'$.a[last]'",
    "'$.l[last]'",
    "'$.\"z z\"'",
    "'$.\"é\"'",
    "'$.new'",
)


def json_part(scene: Scene, draw: Draw) -> list[str] | None:
    documents = [column.name for column in scene.shape.plain if column.is_json]
    return json_part_of(draw.pick(documents), scene, draw) if documents else None


def json_part_of(column: str, scene: Scene, draw: Draw) -> list[str]:
    """A document in each row, and then another value at a path."""
    name = quoted(column)
    value = draw.pick(
        ["1", "'x'", "NULL", "2.5e0", "REPEAT('y', 100)", "JSON_ARRAY(1, 2)", "CAST(0 AS DECIMAL(20,10))"]
    )
    path = draw.pick(PATHS)
    change = draw.pick([
        f"JSON_SET({name}, {path}, {value})", f"JSON_REPLACE({name}, {path}, {value})", f"JSON_REMOVE({name}, {path})",
        f"JSON_INSERT({name}, {path}, {value})", f"JSON_SET(JSON_REMOVE({name}, {path}), '$.a', {value})",
    ])  # fmt: skip
    return [
        f"UPDATE IGNORE {scene.name(draw)} SET {name} = JSON_OBJECT('a', 1, 'b', JSON_ARRAY(1, 2, 3), 'l', JSON_ARRAY('x', 'y'), 'k', REPEAT('k', 90))",
        f"UPDATE IGNORE {scene.name(draw)} SET {name} = {change}",
    ]


def joined(scene: Scene, draw: Draw) -> list[str] | None:
    if not scene.shape.plain:
        return None
    table, column = scene.name(draw), draw.pick(scene.shape.plain)
    if draw.chance(0.5):
        return [
            f"UPDATE IGNORE {table} AS x JOIN {OTHER} AS y ON y.id = 1 SET x.{quoted(column.name)} = {literal(column, draw)}, y.v = 'joined'"
        ]
    return [f"DELETE x FROM {table} AS x JOIN {OTHER} AS y ON y.id = 1 AND x.{quoted(column.name)} IS NULL"]


def transaction(scene: Scene, draw: Draw) -> list[str] | None:
    inner: list[str] = []
    for _ in range(draw.number(2, 4)):
        inner += draw.pick([insert, update, update_key, delete, insert_or_update, other_rows])(scene, draw) or []
        if draw.chance(0.2):
            inner += [
                "SAVEPOINT sp",
                *(insert(scene, draw) or []),
                draw.pick(["ROLLBACK TO SAVEPOINT sp", "ROLLBACK TO sp", "RELEASE SAVEPOINT sp"]),
            ]
    return [draw.pick(["BEGIN", "START TRANSACTION"]), *inner, draw.weighted({"COMMIT": 4.0, "ROLLBACK": 1.0})]


def xa(scene: Scene, draw: Draw) -> list[str] | None:
    xid = f"'x{draw.number(1, 10**9)}'"
    inner = [*(insert(scene, draw) or []), *(update(scene, draw) or [])]
    end = draw.weighted({"COMMIT": 3.0, "ROLLBACK": 1.0, "ONE": 2.0})
    finish = [f"XA COMMIT {xid} ONE PHASE"] if end == "ONE" else [f"XA PREPARE {xid}", f"XA {end} {xid}"]
    return [f"XA START {xid}", *inner, f"XA END {xid}", *finish]


def other_rows(scene: Scene, draw: Draw) -> list[str] | None:
    if scene.shape.engine.startswith("MRG"):
        return [f"INSERT IGNORE INTO {PART} VALUES ({draw.number(200, 999)}, 'part')"]
    return [draw.pick([
        f"REPLACE INTO {OTHER} VALUES ({draw.number(1, 9)}, {texts.literal(texts.text(draw, 20))})", f"DELETE FROM {OTHER} WHERE id = {draw.number(1, 9)}",
        f"INSERT IGNORE INTO {PARENT} VALUES ({draw.number(1, 9)}, {draw.number(1, 9)})",
    ])]  # fmt: skip


def parent_rows(scene: Scene, draw: Draw) -> list[str] | None:
    if not scene.shape.foreign_keys and not draw.chance(0.1):
        return None
    number = draw.number(1, 5)
    return [
        draw.pick(
            [f"DELETE FROM {PARENT} WHERE id = {number}", f"UPDATE {PARENT} SET id = id + 100 WHERE id = {number}"]
        )
    ]


CHANGES = [
    Kind("insert", "rows", 14, insert, is_definition=False),
    Kind("insert on duplicate key update", "rows", 4, insert_or_update, is_definition=False),
    Kind("update", "rows", 10, update, is_definition=False),
    Kind("update of the key", "rows", 5, update_key, is_definition=False),
    Kind("delete", "rows", 4, delete, is_definition=False),
    Kind("insert select", "rows", 3, insert_from_itself, is_definition=False),
    Kind("update of a part of JSON", "rows", 4, json_part, is_definition=False),
    Kind("update or delete by a join", "rows", 2, joined, is_definition=False),
    Kind("transaction", "rows", 5, transaction, is_definition=False),
    Kind("XA transaction", "XA", 1.2, xa, is_definition=False),
    Kind("rows of other tables", "beside", 3, other_rows, is_definition=False),
    Kind("rows of the parent", "rows", 3, parent_rows, is_definition=False),
]
