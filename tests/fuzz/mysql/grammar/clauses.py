"""The clauses of ALTER TABLE."""

from __future__ import annotations

from tests.fuzz.mysql.draw import Draw, quoted
from tests.fuzz.mysql.grammar.scene import Scene, disguise
from tests.fuzz.mysql.grammar.tables import column_definition, column_name, generated_definition, key_type, random_type
from tests.fuzz.mysql.shapes import PARENT, Column
from tests.fuzz.mysql.values import GEOMETRIES

Clause = str | None


def alter(scene: Scene, draw: Draw, *clauses: str) -> list[str]:
    """The clauses as one statement."""
    verb = draw.pick(["ALTER", "ALTER", "ALTER", "ALTER ONLINE" if draw.is_mariadb else "ALTER"])
    return [disguise(f"{verb} TABLE {scene.name(draw)} {', '.join(clauses)}", draw)]


STORED = {
    "number": {"tinyint", "smallint", "mediumint", "int", "bigint", "bit", "year"}, "real": {"float", "double"},
    "bytes": {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector", *GEOMETRIES, "geometry"},
}  # fmt: skip


def stored_as(kind: str) -> str:
    """What datasets keep a type as: most changes from one to another are refused by the dataset's table."""
    word = kind.lower().split("(")[0].split(" ")[0]
    if (word == "bigint" and "unsigned" in kind.lower()) or kind.lower().startswith("bit(64"):
        return "text"
    return next((name for name, words in STORED.items() if word in words), "text")


def like(draw: Draw, kind: str) -> str:
    """A random type that a dataset keeps in the same way, as a rule."""
    for _ in range(20):
        found = random_type(draw)
        if found != "JSON" and (stored_as(found) == stored_as(kind) or draw.chance(0.01)):
            return found
    return (
        "INT"
        if stored_as(kind) == "number"
        else "DOUBLE"
        if stored_as(kind) == "real"
        else "BLOB"
        if stored_as(kind) == "bytes"
        else "VARCHAR(100)"
    )


def place(scene: Scene, draw: Draw) -> str:
    if draw.chance(0.3):
        return draw.pick([" FIRST", f" AFTER {quoted(draw.pick(scene.shape.columns).name)}"])
    return ""


def add_column(scene: Scene, draw: Draw) -> Clause:
    if len(scene.shape.columns) > 12:
        return None
    old = scene.old.get(draw.pick([*scene.old])) if scene.old and draw.chance(0.4) else None
    name = old.name if old else column_name(draw, scene.shape)
    kind = like(draw, old.kind) if old else random_type(draw)
    if draw.chance(0.3):
        name = name.swapcase()
    name = f"js{draw.number(10, 999)}" if kind == "JSON" else name.replace("js", "no")
    return f"ADD {draw.pick(['', 'COLUMN '])}{quoted(name)} {column_definition(draw, kind=kind)}{place(scene, draw)}"


def add_generated(scene: Scene, draw: Draw) -> Clause:
    plain = scene.shape.plain
    return (
        f"ADD COLUMN {quoted(column_name(draw, scene.shape))} {generated_definition(draw, draw.pick(plain).name)}"
        if plain
        else None
    )


def drop_column(scene: Scene, draw: Draw) -> Clause:
    others = [column for column in scene.shape.columns if column.name not in scene.shape.key]
    if len(others) < 2:
        return None
    column = draw.pick(others)
    name = column.name
    if not column.is_json:
        scene.old[name.lower()] = column
    return f"DROP {draw.pick(['', 'COLUMN '])}{quoted(name.swapcase() if draw.chance(0.2) else name)}"


def drop_and_add(scene: Scene, draw: Draw) -> Clause:
    plain = scene.shape.plain
    if not plain:
        return None
    column = draw.pick(plain)
    name = column.name.swapcase() if draw.chance(0.4) else column.name
    kind = column.kind if column.base != "json" and draw.chance(0.6) and not column.charset else like(draw, column.kind)
    return f"DROP COLUMN {quoted(name)}, ADD COLUMN {quoted(column.name)} {column_definition(draw, kind=kind)}"


def _other_type(column: Column, draw: Draw) -> str:
    if column.charset and column.base not in {"enum", "set"} and draw.chance(0.6):
        charset, collation = draw.charset()
        return f"{column.kind} CHARACTER SET {charset} COLLATE {collation}"
    if draw.chance(0.4) and column.base in {"tinyint", "smallint", "mediumint", "int"}:
        return draw.pick(["INT", "BIGINT", "BIGINT", "INT UNSIGNED", "SMALLINT", "BIGINT UNSIGNED", "DECIMAL(20,2)"])
    if draw.chance(0.5) and column.base == "varchar" and column.numbers:
        return f"VARCHAR({column.numbers[0] + draw.pick([1, 10, 100, -1 if column.numbers[0] > 1 else 1])}) CHARACTER SET {column.charset} COLLATE {column.collation}"
    return like(draw, column.kind)


def modify(scene: Scene, draw: Draw) -> Clause:
    plain = [column for column in scene.shape.plain if not column.is_json]
    if not plain:
        return None
    column = draw.pick(plain)
    return f"MODIFY {draw.pick(['', 'COLUMN '])}{quoted(column.name)} {_other_type(column, draw)}{draw.pick(['', '', ' NULL'])}{place(scene, draw)}"


def modify_key(scene: Scene, draw: Draw) -> Clause:
    if not scene.shape.key:
        return None
    column = scene.shape.column(draw.pick(scene.shape.key))
    if column.is_generated:
        return None
    if column.charset and draw.chance(0.8):
        charset = column.charset if draw.chance(0.7) and column.charset in draw.dialect.collations else "utf8mb4"
        kind = f"{column.kind} CHARACTER SET {charset} COLLATE {draw.pick(draw.dialect.collations[charset])}"
    else:
        kind = next(
            (kind for kind in (key_type(draw) for _ in range(20)) if stored_as(kind) == stored_as(column.kind)),
            column.kind,
        )
    return f"MODIFY {quoted(column.name)} {kind} NOT NULL"


def another_order(scene: Scene, draw: Draw) -> Clause:
    """The key's values stay, their order is another one: by bytes, by letters, or from the end."""
    texts = [column for column in map(scene.shape.column, scene.shape.key) if column.collation]
    has_directions = not (draw.is_mariadb and draw.dialect.version < (10, 8))
    has_primary = any(found.name == "PRIMARY" for found in scene.shape.indexes)
    if has_primary and has_directions and (not texts or draw.chance(0.25)):
        names = ", ".join(f"{quoted(name)}{draw.pick([' DESC', ' DESC', ''])}" for name in scene.shape.key)
        return f"DROP PRIMARY KEY, ADD PRIMARY KEY ({names})"
    if not texts:
        return None
    column = draw.pick(texts)
    is_bytes = column.collation.endswith("_bin")
    fitting = [name for name in draw.dialect.collations.get(column.charset, ()) if name.endswith("_bin") != is_bytes]
    if not fitting:
        return None
    return f"MODIFY {quoted(column.name)} {column.kind} CHARACTER SET {column.charset} COLLATE {draw.pick(fitting)} NOT NULL"


def rename_column(scene: Scene, draw: Draw) -> Clause:
    column = draw.pick(scene.shape.columns if draw.chance(0.1) else scene.shape.plain or scene.shape.columns)
    if column.is_generated or column.is_json:
        return None
    new = column.name.swapcase() if draw.chance(0.3) else column_name(draw, scene.shape)
    fitting = [old.name for old in scene.old.values() if stored_as(old.kind) == stored_as(column.kind)]
    if fitting and draw.chance(0.3):
        new = draw.pick(fitting)
    scene.old[column.name.lower()] = column
    if draw.chance(0.5):
        return f"RENAME COLUMN {quoted(column.name)} TO {quoted(new)}"
    charset = (
        f" CHARACTER SET {column.charset} COLLATE {column.collation}"
        if column.charset and column.charset != "binary"
        else ""
    )
    return f"CHANGE {draw.pick(['', 'COLUMN '])}{quoted(column.name)} {quoted(new)} {column.kind}{charset}{'' if column.nullable else ' NOT NULL'}"


def swap_columns(scene: Scene, draw: Draw) -> Clause:
    plain = [column for column in scene.shape.plain if not column.is_json]
    pairs = [
        (one, two) for one in plain for two in plain if one is not two and stored_as(one.kind) == stored_as(two.kind)
    ]
    if not pairs:
        return None
    one, two = draw.pick(pairs)
    return f"RENAME COLUMN {quoted(one.name)} TO {quoted(two.name)}, RENAME COLUMN {quoted(two.name)} TO {quoted(one.name)}"


def set_default(scene: Scene, draw: Draw) -> Clause:
    numbers = [column for column in scene.shape.plain if column.base in {"int", "bigint", "varchar", "decimal"}]
    if not numbers:
        return None
    return f"ALTER {draw.pick(['', 'COLUMN '])}{quoted(draw.pick(numbers).name)} {draw.pick(['SET DEFAULT 7', 'DROP DEFAULT'])}"


def charset(scene: Scene, draw: Draw) -> Clause:
    name, collation = draw.charset()
    return draw.pick(
        [f"CONVERT TO CHARACTER SET {name} COLLATE {collation}", f"DEFAULT CHARACTER SET {name} COLLATE {collation}"]
    )


def index(scene: Scene, draw: Draw) -> Clause:
    small = [
        column
        for column in scene.shape.columns
        if column.base in {"int", "bigint", "varchar", "date", "decimal", "tinyint", "char"}
    ]
    named = [found.name for found in scene.shape.indexes if found.name != "PRIMARY"]
    if named and draw.chance(0.5):
        name = quoted(draw.pick(named))
        hide = "IGNORED" if draw.is_mariadb else "INVISIBLE"
        show = "NOT IGNORED" if draw.is_mariadb else "VISIBLE"
        return draw.pick(
            [
                f"DROP INDEX {name}",
                f"RENAME INDEX {name} TO i{draw.number(10, 99)}",
                f"ALTER INDEX {name} {hide}",
                f"ALTER INDEX {name} {show}",
            ]
        )
    if not small:
        return None
    column = draw.pick(small)
    return f"ADD {draw.pick(['INDEX', 'KEY', 'UNIQUE'])} i{draw.number(10, 99)} ({quoted(column.name)})"


def primary_key(scene: Scene, draw: Draw) -> Clause:
    key = scene.shape.key
    fixed = [
        column
        for column in scene.shape.columns
        if not column.nullable
        and column.base in {"int", "bigint", "varchar", "date", "decimal"}
        and not column.is_generated
    ]
    if not fixed or not key:
        return None
    if draw.chance(0.3) and len(key) > 1:
        names = [*key]
        draw.random.shuffle(names)
    else:
        names = [*dict.fromkeys([*key, draw.pick(fixed).name])][: draw.number(1, 3)]
    has_primary = any(found.name == "PRIMARY" for found in scene.shape.indexes)
    return f"{'DROP PRIMARY KEY, ' if has_primary else ''}ADD PRIMARY KEY ({', '.join(map(quoted, names))})"


def nothing(scene: Scene, draw: Draw) -> Clause:
    return draw.pick([
        "FORCE", "ENGINE=InnoDB", "COMMENT = 'RENAME TO x'", f"AUTO_INCREMENT = {draw.number(1, 99)}", "ROW_FORMAT=DYNAMIC", "ROW_FORMAT=COMPACT",
        f"ADD CONSTRAINT ck{draw.number(10, 9999)} CHECK (1 = 1)", "STATS_PERSISTENT=0", f"RENAME TO {quoted(scene.table)}",
    ])  # fmt: skip


def engine(_scene: Scene, draw: Draw) -> Clause:
    return f"ENGINE={draw.pick(['MyISAM', 'InnoDB', 'InnoDB', 'Aria' if draw.is_mariadb else 'MyISAM'])}"


def foreign_key(scene: Scene, draw: Draw) -> Clause:
    if scene.shape.foreign_keys and draw.chance(0.5):
        return f"DROP FOREIGN KEY {quoted(draw.pick(scene.shape.foreign_keys))}"
    action = draw.weighted(
        {
            "": 4.0,
            " ON DELETE CASCADE": 0.6,
            " ON DELETE SET NULL": 0.6,
            " ON UPDATE CASCADE": 0.6,
            " ON DELETE CASCADE ON UPDATE CASCADE": 0.4,
            " ON DELETE RESTRICT": 2.0,
        }
    )
    name = "pid"
    add = "" if any(column.name == "pid" for column in scene.shape.columns) else f"ADD COLUMN {name} INT, "
    return f"{add}ADD CONSTRAINT fk{draw.number(10, 9999)} FOREIGN KEY ({name}) REFERENCES {PARENT} (id){action}"
