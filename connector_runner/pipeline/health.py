"""Whether the runner is ready, and why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Health:
    """Readiness: source and sink are connected, and a commit went through since then.

    Attributes:
        source, sink: "" when connected, else why not.
        is_committing: Whether a commit went through since the last failure.
        clean: Removes secrets from messages.
    """

    source: str = "the source is not connected yet"
    sink: str = "the dataset is not connected yet"
    is_committing: bool = False
    clean: Callable[[str], str] = field(default=str, repr=False)

    def problems(self) -> list[str]:
        """Why the runner is not ready; empty when it is."""
        found = [text for text in (self.source, self.sink) if text]
        if not found and not self.is_committing:
            found.append("nothing was committed yet")
        return [self.clean(text) for text in found]

    @property
    def is_ready(self) -> bool:
        """Whether rows flow, or would if there were any."""
        return not self.problems()
