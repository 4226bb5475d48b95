"""Definitions of columns and tables."""

from __future__ import annotations

from dataclasses import dataclass

from tests.fuzz.mysql.draw import Draw, quoted
from tests.fuzz.mysql.shapes import OTHER, PARENT, PART, Shape

INTEGERS = ("TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT")
LABELS = ("''", "'a'", "'A'", "'b''c'", "'é'", "'日本'", "'x y'", "'ss'", "'ß'")
NAMES = ("a", "b", "c", "v", "V", "x", "n", "Name", "wört", "select", "a b", "we`ird", 'q"q', "order", "k.k", "größe")


@dataclass(frozen=True)
class TablePlan:
    """How the history's table is called and what it stands beside.

    Attributes:
        name: Of the table.
        create: The statement that makes it, without its beginning: `(…) ENGINE = …`.
    """

    name: str
    create: str


def column_name(draw: Draw, shape: Shape | None = None) -> str:
    """One that the table does not have."""
    taken = {column.name.lower() for column in shape.columns} if shape else set()
    free = [name for name in NAMES if name.lower() not in taken]
    return draw.pick(free) if free and draw.chance(0.6) else f"c{draw.number(10, 9999)}"


def _fraction(draw: Draw) -> str:
    return draw.pick(["", "(1)", "(3)", "(6)"])


def _text(draw: Draw) -> str:
    charset, collation = draw.charset()
    kind = draw.pick(
        [
            f"CHAR({draw.number(1, 40)})",
            f"VARCHAR({draw.pick([1, 10, 40, 63, 64, 85, 255, 300])})",
            "TINYTEXT",
            "TEXT",
            "MEDIUMTEXT",
            "LONGTEXT",
        ]
    )
    return f"{kind}{_charset(draw, charset, collation)}"


def _charset(draw: Draw, charset: str, collation: str) -> str:
    return f" CHARACTER SET {charset} COLLATE {collation}" if draw.chance(0.7) else ""


def _labels(draw: Draw) -> str:
    charset, collation = draw.charset() if draw.chance(0.3) else ("utf8mb4", "utf8mb4_bin")
    labels = draw.some(LABELS if charset in {"utf8mb4", "utf8mb3"} else LABELS[:4], 1, 5)
    kind = "ENUM" if draw.chance(0.5) or "''" in labels else "SET"
    if draw.chance(0.08):
        charset, collation = "binary", "binary"
    return f"{kind}({', '.join(labels)}) CHARACTER SET {charset} COLLATE {collation}"


def _binary(draw: Draw) -> str:
    return draw.pick(
        [
            f"BINARY({draw.number(1, 20)})",
            f"VARBINARY({draw.pick([1, 40, 255, 300])})",
            "TINYBLOB",
            "BLOB",
            "MEDIUMBLOB",
            "LONGBLOB",
        ]
    )


FAMILIES = {
    "integer": 4.0, "decimal": 2.0, "real": 2.0, "bit": 1.0, "text": 5.0, "binary": 2.0, "labels": 2.0, "time": 3.5, "json": 1.5,
    "geometry": 1.0, "special": 1.0,
}  # fmt: skip


def random_type(draw: Draw) -> str:
    """Any type of a column."""
    match draw.favouring(FAMILIES):
        case "integer":
            return draw.pick([*INTEGERS, "TINYINT(1)", "INT ZEROFILL"]) + draw.pick(["", "", " UNSIGNED"])
        case "decimal":
            precision = draw.pick([1, 5, 10, 20, 38, 65])
            scale = draw.pick([0, 1, min(9, precision), min(30, precision)])
            return f"DECIMAL({precision},{scale}){draw.pick(['', '', ' UNSIGNED'])}"
        case "real":
            return draw.pick(["FLOAT", "DOUBLE"])
        case "bit":
            return f"BIT({draw.pick([1, 7, 8, 9, 33, 64])})"
        case "text":
            return _text(draw)
        case "binary":
            return _binary(draw)
        case "labels":
            return _labels(draw)
        case "time":
            kind = draw.pick(
                ["DATE", "DATETIME", "TIMESTAMP", "TIME", "YEAR(2)" if draw.is_mariadb and draw.chance(0.5) else "YEAR"]
            )
            return (
                kind
                + (_fraction(draw) if kind in {"DATETIME", "TIMESTAMP", "TIME"} else "")
                + (" NULL" if kind == "TIMESTAMP" else "")
            )
        case "json":
            return "JSON"
        case "geometry":
            return draw.pick(["POINT", "GEOMETRY", "LINESTRING", "POLYGON", "GEOMETRYCOLLECTION"])
        case _:
            if draw.is_mariadb:
                kinds = ["UUID", "INET6", "INET4"] + (["VECTOR(3)"] * 3 if draw.dialect.has_vectors else [])
            else:
                kinds = ["VECTOR(3)", "VECTOR"] if draw.dialect.has_vectors else ["JSON"]
            return draw.pick(kinds)


