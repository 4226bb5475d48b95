"""Things that go wrong together: statements in an order, with the setting that makes them worth trying. Drawn beside random ones.

A motif is drawn like any statement, but the datasets are compared right after it: what came later would hide what it did.
"""

from __future__ import annotations

from tests.fuzz.mysql.draw import Draw, quoted
from tests.fuzz.mysql.grammar import clauses, statements
from tests.fuzz.mysql.grammar.alterations import add_rows_drop, default_and_drop, there_and_back
from tests.fuzz.mysql.grammar.changes import delete, insert, json_part_of, update, update_key
from tests.fuzz.mysql.grammar.clauses import alter, stored_as
from tests.fuzz.mysql.grammar.scene import Kind, Scene, Words
from tests.fuzz.mysql.grammar.settings import CLIENT_CHARSETS
from tests.fuzz.mysql.shapes import PARENT
from tests.fuzz.mysql.steps import Step
from tests.fuzz.mysql.values import INTEGER_BITS

_ALTER = "ALTER TABLE, CREATE INDEX, DROP INDEX"


def in_other_words(scene: Scene, draw: Draw) -> Words:
    """A statement on the table as a session with another character set or other quotes writes it."""
    speaker = scene.speaker
    writable = [
        name for name, codec in CLIENT_CHARSETS.items() if codec != "utf-8" and _is_writable(scene.table, codec)
    ]
    wants_quotes = scene.table.isascii() and draw.chance(0.9 if '"' in scene.table else 0.4)
    before, modes = speaker.charset, speaker.sql_mode
    first: list[Step | str] = []
    if writable and not wants_quotes:
        speaker.charset = draw.pick(writable)
        first.append(Step("charset", f"SET NAMES {speaker.charset}", scene.session, speaker.charset))
    else:
        speaker.sql_mode = "ANSI_QUOTES"
        first.append(Step("sql_mode", "SET SESSION sql_mode = 'ANSI_QUOTES'", scene.session))
    kind = draw.weighted(
        {statements.truncate: 4.0, statements.swap: 1.2, case_of_a_column: 1.0, default_and_drop: 1.0, statements.create_or_replace: 0.7}
    )  # fmt: skip
    said = kind(scene, draw)
    if draw.chance(0.5):
        speaker.charset, speaker.sql_mode = before, modes
        last = [
            Step("charset", f"SET NAMES {before}", scene.session, before),
            Step("sql_mode", f"SET SESSION sql_mode = '{modes}'", scene.session),
        ]
    else:
        last = []
    return [*first, *said, *last] if said else None


def _is_writable(name: str, codec: str) -> bool:
    try:
        name.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def case_of_a_column(scene: Scene, draw: Draw) -> Words:
    """A column that is there again under a name that differs in case alone, in one statement or in several."""
    plain = [column for column in scene.shape.plain if not column.is_json and column.name.swapcase() != column.name]
    if not plain:
        return None
    column = draw.pick(plain)
    other = quoted(column.name.swapcase())
    charset = f" CHARACTER SET {column.charset} COLLATE {column.collation}" if column.charset else ""
    kind = f"{column.kind}{charset}"
    match draw.number(0, 3):
        case 0:
            return alter(scene, draw, f"DROP COLUMN {other}, ADD COLUMN {quoted(column.name)} {kind}")
        case 1:
            between = draw.pick([insert, delete, lambda *_: None])(scene, draw) if column.nullable else None
            between = [text for text in between or [] if quoted(column.name) not in text]
            return [*alter(scene, draw, f"DROP COLUMN {quoted(column.name)}"), *between, *alter(scene, draw, f"ADD COLUMN {other} {kind}")]  # fmt: skip
        case 2:
            return alter(scene, draw, f"CHANGE {quoted(column.name)} {other} {kind}")
        case _:
            return alter(scene, draw, f"RENAME COLUMN {quoted(column.name)} TO {other}")


def cascade(scene: Scene, draw: Draw) -> Words:
    """A foreign key that changes rows, and the change."""
    add = "" if any(column.name == "pid" for column in scene.shape.columns) else "ADD COLUMN pid INT, "
    action = draw.pick(
        [" ON DELETE CASCADE", " ON DELETE SET NULL", " ON DELETE CASCADE ON UPDATE CASCADE", " ON UPDATE CASCADE"]
    )
    number = draw.number(1, 3)
    changes = [f"DELETE FROM {PARENT} WHERE id <= {number}", f"UPDATE {PARENT} SET id = id + 100 WHERE id <= {number}"]
    first = quoted(scene.shape.columns[0].name)
    return [
        f"INSERT IGNORE INTO {PARENT} VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)",
        *alter(scene, draw, f"{add}ADD CONSTRAINT fk{draw.number(10, 9999)} FOREIGN KEY (pid) REFERENCES {PARENT} (id){action}"),
        f"UPDATE IGNORE {scene.name(draw)} SET pid = 1 + CRC32(HEX({first})) % 5",
        *draw.some(changes if "ON UPDATE" in action else changes[:1], 1, 2),
    ]  # fmt: skip


