"""What a change of the definition does to rows that are stored already."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.mysql.ddl.alterations import (
    UNKNOWN,
    Change,
    change_by_text,
    may_remove_key,
    read_alteration,
)
from connector_runner.sources.mysql.ddl.old_rows import (
    change_by_definitions,
    dropped_since,
    find_change,
    needs_other_types,
    remember_dropped,
)
from connector_runner.sources.mysql.types.columns import SourceColumn
from connector_runner.sources.mysql.types.table import TableDefinition

ID = SourceColumn("id", "int", nullable=False)
KNOWN = TableDefinition(
    "d", "t", (ID, SourceColumn("a", "int"), SourceColumn("b", "varchar(5)", "utf8mb4")), ("id",), dropped=("old",)
)

TEXTS = {
    Change.NONE: [
        "ADD c INT", "ADD COLUMN c INT NULL DEFAULT NULL AFTER id", "ADD COLUMN IF NOT EXISTS c VARCHAR(9) COMMENT 'not default 5'",
        "ADD INDEX (a)", "ADD KEY k (a), ADD FULLTEXT (b)", "ADD UNIQUE u (a)", "ADD CONSTRAINT u UNIQUE KEY (a)", "ADD CHECK (a > 1)",
        "ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES p (id) ON DELETE CASCADE", "DROP a", "DROP COLUMN IF EXISTS b", "DROP INDEX k",
        "DROP FOREIGN KEY f", "DROP CONSTRAINT f", "ALTER a DROP DEFAULT", "ALTER COLUMN a SET DEFAULT (1, 2)", "ALTER INDEX k INVISIBLE",
        "RENAME INDEX k TO l", "COMMENT 'x', ENGINE=InnoDB ROW_FORMAT=DYNAMIC", "ENGINE = 'innodb'", "AUTO_INCREMENT = 7", "FORCE", "",
        "ALGORITHM=INPLACE, LOCK=NONE, ADD INDEX (a, b)", "PARTITION BY HASH (id) PARTITIONS 4", "REMOVE PARTITIONING",
        "DEFAULT CHARACTER SET latin1", "ADD PARTITION (PARTITION p VALUES LESS THAN (9))", "WAIT 5 ADD c INT", "RENAME TO t",
        "ADD VECTOR INDEX (a)", "ADD engine INT",
    ],
    Change.VALUES: [
        "ADD c INT DEFAULT 5", "ADD c INT NOT NULL", "ADD c INT AS (a + 1)", "ADD c TIMESTAMP", "ADD (c INT, e INT DEFAULT 1)", "MODIFY a BIGINT",
        "CHANGE a c INT", "CHANGE COLUMN a A INT", "RENAME COLUMN a TO c", "ADD old INT", "ADD OLD INT",
        "ADD (OLD INT)", "DROP a, ADD a INT", "DROP COLUMN A, ADD COLUMN a INT", "MODIFY engine INT",
        "ADD c INT, MODIFY b TEXT",
    ],
    Change.KEYS: [
        "MODIFY id BIGINT", "MODIFY ID BIGINT", "CHANGE id i INT", "RENAME COLUMN id TO i", "DROP id", "DROP PRIMARY KEY", "ADD PRIMARY KEY (a)",
        "ADD CONSTRAINT PRIMARY KEY (a)", "ADD c INT PRIMARY KEY", "ADD (c INT, PRIMARY KEY (c))", "MODIFY a INT AUTO_INCREMENT",
        "ENGINE=BLACKHOLE", "CONVERT TO CHARACTER SET latin1", "COMMENT='x' ENGINE MERGE", "ADD SYSTEM VERSIONING", "SOME FUTURE WORDS", "ORDER BY a, b", "DROP SYSTEM VERSIONING",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("change", "text"), [(change, text) for change, texts in TEXTS.items() for text in texts])
def test_what_an_alteration_may_do_by_its_text(change: Change, text: str) -> None:
    known = KNOWN if "CONVERT" not in text else replace(KNOWN, key=())
    assert change_by_text(read_alteration(f"ALTER TABLE t {text}"), known) is (
        change if "CONVERT" not in text else Change.KEYS
    )


def test_a_key_of_a_unique_index_may_change_with_any_unique_index() -> None:
    known = replace(KNOWN, index="u")
    for text in ("ADD UNIQUE (a)", "DROP INDEX U", "DROP CONSTRAINT u", "ADD c INT UNIQUE"):
        assert change_by_text(read_alteration(f"ALTER TABLE t {text}"), known) is Change.KEYS
    assert change_by_text(read_alteration("ALTER TABLE t DROP INDEX other"), known) is Change.NONE


@pytest.mark.parametrize(
    "text", ["ALTER IGNORE TABLE t ADD UNIQUE (a)", "SET STATEMENT max_statement_time=1 FOR ALTER ONLINE IGNORE TABLE t ADD UNIQUE (a)"]
)  # fmt: skip
def test_rows_may_be_removed(text: str) -> None:
    alteration = read_alteration(text)
    assert alteration.ignores
    assert change_by_text(alteration, KNOWN) is change_by_definitions(KNOWN, KNOWN, alteration) is Change.KEYS


def test_foreign_keys_that_change_rows() -> None:
    texts = {
        "ADD FOREIGN KEY (a) REFERENCES p (id) ON DELETE CASCADE": True, "ADD c INT REFERENCES p (id) ON UPDATE SET NULL": True,
        "ADD FOREIGN KEY (a) REFERENCES p (id) ON DELETE RESTRICT": False, "ADD c TIMESTAMP ON UPDATE CURRENT_TIMESTAMP": False,
    }  # fmt: skip
    assert {text: read_alteration(f"ALTER TABLE t {text}").has_cascades for text in texts} == texts


def test_what_keeps_the_columns() -> None:
    texts = {"ADD INDEX (a)": True, "DROP FOREIGN KEY f, COMMENT 'x'": True, "ALTER a DROP DEFAULT": True, "ADD c INT": False, "DROP a": False, "ADD INDEX (a), MODIFY a INT": False}  # fmt: skip
    assert {text: read_alteration(f"ALTER TABLE t {text}").keeps_columns for text in texts} == texts
    assert read_alteration("CREATE INDEX i ON t (a)").keeps_columns
    assert not UNKNOWN.keeps_columns


@given(st.text(max_size=60))
def test_any_alteration_is_judged(text: str) -> None:
    assert change_by_text(read_alteration(f"ALTER TABLE t {text}"), KNOWN) in Change


def definition(*columns: SourceColumn) -> TableDefinition:
    return TableDefinition("d", "t", columns, ("id",))


def columns(texts: list[str]) -> list[SourceColumn]:
    return [SourceColumn(name, sql_type) for name, _, sql_type in (text.partition(" ") for text in texts)]


NOTHING = read_alteration("ALTER TABLE t COMMENT 'x'")


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (["a int"], ["a bigint"], True), (["a bigint"], ["a int"], False), (["a varchar(5)"], ["a varchar(9)"], True), (["a int"], ["a int unsigned"], False),
        (["a int"], ["a int", "b int"], True), (["a int"], ["b int"], False), (["a int", "b int"], ["b int", "a int"], True), (["a int"], [], True),
        (["a enum('x')"], ["a enum('x','y')"], True), (["a enum('x','y')"], ["a enum('y','x')"], False), (["a char(3)"], ["a varchar(3)"], False),
    ],
)  # fmt: skip
def test_when_old_rows_stay_right(before: list[str], after: list[str], kept: bool) -> None:
    old, new = definition(ID, *columns(before)), definition(ID, *columns(after))
    assert find_change(old, new, NOTHING) is (Change.NONE if kept else Change.VALUES)
    assert find_change(old, new, UNKNOWN) is Change.VALUES
    with_default = SourceColumn("z", "int", default="5")
    assert find_change(old, definition(*old.columns, with_default), NOTHING) is Change.VALUES


def test_a_guess_says_nothing_of_what_happened_in_between() -> None:
    there = read_alteration("ALTER TABLE t MODIFY a DECIMAL(10, 2)")
    known = definition(ID, *columns(["a int"]))
    guess = replace(known, is_guess=True)
    assert find_change(known, known, there) is Change.NONE
    assert find_change(known, guess, there) is find_change(guess, known, there) is Change.VALUES
    assert find_change(guess, known, read_alteration("ALTER TABLE t ADD INDEX (a)")) is Change.NONE
    assert find_change(known, replace(guess, key=()), NOTHING) is Change.KEYS


def test_a_key_in_another_form_means_another_key() -> None:
    text, number = (
        SourceColumn("id", "varchar(9)", "utf8mb4", nullable=False),
        SourceColumn("id", "bigint", nullable=False),
    )
    assert find_change(definition(text), definition(replace(text, charset="latin1")), NOTHING) is Change.KEYS
    assert find_change(definition(ID), definition(number), NOTHING) is Change.NONE
    assert find_change(definition(ID), definition(replace(ID, is_auto=True)), NOTHING) is Change.KEYS, (
        "zeros become numbers"
    )


def test_nulls_that_may_have_become_values() -> None:
    before, after = SourceColumn("a", "int"), SourceColumn("a", "int", nullable=False)
    assert find_change(definition(ID, before), definition(ID, after), NOTHING) is Change.VALUES
    assert find_change(definition(ID, after), definition(ID, before), NOTHING) is Change.NONE


def test_what_was_dropped_or_renamed_is_not_what_it_was() -> None:
    a, b = (SourceColumn(name, "int") for name in "ab")
    swap = read_alteration("ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a")
    assert find_change(definition(ID, a, b), definition(ID, b, a), NOTHING) is Change.NONE
    assert find_change(definition(ID, a, b), definition(ID, b, a), swap) is Change.VALUES
    for text in ("DROP a, ADD a INT", "DROP COLUMN A, ADD COLUMN a INT", "CHANGE a A INT"):
        assert (
            find_change(definition(ID, a), definition(ID, a), read_alteration(f"ALTER TABLE t {text}")) is Change.VALUES
        )


def test_names_that_were_dropped_are_remembered_however_they_are_spelt() -> None:
    a, b, c, large = (SourceColumn(name, "int") for name in "abcC")
    drop, add = read_alteration("ALTER TABLE t DROP c"), read_alteration("ALTER TABLE t ADD c INT")
    full, without = definition(ID, a, b, c), definition(ID, a, b)
    without = replace(without, dropped=remember_dropped(full, without, drop))
    assert without.dropped == ("c",)
    for new in (full, definition(ID, a, b, large)):
        assert find_change(without, new, add) is Change.VALUES, "the dataset still has the values of the old c"
        assert remember_dropped(without, new, add) == ()
    guess = replace(full, is_guess=True)
    assert remember_dropped(full, guess, drop) == ("c",), "it is there again later, but may be another one then"


def test_another_expression_changes_old_rows() -> None:
    before, after = (SourceColumn("g", "int", is_generated=True, expression=text) for text in ("`id` + 1", "`id` + 2"))
    assert find_change(definition(ID, before), definition(ID, before), NOTHING) is Change.NONE
    assert find_change(definition(ID, before), definition(ID, after), NOTHING) is Change.VALUES


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DROP INDEX uk ON t", True),
        ("DROP INDEX IF EXISTS `UK` ON t", True),
        ("DROP INDEX other ON t", False),
        ("CREATE INDEX uk2 ON t (v)", False),
        ("ALTER TABLE t DROP KEY uk", True),
        ("ALTER TABLE t DROP PRIMARY KEY", False),
        ("ALTER TABLE t ADD COLUMN z INT, MODIFY ID BIGINT NULL", True),
        ("ALTER TABLE t MODIFY v INT", False),
        ("ALTER TABLE t DROP COLUMN id", True),
        ("ALTER TABLE t ADD PRIMARY KEY (id)", False),
    ],
)
def test_what_may_remove_the_key_is_known_by_its_text(statement: str, expected: bool) -> None:
    known = replace(KNOWN, key=("id",), index="uk")
    assert may_remove_key(read_alteration(statement), known) is expected


def test_which_columns_need_another_type_in_the_dataset() -> None:
    def needs(before: list[str], after: list[str], dropped: tuple[str, ...] = ()) -> bool:
        old = replace(definition(ID, *columns(before)), dropped=dropped)
        return needs_other_types(old, definition(ID, *columns(after)))

    assert needs(["a int"], ["a varchar(9)"])
    assert needs(["a int"], ["A varchar(9)"])
    assert needs([], ["a int"], dropped=("A",)), "the dataset's column may have any type"
    kept = [
        ("int", "bigint"),
        ("int", "bigint unsigned"),
        ("int", "decimal(9,2)"),
        ("float", "double"),
        ("date", "datetime"),
    ]
    assert not any(needs([f"a {old}"], [f"a {new}"]) for old, new in [*kept, ("varchar(9)", "text")])
    assert needs(["a bigint unsigned"], ["a int"])
    assert not needs([], ["a int"])
    assert not needs(["a int"], [])


def test_the_dataset_keeps_columns_that_are_gone() -> None:
    old = replace(definition(ID, *columns(["a int", "b int"])), dropped=("c", "d"))
    assert dropped_since(old, definition(ID, *columns(["B int", "D int"]))) == ("a", "c")
