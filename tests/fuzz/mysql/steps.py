"""A history as data: what is done, in order, so that it can be kept, replayed and made shorter."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HALF_DONE = "statement that fails half way"
LOST_EVENTS = "lost-events incident"
FAIL_IN_PART = frozenset({HALF_DONE, LOST_EVENTS, "drop database", "create or replace database"})
"""Kinds whose statements may be refused and still have changed something, so that they belong to the history either way.

A database goes away table by table: one that a foreign key holds stops it, and those before are gone.
"""
DATABASE, OTHER_DATABASE = "@DB@", "@DB@x"
"""Stand for the history's databases in statements."""


@dataclass(frozen=True)
class Step:
    """One thing that is done.

    Attributes:
        kind: Of the statement (see `grammar.kinds`), or `start`, `stop`, `kill`, `sync`, `kill server`, `pause` (of `sql` seconds),
            `keep the file` and `put the file back` (of the table that `sql` names).
        sql: The statement; "" for what is no statement.
        session: Who says it.
        charset: Of a step of the kind `charset`: what the session's statements are written in from now on.
    """

    kind: str
    sql: str = ""
    session: str = "a"
    charset: str = ""


@dataclass(frozen=True)
class CopyOnce:
    """A run that copies and ends, or polls until it has all rows, as the statement of a step has it.

    Attributes:
        write: The dataset's write mode.
        config: Of the connector.
        table: A table or view beside the followed one; "" for that one.
        then: Statements once it has all rows; it must get those as well.
    """

    write: str
    config: dict[str, Any]
    table: str = ""
    then: list[str] = field(default_factory=list)

    @property
    def goes_on(self) -> bool:
        """Whether it never ends by itself."""
        return self.config.get("mode") == "INCREMENTAL"

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> CopyOnce:
        return cls(**json.loads(text))


@dataclass
class History:
    """All that is needed to do it again.

    Attributes:
        seed: What it was drawn from.
        version: Of the server, such as `mysql-8.0.31`.
        options: Of the server's start.
        suffix: Of the database's name.
        table: The followed one.
        config: Of the connector.
        modes: The datasets' write modes.
        runs_as_processes: Whether each connector is a process, so that a kill is SIGKILL.
        steps: In order.
        row: Of a kept history: the fault of `faults/` that it finds; "" if that is not there.
        outcome: Of a kept history: how it must end.
    """

    seed: str
    version: str
    options: list[str] = field(default_factory=list)
    suffix: str = ""
    table: str = "t"
    config: dict[str, Any] = field(default_factory=dict)
    modes: list[str] = field(default_factory=lambda: ["upsert"])
    steps: list[Step] = field(default_factory=list)
    runs_as_processes: bool = False
    row: str = ""
    outcome: str = "exact"

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"steps": [[step.kind, step.session, step.sql, step.charset] for step in self.steps]}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> History:
        steps = [Step(kind, sql, session, charset) for kind, session, sql, charset in document["steps"]]
        names = (
            "seed",
            "version",
            "options",
            "suffix",
            "table",
            "config",
            "modes",
            "runs_as_processes",
            "row",
            "outcome",
        )
        known = {name: document[name] for name in names if name in document}
        return cls(**known, steps=steps)

    def save(self, path: Path) -> None:
        lines = ",\n  ".join(json.dumps(step, ensure_ascii=False) for step in self.to_json()["steps"])
        head = {name: value for name, value in self.to_json().items() if name != "steps"}
        path.write_text(f'{json.dumps(head, ensure_ascii=False)[:-1]},\n"steps": [\n  {lines}\n]}}\n')
