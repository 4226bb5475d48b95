"""Resources as YAML that every parser reads back as it was. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

_LINE_ENDS = frozenset("\x85\u2028\u2029\ufeff")
"""Ends of a line, and a mark of byte order, in YAML 1.1, not in 1.2: readable text may hold them between quotes alone."""


class _Dumper(yaml.SafeDumper):
    """PyYAML writes such a text plain, and reads a blank."""


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if _LINE_ENDS.isdisjoint(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)


def format_yaml(document: Mapping[str, Any], *, width: int = 80) -> str:
    """The document in the order of its keys, characters as they are.

    Args:
        document: Values of JSON.
        width: Columns after which a line is folded.
    """
    text: str = yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)
    return text
