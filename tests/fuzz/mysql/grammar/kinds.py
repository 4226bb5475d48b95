"""Every kind of statement, in one table."""

from __future__ import annotations

from tests.fuzz.mysql.draw import Draw
from tests.fuzz.mysql.grammar.alterations import ALTERATIONS
from tests.fuzz.mysql.grammar.changes import CHANGES
from tests.fuzz.mysql.grammar.scene import Kind
from tests.fuzz.mysql.grammar.statements import LAST, OTHERS

KINDS = [*CHANGES, *ALTERATIONS, *OTHERS]
WEIGHTS = [kind.weight for kind in KINDS]


def pick_kind(draw: Draw) -> Kind:
    """One that leaves the table where it is."""
    return draw.random.choices(KINDS, WEIGHTS)[0]


def pick_last(draw: Draw) -> Kind:
    """One after which there is nothing to follow."""
    return draw.random.choices(LAST, [kind.weight for kind in LAST])[0]
