"""YAML with Helm's expressions in it: objects are edited as values, expressions are put in as text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

from generate.kustomize import Document

_LINE = re.compile(r"^(?P<indent> *)(?:- )?EXPRESSION(?P<number>\d+)EXPRESSION: null$")
_INLINE = re.compile(r"EXPRESSION(\d+)EXPRESSION")


class Template:
    """Objects on the way to a template; hands out the marks that stand for expressions until the text is written."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def expression(self, text: str) -> str:
        """A value: `{{ text }}`."""
        return self._mark("{{ " + text + " }}")

    def lines(self, text: str) -> str:
        """A key (with the value None) in whose place these lines stand, indented as the key is; INDENT_HERE in them is that indent, INDENT two more."""
        return self._mark(text)

    def optional(self, name: str, value: str) -> str:
        """A key (with the value None): the field `name`, when the chart's value is not empty."""
        head = "{{- with $.Values." + value + " }}\n"
        return self.lines(head + name + ":\n  {{- toYaml . | nindent INDENT }}\n{{- end }}")

    def write(self, documents: Iterable[Document]) -> str:
        """The objects as YAML, with expressions in the place of marks; other braces of the objects are kept as they are."""
        return "---\n".join(self._write(document) for document in documents)

    def _mark(self, text: str) -> str:
        self._texts.append(text)
        return f"EXPRESSION{len(self._texts) - 1}EXPRESSION"

    def _write(self, document: Document) -> str:
        text = yaml.dump(document, Dumper=PlainDumper, sort_keys=False, width=10_000, allow_unicode=True)
        text = text.replace("{{", '{{ "{{" }}')
        return "".join(line + "\n" for raw in text.splitlines() for line in self._fill(raw))

    def _fill(self, line: str) -> list[str]:
        if match := _LINE.match(line):
            indent = match["indent"]
            text = (
                self._texts[int(match["number"])]
                .replace("INDENT_HERE", str(len(indent)))
                .replace("INDENT", str(len(indent) + 2))
            )
            return [indent + part for part in text.split("\n")]
        return [_INLINE.sub(lambda match: self._texts[int(match[1])], line)]


class PlainDumper(yaml.SafeDumper):
    """Without anchors: what two objects share is written out twice."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always."""
        return True