def key_type(draw: Draw) -> str:
    """A type that can be in a key: not too long, and comparable exactly."""
    charset, collation = draw.charset()
    kinds = [
        "INT", "INT", "BIGINT", "BIGINT UNSIGNED", "TINYINT", "MEDIUMINT UNSIGNED", "DECIMAL(10,2)", "DATE", f"DATETIME{_fraction(draw)}", f"TIME{_fraction(draw)}",
        f"VARCHAR({draw.pick([10, 30])}) CHARACTER SET {charset} COLLATE {collation}", f"CHAR(10) CHARACTER SET {charset} COLLATE {collation}",
        "VARCHAR(20)", "BINARY(8)", "VARBINARY(30)", "YEAR", "BIT(10)", f"TIMESTAMP{_fraction(draw)}", "SET('a', 'b', 'c')",
        "ENUM('', 'a', 'b', 'C')" if draw.chance(0.2) else "ENUM('a', 'b', 'C')",
    ]  # fmt: skip
    if draw.is_mariadb:
        kinds += ["UUID", "INET6"]
    return draw.pick(kinds)


def default_of(kind: str, draw: Draw) -> str:
    """A constant default for a type, or nothing."""
    word = kind.split("(")[0].split(" ")[0]
    constants = {
        **dict.fromkeys(INTEGERS, "5"), "DECIMAL": "0.5", "FLOAT": "1.5", "DOUBLE": "-2.5", "CHAR": "'d'", "VARCHAR": "'d'", "DATE": "'2020-01-02'",
        "DATETIME": "'2020-01-02 03:04:05'", "TIMESTAMP": draw.pick(["'2020-01-02 03:04:05'", "CURRENT_TIMESTAMP" if "(" not in kind else "'2021-01-01 00:00:00'"]),
        "TIME": "'-01:00:00'", "YEAR": "2020", "BINARY": "'x'", "VARBINARY": "'x'", "BIT": "b'1'",
    }  # fmt: skip
    if draw.is_mariadb:
        constants |= {
            "TEXT": "'dt'",
            "BLOB": "'db'",
            "UUID": "'123e4567-e89b-12d3-a456-426655440000'",
            "INET6": "'::1'",
        }
    return constants.get(word, "")


def column_definition(draw: Draw, *, kind: str | None = None) -> str:
    """Type and attributes."""
    kind = kind or random_type(draw)
    default = default_of(kind, draw)
    text = kind
    if not default or draw.chance(0.6):
        return text + (" NULL" if draw.chance(0.2) and "NULL" not in kind else "")
    if draw.chance(0.5) and "NULL" not in kind:
        text += " NOT NULL"
    text += f" DEFAULT {default}"
    if draw.dialect.has_invisible_columns and draw.chance(0.08):
        text += " INVISIBLE"
    if draw.chance(0.05):
        text += " COMMENT 'TRUNCATE `t`; -- it''s'"
    return text


def generated_definition(draw: Draw, of: str) -> str:
    """A column made from another one."""
    name = quoted(of)
    kind, expression = draw.pick(
        [
            ("INT", f"CHAR_LENGTH({name})"),
            ("VARCHAR(60)", f"LEFT(HEX({name}), 20)"),
            ("INT", f"LENGTH({name}) + 1"),
            ("TINYINT", f"{name} IS NULL"),
        ]
    )
    return f"{kind} GENERATED ALWAYS AS ({expression}) {draw.pick(['VIRTUAL', 'STORED'])}"


