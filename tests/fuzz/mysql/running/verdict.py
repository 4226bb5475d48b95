"""How a history may end, and what an error or an incident says about that. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.fuzz.mysql.grammar.kinds import KINDS
from tests.fuzz.mysql.grammar.motifs import MOTIFS
from tests.fuzz.mysql.grammar.statements import TEMPORARY_NAMESAKE
from tests.fuzz.mysql.steps import LOST_EVENTS

# Errors that tell a state of the table or the server rather than one statement.
STATES = (
    "Preflight", "PreparedTransactions", "UnknownStream", "IncompleteRows", "AmbiguousKey", "UnreadableLabel", "UnloggedChange",
)  # fmt: skip
NAMED = 16  # characters of a statement that a message must have to name it


DEFECTS = frozenset({"mismatch", "stuck", "crash", "letters", "vague", "needless"})
# Nothing of these may be a reason to copy the table again: they are followed, or are not about the table.
_FOLLOWED = {"rows", "beside", TEMPORARY_NAMESAKE}
HARMLESS = frozenset(kind.name for kind in [*KINDS, *MOTIFS] if kind.row in _FOLLOWED) | {"insert"}
# Alterations among statements of these kinds are of the table itself: dates that are none may have become zeros.
_OF_THE_TABLE = frozenset(kind.name for kind in [*KINDS, *MOTIFS] if kind.row == "rows")
_WHOLE = 150
GUESSED = "a statement before the log's rows"
_ALTERS = re.compile(r"(setstatement.*?for)?(alter|rename|createindex|createuniqueindex|dropindex|truncate)")
_DISCARDED = re.compile(r"^Refused: .*discarded", re.DOTALL | re.IGNORECASE)
VANISHED = "the log has no statement that removed it"
LOST_PART = "the server lost part of its log"
OTHER_KEYS = "other values in its key"
_DATES = re.compile(r"\bdate(time)?\b", re.IGNORECASE)
UNNAMED = {
    "sql_log_bin": "",
    "binlog_row_image": "binlog_row_image",
    "GENERATED ALWAYS": "generated columns",
    "max_binlog_stmt_cache_size": LOST_PART,
    "CONVERT TO CHARACTER SET": GUESSED,
    " COLLATE ": "sorts otherwise",
    " DESC": "sorts otherwise",
}
"""After statements with these words something may be told without their text (and what is told then has): the log has it not, or not with its rows.

