"""Statements that fail half way: MariaDB leaves the table away, and writes another statement into its log, or none."""

from __future__ import annotations

from tests.fuzz.mysql.draw import Draw, quoted
from tests.fuzz.mysql.grammar.scene import Scene, Words
from tests.fuzz.mysql.shapes import PARENT
from tests.fuzz.mysql.steps import DATABASE, OTHER_DATABASE, Step


def half_done(scene: Scene, draw: Draw) -> Words:
    """Logged with an error, or anew by the server, or not at all (the database whose tables a foreign key of another one needs)."""
    name = scene.name(draw)
    away = [
        f"DROP TABLE {name}, nothing_there",
        f"CREATE OR REPLACE TABLE {name} (id INT PRIMARY KEY, x INT, FOREIGN KEY (x) REFERENCES nothing_there (n))",
        f"CREATE OR REPLACE TABLE {name} (id INT PRIMARY KEY) SELECT 1 AS id UNION ALL SELECT 1",
    ]
    if draw.chance(0.5):
        return [draw.pick(away)]
    child = f"CREATE TABLE {quoted(OTHER_DATABASE)}.child (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES {quoted(DATABASE)}.{PARENT} (id))"
    words = draw.pick(["DROP DATABASE", "DROP SCHEMA IF EXISTS", "CREATE OR REPLACE DATABASE"])
    return [Step("create", child, scene.session), f"{words} {quoted(DATABASE)}"]
