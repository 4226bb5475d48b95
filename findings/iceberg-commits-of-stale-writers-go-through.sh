#!/usr/bin/env bash
# pyiceberg 0.12.0: of two upserts of one new key, begun from the same snapshot, both succeed, and the table has the key twice.
#
# A commit names the snapshot that it was begun from, so one would guess that the later of the two fails with CommitFailedException, and that a
# writer can rely on this as a fence. pyiceberg retries such a commit by itself (four times), and writes its files again on top of the other's. It
# looks for conflicts only in what it replaces: an upsert of a key that was there already, a delete and an overwrite are refused
# (ValidationException), but the new key lands twice, with the identifier field declared; so does an append, and properties set in the same
# transaction are those of the stale writer. write.delete.isolation-level and write.update.isolation-level "serializable" are the default.
# What helps: the table property commit.retry.num-retries = 0. Then each of them is a CommitFailedException.
#
# Seen with pyiceberg 0.12.0 and pyarrow 26.0.1. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check 'pyiceberg[sql-sqlite]==0.12.0' pyarrow==26.0.1
"$home/venv/bin/python" - "$home" << 'PYTHON'
import sys
from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField, StringType

home = Path(sys.argv[1])
(home / "warehouse").mkdir()
catalog = SqlCatalog("c", uri=f"sqlite:///{home}/catalog.db", warehouse=f"file://{home}/warehouse")
catalog.create_namespace("n")
SCHEMA = Schema(NestedField(1, "k", LongType(), required=True), NestedField(2, "writer", StringType()), identifier_field_ids=[1])
FIELDS = pa.schema([pa.field("k", pa.int64(), nullable=False), ("writer", pa.string())])


def row(key, writer):
    return pa.Table.from_pylist([{"k": key, "writer": writer}], schema=FIELDS)


def append_with_position(table, writer):
    with table.transaction() as transaction:
        transaction.append(row(2, writer))
        transaction.set_properties({"position": writer})


def upsert_new(table, writer):
    table.upsert(row(2, writer))


def upsert_old(table, writer):
    table.upsert(row(1, writer))


def outcome(name, action, properties):
    """What the two writers met, and what the table holds afterwards."""
    catalog.create_table(f"n.{name}", schema=SCHEMA, properties=properties).append(row(1, "start"))
    met = []
    for writer, table in [(writer, catalog.load_table(f"n.{name}")) for writer in ("first", "stale")]:
        try:
            action(table, writer)
            met.append("done")
        except (CommitFailedException, ValidationException) as error:
            met.append(type(error).__name__)
    table = catalog.load_table(f"n.{name}")
    rows = sorted((row["k"], row["writer"]) for row in table.scan().to_arrow().to_pylist())
    print(f"{name} {properties}: {met} {rows} {table.properties.get('position', '')}")
    return met, rows, table.properties.get("position")


START, FIRST, STALE = (1, "start"), (2, "first"), (2, "stale")
assert outcome("upsert_new", upsert_new, {}) == (["done", "done"], [START, FIRST, STALE], None), "that has changed"
assert outcome("append", append_with_position, {}) == (["done", "done"], [START, FIRST, STALE], "stale"), "that has changed"
assert outcome("upsert_old", upsert_old, {}) == (["done", "ValidationException"], [(1, "first")], None), "that has changed"
FENCE = {"commit.retry.num-retries": "0"}
assert outcome("upsert_new_fenced", upsert_new, FENCE) == (["done", "CommitFailedException"], [START, FIRST], None), "no fence"
assert outcome("append_fenced", append_with_position, FENCE) == (["done", "CommitFailedException"], [START, FIRST], "first"), "no fence"
PYTHON
