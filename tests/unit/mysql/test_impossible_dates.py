"""An alteration that copies the table may make zeros of impossible dates; seen on MySQL 8.0 and MariaDB 11.4 with these settings."""

from __future__ import annotations

import pytest

from connector_runner.sources.mysql.ddl.alterations import Change, read_alteration
from connector_runner.sources.mysql.ddl.old_rows import find_change
from connector_runner.sources.mysql.types.columns import SourceColumn
from connector_runner.sources.mysql.types.table import TableDefinition

TRANS, ALL, IN_DATE, ZERO, ALLOWED = (1 << bit for bit in (21, 22, 23, 24, 25))
# sql_mode → whether the copy changed such dates on (MySQL, MariaDB).
SEEN = {
    0: (True, False), ALLOWED: (False, False), ZERO: (True, True), IN_DATE: (True, True), ALLOWED | IN_DATE: (True, True),
    ALLOWED | ZERO: (False, False), TRANS: (False, False), ALL: (False, False), TRANS | ZERO | IN_DATE: (False, False), ALL | IN_DATE: (False, False),
}  # fmt: skip


def table(*columns: tuple[str, str], key: str = "id") -> TableDefinition:
    return TableDefinition("d", "t", tuple(SourceColumn(name, kind) for name, kind in columns), (key,))


@pytest.mark.parametrize("sql_mode", SEEN)
def test_it_depends_on_the_settings_of_the_session(sql_mode: int) -> None:
    found = [
        read_alteration("ALTER TABLE t ADD INDEX (i)", sql_mode=sql_mode, is_mariadb=is_mariadb).zeroes_dates
        for is_mariadb in (False, True)
    ]
    assert tuple(found) == SEEN[sql_mode]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("ALTER TABLE t ADD INDEX (i), ALGORITHM=COPY", True), ("ALTER TABLE t COMMENT 'ALGORITHM=INPLACE'", True), ("CREATE INDEX i ON t (a)", True),
        ("DROP INDEX i ON t ALGORITHM = INPLACE", False), ("ALTER TABLE t ALGORITHM=INSTANT, ADD x INT", False),
    ],
)  # fmt: skip
def test_it_depends_on_the_algorithm(statement: str, expected: bool) -> None:
    assert read_alteration(statement).zeroes_dates is expected


def test_only_tables_with_dates_change_and_another_key_means_other_rows() -> None:
    copied, strict = (read_alteration("ALTER TABLE t ADD INDEX (i)", sql_mode=mode) for mode in (0, TRANS))
    plain = table(("id", "int"), ("s", "timestamp"), ("y", "year"), ("t", "time"))
    assert find_change(plain, plain, copied) is Change.NONE
    for kind in ("date", "datetime(3)"):
        value, key = table(("id", "int"), ("d", kind)), table(("d", kind), ("i", "int"), key="d")
        assert find_change(value, value, copied) is Change.VALUES
        assert find_change(key, key, copied) is Change.KEYS
        assert find_change(key, key, strict) is Change.NONE
