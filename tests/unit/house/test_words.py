"""Texts for users are plain English with the field's terms: words that readers stumble over do not come back."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector_operator.crds.files import build_crd_files
from tests.unit.house.test_house_rules import DOCUMENTS, PYTHON, name

INSTEAD = {
    r"told|tells": "reported, shows, says, returns",
    r"tell(?:ing)? of": "report, announce",
    r"anew|afresh": "again",
    r"mend(?:s|ed|ing)?": "fix, correct",
    r"judge[sd]?|judging|judge?ments?": "check, determine, decide",
    r"troubles?": "error, failure",
    r"stands? aside|stood aside": "is paused",
    r"lets? go": "release, drop",
    r"ever less": "less and less",
    r"makes? way|made way": "is replaced",
    r"which so says|that so says": "that says so",
    r"bears? (?:the|our|its) (?:name|label)s?": "has",
    r"hinders?": "prevents, has no effect on",
    r"heed(?:s|ed)?|hearken|forthwith|whoso|lest|nought|hence|thereof|whereof": "a common word",
}
"""Words that texts for users do not use, as patterns, and what to write instead. Add a word when a review finds it."""

_BANNED = re.compile(rf"\b(?:{'|'.join(INSTEAD)})\b", re.IGNORECASE)
_NAMES = re.compile(r"```.*?```|`[^`\n]*`|\*\*[a-z]+\*\*|\]\([^)]*\)", re.DOTALL)
"""What a document quotes: code, names of rows, addresses of links. Not prose."""
_OLDER_RELEASES = re.compile(r"^## \[?\d.*", re.DOTALL | re.MULTILINE)
PAGES = [path for path in DOCUMENTS if not name(path).startswith("tests/")]
_PRODUCTION = ("operator/", "connector_runner/", "demo/", "generate/")


def find_banned(text: str) -> list[str]:
    """Each banned word of a text, with what to write instead."""
    found = dict.fromkeys(match.group(0) for match in _BANNED.finditer(text))
    return [f"{word!r}: write {_instead(word)}" for word in found]


def _instead(word: str) -> str:
    return next(words for pattern, words in INSTEAD.items() if re.fullmatch(pattern, word, re.IGNORECASE))


def prose_of(document: str) -> str:
    """A document without its quotations, and without the releases that are out."""
    return _NAMES.sub("", _OLDER_RELEASES.sub("", document))


def sentences_of(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each literal with a space in it: messages, help, descriptions. Not docstrings."""
    tree = ast.parse(source)
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            text = _NAMES.sub("", node.value)
            if " " in text.strip():
                yield node.lineno, text


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_documents_are_in_plain_words(path: Path) -> None:
    assert find_banned(prose_of(path.read_text())) == []


@pytest.mark.parametrize("path", [path for path in PYTHON if name(path).startswith(_PRODUCTION)], ids=name)
def test_messages_are_in_plain_words(path: Path) -> None:
    found = [f"line {line}: {what}" for line, text in sentences_of(path.read_text()) for what in find_banned(text)]
    assert found == []


@pytest.mark.parametrize(("file", "text"), build_crd_files().items())
def test_descriptions_of_fields_are_in_plain_words(file: str, text: str) -> None:
    assert find_banned(text) == []


def test_a_banned_word_is_found_where_it_is_prose_and_only_there() -> None:
    document = (
        "A person is told. The row **mend** and `anew` are names, [a page](mend.md).\n\n## 0.1.0\n\nIt was mended."
    )
    assert find_banned(prose_of(document)) == ["'told': write reported, shows, says, returns"]
    source = '"""Told."""\nlog("a person must mend it")\nreason = "mend"\n'
    assert [find_banned(text) for _, text in sentences_of(source)] == [["'mend': write fix, correct"]]


_BANNED_PARTS = {"told", "tell", "tells", "anew", "mend", "mends", "judge", "judged", "trouble", "troubles"}


@pytest.mark.parametrize("path", [path for path in PYTHON if name(path).startswith(_PRODUCTION)], ids=name)
def test_names_in_code_are_in_plain_words(path: Path) -> None:
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    names = {token.string for token in tokens if token.type == tokenize.NAME}
    assert [each for each in sorted(names) if _BANNED_PARTS & set(each.lower().split("_"))] == []
