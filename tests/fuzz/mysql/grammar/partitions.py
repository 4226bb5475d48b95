"""Statements on parts of a table, and on the file that its rows lie in."""

from __future__ import annotations

from tests.fuzz.mysql.draw import Draw, quoted
from tests.fuzz.mysql.grammar.changes import insert
from tests.fuzz.mysql.grammar.scene import Scene, Words, Writer, disguise
from tests.fuzz.mysql.steps import Step


def _partitioned(scene: Scene, draw: Draw) -> list[Step] | None:
    """Statements after which the table has the parts p0, p1 and p2; None if it can't have them."""
    shape = scene.shape
    if {"p0", "p1", "p2"} <= set(shape.partitions):
        return []
    first = next((column for column in shape.columns if column.name.lower() == "k0"), None)
    if first is None or first.base not in {"int", "bigint"} or first.name not in shape.key or shape.foreign_keys:
        return None
    parts = (
        "PARTITION p0 VALUES LESS THAN (0), PARTITION p1 VALUES LESS THAN (50), PARTITION p2 VALUES LESS THAN MAXVALUE"
    )
    return scene.steps("partitioned", f"ALTER TABLE {scene.name(draw)} PARTITION BY RANGE (k0) ({parts})")


def of_partition(clause: str) -> Writer:
    """A statement on one part; the table is split first if it is not yet."""

    def write(scene: Scene, draw: Draw) -> Words:
        first, number = _partitioned(scene, draw), draw.number(10, 9999)
        if first is None or ("CONVERT" in clause and not (draw.is_mariadb and draw.dialect.version >= (10, 7))):
            return None
        part = draw.pick(scene.shape.partitions or ("p0", "p1", "p2"))
        name = scene.name(draw)
        before = []
        if "EXCHANGE" in clause:
            before = scene.steps(
                "partitioned", f"CREATE TABLE _e{number} LIKE {name}", f"ALTER TABLE _e{number} REMOVE PARTITIONING"
            )
        said = clause.format(part=quoted(part), number=number)
        return [*first, *before, disguise(f"ALTER TABLE {name} {said}", draw)]

    return write


def other_partitions(scene: Scene, draw: Draw) -> Words:
    """What leaves the rows where they are."""
    first, shape = _partitioned(scene, draw), scene.shape
    if not shape.partitions:
        return first
    options = [f"ANALYZE PARTITION {quoted(draw.pick(shape.partitions))}", f"REBUILD PARTITION {quoted(draw.pick(shape.partitions))}", "REMOVE PARTITIONING"]  # fmt: skip
    if "p2" in shape.partitions and "RANGE" in shape.method:
        options.append("REORGANIZE PARTITION p2 INTO (PARTITION p2 VALUES LESS THAN (900), PARTITION p3 VALUES LESS THAN MAXVALUE)")  # fmt: skip
    elif "RANGE" not in shape.method:
        options += ["COALESCE PARTITION 1", "ADD PARTITION PARTITIONS 1"]
    return [disguise(f"ALTER TABLE {scene.name(draw)} {draw.pick(options)}", draw)]


def discard(scene: Scene, draw: Draw) -> list[str] | None:
    """The rows go, the table stays, and can't be read."""
    if scene.shape.engine.lower() != "innodb" or scene.shape.partitions or scene.shape.foreign_keys:
        return None
    return [disguise(f"ALTER TABLE {scene.name(draw)} DISCARD TABLESPACE", draw)]


def put_back(scene: Scene, draw: Draw) -> Words:
    """A table's file is kept, and imported later: the table is what it was, whatever was written meanwhile."""
    is_plain = scene.table.isascii() and scene.table.isalnum()
    if not is_plain or scene.shape.engine.lower() != "innodb" or scene.shape.partitions or scene.shape.foreign_keys:
        return None
    name = scene.name(draw)
    return [
        Step("stop"),
        Step("keep the file", scene.table, scene.session),
        *(insert(scene, draw) or []),
        f"ALTER TABLE {name} DISCARD TABLESPACE",
        Step("put the file back", scene.table, scene.session),
        f"ALTER TABLE {name} IMPORT TABLESPACE",
        Step("start"),
    ]