CONVERT TO leaves the bytes of labels as they were, so that the log has other labels than the server shows.
"""


@dataclass(frozen=True)
class Said:
    """A statement that the server took: its kind, its text, and whether it failed half way."""

    kind: str
    text: str
    has_failed: bool = False


@dataclass
class Verdict:
    """How a history ended.

    Attributes:
        outcome: `exact`, `told`, `vague` (an error that names no statement), `refused` (at a start), `conflict` (types that the
            dataset's table can't take, as docs/guarantees.md says), or a defect: `mismatch`, `stuck`,
            `crash`, `letters`, `needless` (a new copy, or an error, because of a statement that leaves the table alone or is followed).
        detail: For people.
        told: Errors and incidents on the way.
        statements: How many the server took.
    """

    outcome: str = "exact"
    detail: str = ""
    told: list[str] = field(default_factory=list)
    statements: int = 0
    refused: int = 0
    seconds: float = 0.0

    @property
    def is_defect(self) -> bool:
        return self.outcome in DEFECTS


_LEFT_OUT_BUT_COMMENTS = re.compile(r"\s")
_NEVER_DONE = re.compile(r"/\*!99999.*?\*/|/\* 99999.*?\*/", re.DOTALL)
_OPENED = re.compile(r"/\*M?!\d*(.*?)\*/", re.DOTALL)
_LEFT_OUT = re.compile(r"/\*.*?\*/|[\s`\"]", re.DOTALL)


def judge_error(message: str, said: Sequence[Said], *, is_told: bool, has_begun: bool) -> str:
    """The outcome that an error at the connector's end means.

    Args:
        message: Reason and text.
        said: All that was said so far.
        is_told: Whether it calls a person.
        has_begun: Whether the dataset has a position.
    """
    if not is_told:
        return "crash"
    if message.startswith(STATES) or _DISCARDED.search(message):
        return "told" if has_begun else "refused"
    if message.startswith("SchemaConflict") and "can't hold stream" in message:
        return "conflict"
    if VANISHED in message and not any(_fails_unlogged(statement) for statement in said):
        return "vague"  # what the server has done is in the log
    if not _names_one_of(message, [statement.text for statement in said]):
        return "vague"
    blamed = _blamed(message, said) if message.startswith("LogGap") else set()
    return "needless" if blamed and blamed <= HARMLESS else "told"


def needless_gap(incident: str, said: Sequence[Said], recent: Sequence[Said] | None = None) -> str:
    """The incident, if it is a new copy, or rows that are read again, for nothing that was done.

    A statement that leaves the table alone, or is followed, is no reason; no log is purged here, and each change of a definition is in the
    log unless a session kept it out. Between several alterations that were made one after the other (`recent`: since the datasets were
    compared last) a definition may be a guess, which the log's rows then prove wrong.
    """
    kind = incident.partition(":")[0]
    if kind not in {"resnapshot", "refresh"}:
        return ""
    texts = [statement.text for statement in said]
    if not _names_one_of(incident, texts):
        has_reason = any(part in text for text in texts for part, words in UNNAMED.items() if words in incident)
        alterations = sum(
            bool(_ALTERS.match(_squeeze(statement.text))) for statement in (said if recent is None else recent)
        )
        has_reason = has_reason or (GUESSED in incident and alterations > 1)
        return "" if has_reason else incident
    if OTHER_KEYS in incident and any(_DATES.search(text) for text in texts):
        return ""  # whatever it is about, it may have made zeros of impossible dates
    blamed = _blamed(incident, said) if kind == "resnapshot" else set()
    return incident if blamed and blamed <= HARMLESS else ""


def repeated_loss(incidents: Sequence[str], said: Sequence[Said]) -> str:
    """An incident that tells again of a part of the log that the server lost: a dataset has one for each statement that it lost, at most."""
    found = [text for text in incidents if LOST_PART in text]
    lost = sum(statement.kind == LOST_EVENTS and statement.text.startswith("INSERT") for statement in said)
    return found[-1] if len(found) > lost > 0 else ""


def _fails_unlogged(statement: Said) -> bool:
    return statement.has_failed and _squeeze(statement.text).startswith("createorreplacedatabase")


def _blamed(message: str, said: Sequence[Said]) -> set[str]:
    """Kinds of the statements that a message has the text of; of those with the longest text."""
    squeezed = _squeeze(message)
    found = {statement: _squeeze(statement.text)[:_WHOLE] for statement in said}
    named = {statement: text for statement, text in found.items() if len(text) >= NAMED and text in squeezed}
    longest = max(map(len, named.values()), default=0)
    return {
        "alteration" if statement.kind in _OF_THE_TABLE and _ALTERS.match(text) else statement.kind
        for statement, text in named.items()
        if len(text) == longest
    }


def _names_one_of(message: str, statements: list[str]) -> bool:
    """Whether the message has the beginning of a statement; servers write DROP anew, one table a statement, with other quotes."""
    squeezed = _squeeze(message)
    if any((start := _squeeze(text)[:NAMED]) and start in squeezed for text in statements):
        return True
    # XA COMMIT is logged with its id in hexadecimal digits.
    ids = [text.split("'")[1].encode().hex() for text in statements if text.startswith("XA COMMIT '")]
    if any(f"xacommitx'{digits}'" in squeezed for digits in ids):
        return True
    said = [_squeeze(text) for text in statements]
    if LOST_PART in message:  # the incident has no text
        return any("max_binlog_stmt_cache_size" in text for text in said)
    if VANISHED in message:  # nothing is logged then
        return any(text.startswith("createorreplacedatabase") for text in said)
    # A DROP DATABASE that fails is logged as a DROP of those of its tables that are gone.
    is_of_database = "droptableifexists" in squeezed and any(
        text.startswith(("dropdatabase", "dropschema")) for text in said
    )
    is_generated = re.search("generated(byserver|tohandlefailed)", _LEFT_OUT_BUT_COMMENTS.sub("", message).lower())
    return is_of_database or (is_generated is not None and any("drop" in text or "replace" in text for text in said))


def _squeeze(text: str) -> str:
    """Without what servers leave out of a statement or write otherwise: comments, blanks, quotes, the semicolon at its end."""
    return _LEFT_OUT.sub("", _OPENED.sub(r"\1", _NEVER_DONE.sub("", text))).lower().rstrip(";")
