"""Recognises the tables that online schema change tools put beside the table they change. Pure.

A name alone does not make a shadow table: the table it is for must exist in the same database.
"""

from __future__ import annotations

import re
from collections.abc import Collection

LONGEST_NAME = 64
"""The longest table name of MySQL; a tool cuts the original name so that its own still fits."""

_FORMS = (
    # ghost, changelog, checkpoint and old table; ghr and ght are the old ones of its tests on a replica; the old table may have a time
    ("gh-ost", re.compile(r"_(.+?)(?:_\d{14})?_(?:gho|ghc|ghk|ghr|ght|del)", re.DOTALL)),
    ("Spirit", re.compile(r"_(.+)_(?:chkpnt|sentinel)", re.DOTALL)),
    ("Spirit", re.compile(r"_(.+)_old_\d{8}_\d{6}(?:_\d+)?", re.DOTALL)),
    # it puts up to ten underscores before a name that is taken
    ("pt-online-schema-change or Spirit", re.compile(r"_(.+)_(?:new|old)", re.DOTALL)),
    ("pt-online-schema-change", re.compile(r"_{2,10}([^_].*)_(?:new|old)", re.DOTALL)),
)
_ALONE = {"_spirit_sentinel": "Spirit", "_spirit_checkpoint": "Spirit"}


def shadow_of(name: str, names: Collection[str]) -> str:
    """Why a table is left out of selections by patterns; "" if it is an ordinary one.

    Args:
        name: The table's name.
        names: The names of all tables of its database.
    """
    if tool := _ALONE.get(name):
        return f"a table of {tool}"
    if not name.startswith("_"):
        return ""
    for tool, form in _FORMS:
        found = form.fullmatch(name)
        base = found and _base(found[1], name, names)
        if base:
            return f"the shadow table of {tool} for {base}"
    return ""


def _base(part: str, name: str, names: Collection[str]) -> str:
    """The table whose name has become this part; a name that was cut is known by its beginning."""
    if part in names and part != name:
        return part
    if len(name) < LONGEST_NAME:
        return ""
    return min((other for other in names if other.startswith(part) and other != name), default="")