def checksums(scene: Scene, draw: Draw) -> Words:
    """The log's checksums, switched with rows before and after."""
    first, second = draw.pick([("NONE", "CRC32"), ("CRC32", "NONE")])
    return [
        Step("binlog_checksum", f"SET GLOBAL binlog_checksum = {first}"),
        *(insert(scene, draw) or []),
        Step("binlog_checksum", f"SET GLOBAL binlog_checksum = {second}"),
        *(insert(scene, draw) or []),
        *(draw.pick([update, delete, update_key])(scene, draw) or []),
    ]


def parts_of_json(scene: Scene, draw: Draw) -> Words:
    """Updates of which the log has the changed part alone (MySQL)."""
    if draw.is_mariadb:
        return None
    documents = [column.name for column in scene.shape.plain if column.is_json]
    name = draw.pick(documents) if documents else f"js{draw.number(10, 999)}"
    return [
        *([] if documents else alter(scene, draw, f"ADD COLUMN {quoted(name)} JSON")),
        "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'",
        *(insert(scene, draw) or []),
        *(text for _ in range(draw.number(2, 4)) for text in json_part_of(name, scene, draw)),
        *(update(scene, draw) or []),
        "SET SESSION binlog_row_value_options = ''",
    ]


def hidden_index(scene: Scene, draw: Draw) -> Words:
    """The index that rows are told apart by is hidden from the optimizer, and then the table may be read again."""
    unique = [found.name for found in scene.shape.indexes if found.is_usable and found.name != "PRIMARY"]
    hide = "IGNORED" if draw.is_mariadb else "INVISIBLE"
    if not unique:
        fixed = [column for column in scene.shape.columns if not column.nullable and column.base in {"int", "bigint"}]
        if not fixed:
            return None
        return alter(scene, draw, f"ADD UNIQUE u{draw.number(10, 99)} ({quoted(draw.pick(fixed).name)}) {hide}")
    again = draw.pick(
        [
            [],
            alter(scene, draw, f"ADD COLUMN h{draw.number(10, 9999)} INT DEFAULT 3"),
            *[statements.truncate(scene, draw) or []],
        ]
    )
    return [*alter(scene, draw, f"ALTER INDEX {quoted(draw.pick(unique))} {hide}"), *again]  # fmt: skip


def unlogged(scene: Scene, draw: Draw) -> Words:
    """A definition that was changed without the log, and rows that the log has then."""
    plain = [column for column in scene.shape.plain if not column.is_json]
    change = f"ADD COLUMN un{draw.number(10, 9999)} INT"
    if plain and draw.chance(0.4):
        change = f"DROP COLUMN {quoted(draw.pick(plain).name)}"
    rows = [text for text in insert(scene, draw) or [] if change.split(" ")[-1] not in text]
    return [
        "SET SESSION sql_log_bin = 0",
        *alter(scene, draw, change),
        "SET SESSION sql_log_bin = 1",
        *rows,
        f"DELETE FROM {scene.name(draw)} ORDER BY {', '.join(map(quoted, scene.shape.key))} LIMIT 1" if scene.shape.key else "DO 1",
    ]  # fmt: skip


def side_by_side(scene: Scene, draw: Draw) -> Words:
    """Transactions of two sessions that overlap, with a rotation of the log between."""
    one, two = draw.some(["a", "b", "c"], 2, 2)
    parts: list[list[Step | str]] = []
    for session in (one, two):
        changes = [
            text
            for change in draw.some([insert, insert, update, update_key, delete], 1, 3)
            for text in change(scene, draw) or []
        ]
        end = draw.weighted({"COMMIT": 4.0, "ROLLBACK": 1.0})
        parts.append([Step("overlapping transactions", text, session) for text in ("BEGIN", *changes, end)])
    merged: list[Step | str] = []
    while any(parts):
        part = draw.pick([part for part in parts if part])
        merged.append(part.pop(0))
        if draw.chance(0.1):
            merged.append(Step("log rotation", "FLUSH BINARY LOGS", "c" if "c" not in (one, two) else "d"))
    return merged  # fmt: skip


