"""YAML of ours is read back as it was, whatever the texts."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from connector_operator.resources.yaml_text import format_yaml

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.dictionaries(TEXTS, TEXTS | st.lists(TEXTS) | st.none() | st.booleans() | st.integers()),
    st.sampled_from([80, 10_000]),
)
def test_any_document_is_read_back(document: dict[str, object], width: int) -> None:
    assert yaml.safe_load(format_yaml(document, width=width)) == document


@pytest.mark.parametrize("character", "\x85\u2028\u2029\ufeff\u00a0\u200b\t\r\n")
@pytest.mark.parametrize("around", ["{}", "a{}b", "{}b", "a{}", "{}\n", "\n{}"])
def test_an_end_of_a_line_of_any_kind_stays(character: str, around: str) -> None:
    text = around.replace("{}", character)
    assert yaml.safe_load(format_yaml({"a": text, text: "b"})) == {"a": text, text: "b"}


def test_readable_text_stays_readable() -> None:
    assert format_yaml({"b": "größe", "a": "on"}) == "b: größe\na: 'on'\n"