def create_table(draw: Draw) -> str:
    """`(…) options` of a table that can be followed, as a rule."""
    keys = draw.pick([1, 1, 1, 2, 2, 3, 4])
    names: list[str] = []
    parts: list[str] = []
    for number in range(keys):
        names.append(draw.pick([f"k{number}", f"Key {number}"]) if draw.chance(0.3) else f"k{number}")
        kind = "INT" if number == 0 and draw.chance(0.5) else key_type(draw)
        parts.append(f"{quoted(names[-1])} {kind} NOT NULL")
    plain: list[str] = []
    for _ in range(draw.number(1, 6)):
        kind = random_type(draw)
        name = f"js{len(plain)}" if kind == "JSON" else column_name(draw)
        if name.lower() in {known.lower() for known in [*names, *plain]}:
            continue
        plain.append(name)
        parts.append(f"{quoted(name)} {column_definition(draw, kind=kind)}")
    if draw.chance(0.15) and plain:
        parts.append(f"g1 {generated_definition(draw, draw.pick(plain))}")
    draw.random.shuffle(parts)
    is_unique = draw.chance(0.12)
    order = ", ".join(
        quoted(name)
        + (" DESC" if draw.chance(0.1) and not (draw.is_mariadb and draw.dialect.version < (10, 8)) else "")
        for name in names
    )
    parts.append(f"{'UNIQUE KEY uk' if is_unique else 'PRIMARY KEY'} ({order})")
    if draw.chance(0.2):
        parts.append("KEY i1 (k0)" if "k0" in names else f"KEY i1 ({quoted(names[0])})")
    can_split = names[0] == "k0" and " k0 INT " in f" {' '.join(parts).replace('`', '')} "
    text = f"({', '.join(parts)})"
    engine = draw.weighted(
        {"": 12.0, "InnoDB": 3.0, "MyISAM": 1.0, "MEMORY": 0.3, **({"Aria": 1.0} if draw.is_mariadb else {})}
    )
    if engine:
        text += f" ENGINE={engine}"
    if draw.chance(0.5):
        charset, collation = draw.charset()
        text += f" CHARACTER SET {charset} COLLATE {collation}"
    if can_split and engine in {"", "InnoDB"} and draw.chance(0.15):
        text += draw.pick(
            [
                " PARTITION BY HASH (k0) PARTITIONS 3",
                " PARTITION BY KEY (k0) PARTITIONS 2",
                " PARTITION BY RANGE (k0) (PARTITION p0 VALUES LESS THAN (0), PARTITION p1 VALUES LESS THAN (100), PARTITION p2 VALUES LESS THAN MAXVALUE)",
            ]
        )
    return text


TABLE_NAMES = (
    *["t"] * 8, "T1", "or`der", "select", "t t", "ignore", *['we"ird'] * 3, *["größe"] * 2, *["表"] * 2,
    *["online", "quick", "offline"] * 2, "extended", "only", "truncate", "temporary",
)  # fmt: skip


def side_tables() -> list[str]:
    """Tables beside the followed one, in its database."""
    return [
        f"CREATE TABLE {PARENT} (id INT PRIMARY KEY, u INT UNIQUE) ENGINE=InnoDB",
        f"INSERT INTO {PARENT} VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)",
        f"CREATE TABLE {OTHER} (id INT PRIMARY KEY, v VARCHAR(50)) ENGINE=InnoDB",
        f"INSERT INTO {OTHER} VALUES (1, 'one'), (2, 'two'), (3, 'three')",
    ]


def merge_tables(name: str) -> list[str]:
    """A table of the engine MERGE over one part, whose rows are the table's."""
    columns = "(k0 INT NOT NULL, v VARCHAR(20), PRIMARY KEY (k0))"
    return [
        f"CREATE TABLE {PART} {columns} ENGINE=MyISAM",
        f"CREATE TABLE {name} {columns} ENGINE=MERGE UNION=({PART}) INSERT_METHOD=LAST",
    ]