def in_one_gap(scene: Scene, draw: Draw) -> Words:
    """Several alterations one after the other; between them nothing tells what the table looks like."""
    plain = [
        column
        for column in scene.shape.plain
        if stored_as(column.kind) == "number" and column.base != "bit" and column.base != "year"
    ]
    said: list[Step | str] = []
    if plain:
        name = quoted(draw.pick(plain).name)
        kinds = [
            "INT UNSIGNED",
            "INT",
            "BIGINT",
            "TINYINT UNSIGNED",
            "SMALLINT",
            "INT NOT NULL DEFAULT 9",
            "INT DEFAULT NULL",
            "INT DEFAULT 4",
        ]
        said += [text for kind in draw.some(kinds, 1, 3) for text in alter(scene, draw, f"MODIFY {name} {kind}")]
        if draw.chance(0.5):
            said += alter(scene, draw, f"ALTER {name} {draw.pick(['SET DEFAULT 8', 'DROP DEFAULT'])}")
    added = quoted(f"d{draw.number(10, 9999)}")
    said += alter(
        scene,
        draw,
        f"ADD COLUMN {added} {draw.pick(['INT DEFAULT 5', 'INT NOT NULL', 'VARCHAR(9) NOT NULL DEFAULT 2', 'INT'])}",
    )
    if draw.chance(0.6):
        said += alter(
            scene,
            draw,
            draw.pick(
                [
                    f"ALTER {added} DROP DEFAULT",
                    f"ALTER {added} SET DEFAULT 6",
                    f"RENAME COLUMN {added} TO {quoted('r' + added.strip('`'))}",
                ]
            ),
        )
    if draw.chance(0.4):
        said += insert(scene, draw) or []
    return said  # fmt: skip


def many_rows(scene: Scene, draw: Draw) -> Words:
    """Rows of every value, in both ways: as they are inserted and as they are changed."""
    return [*(insert(scene, draw, 8) or []), *(update(scene, draw) or []), *(update_key(scene, draw) or [])]


def key_again(scene: Scene, draw: Draw) -> Words:
    """Another order of the key's values."""
    clause = draw.pick([clauses.another_order, clauses.another_order, clauses.modify_key])(scene, draw)
    return alter(scene, draw, clause) if clause else None


def values_again(scene: Scene, draw: Draw) -> Words:
    """Another character set or sign of a column, and values that need it: read by the definition of before they are others."""
    texts = [column for column in scene.shape.plain if column.base == "varchar" and column.charset in _SWITCHED]
    numbers = [column for column in scene.shape.plain if column.base in INTEGER_BITS]
    if texts and (not numbers or draw.chance(0.6)):
        column = draw.pick(texts)
        return alter(
            scene, draw, f"MODIFY {quoted(column.name)} {column.kind} CHARACTER SET {_SWITCHED[column.charset]}"
        )
    if not numbers:
        return None
    column = draw.pick(numbers)
    is_signed = "unsigned" not in column.kind
    kind = f"{column.base} UNSIGNED" if is_signed else column.base
    value = 2 ** INTEGER_BITS[column.base] - 1 if is_signed else -1
    name = quoted(column.name)
    return [*alter(scene, draw, f"MODIFY {name} {kind}"), f"UPDATE IGNORE {scene.name(draw)} SET {name} = {value}"]


_SWITCHED = {"latin1": "utf8mb4", "utf8mb4": "latin1"}

MOTIFS = [
    Kind("temporary namesake, then a look", statements.TEMPORARY_NAMESAKE, 3, statements.temporary),
    Kind("in another character set or quotes", statements.TRUNCATE, 3.2, in_other_words),
    Kind("truncate, then a look", statements.TRUNCATE, 1.4, statements.truncate),
    Kind("default added and dropped, then a look", _ALTER, 2, default_and_drop),
    Kind("migration and back, then a look", _ALTER, 2.6, there_and_back),
    Kind("column added, rows, dropped, then a look", _ALTER, 2, add_rows_drop),
    Kind("case of a column", _ALTER, 2, case_of_a_column), Kind("cascade", _ALTER, 2, cascade),
    Kind("checksums around rows", "settings", 1.4, checksums), Kind("parts of JSON", "rows", 2, parts_of_json, only="mysql"),
    Kind("hidden index", _ALTER, 1.8, hidden_index), Kind("unlogged alteration", _ALTER, 1.8, unlogged),
    Kind("overlapping transactions", "rows", 1.2, side_by_side, is_definition=False), Kind("alterations in one gap", _ALTER, 2, in_one_gap),
    Kind("many rows, then a look", "rows", 2.4, many_rows, is_definition=False), Kind("key altered, then a look", _ALTER, 1.2, key_again),
]  # fmt: skip


def pick_motif(draw: Draw) -> Kind:
    return draw.random.choices(MOTIFS, [kind.weight for kind in MOTIFS])[0]
