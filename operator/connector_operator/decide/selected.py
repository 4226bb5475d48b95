"""What is known of `spec.streams`: read from a discovery's answer, and put into words. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from connector_runner.schemas.catalogue import SelectionSummary
from connector_runner.schemas.kinds.connector import ConnectorSpec
from connector_runner.schemas.kinds.connector_status import ConnectorStatus, Selected

MOST_SELECTIONS = 50
"""How many selections one discovery answers; whoever else waits asks anew."""
_MOST_TEXT = 60
_MOST_NAMED = 5
_TOO_OLD = "The runner's image does not know spec.streams; use one of the operator's own version"


def find_selection(key: str, answers: Iterable[SelectionSummary], *, is_asked: bool) -> Selected | None:
    """What a discovery answers about a selection; None if it was not asked.

    Args:
        key: The selection's.
        answers: The discovery's.
        is_asked: Whether it was made for this selection, so that an answer without it is wrong.
    """
    found = next((answer for answer in answers if answer.key == key), None)
    if found is None:
        return Selected(key=key, problems=(_TOO_OLD,)) if is_asked else None
    return Selected(key=key, selected=found.matched, idle=found.idle, aside=found.aside, problems=found.problems)


def with_text(spec: ConnectorSpec | None, known: Selected) -> Selected:
    """As the status shows it: only what belongs to the spec, and one short text for the table of `kubectl get`."""
    if spec is None:
        return known
    if spec.streams is None:
        return Selected(text=spec.selected_stream)
    if known.key != spec.streams.key:
        known = Selected()
    return Selected(
        count_streams(known.selected) if known.key else shorten(spec.streams.include),
        known.selected, known.key, known.idle, known.aside, known.problems,
    )  # fmt: skip


def count_streams(count: int) -> str:
    """A number of streams in words."""
    return "1 stream" if count == 1 else f"{count} streams"


def shorten(patterns: Iterable[str]) -> str:
    """Patterns as a short text."""
    text = ", ".join(patterns)
    return text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 1]}…"


def say_selected(spec: ConnectorSpec | None, memory: ConnectorStatus) -> str:
    """What is carried, within a sentence: `stream shop.orders`, `200 streams`."""
    if spec is None or spec.streams is None:
        return f"stream {spec.selected_stream if spec is not None else ''}"
    is_known = memory.selection.key == spec.streams.key
    return count_streams(memory.selection.selected) if is_known else f"streams {shorten(spec.streams.include)}"


def say_runs(spec: ConnectorSpec | None, memory: ConnectorStatus) -> str:
    """The beginning of a sentence: `Stream shop.orders runs`, `200 streams run`."""
    what = say_selected(spec, memory)
    return f"{what[0].upper()}{what[1:]} {'runs' if what.startswith(('stream ', '1 ')) else 'run'}"


def say_unmatched(known: Selected) -> tuple[str, ...]:
    """Sentences about patterns that take nothing, streams that only their name selects, and other problems."""
    said = [f"{problem.rstrip('.')}." for problem in known.problems]
    for pattern, near in list(known.idle.items())[:_MOST_NAMED]:
        nearest = f"; the nearest names are {', '.join(near[:_MOST_NAMED])}" if near else ""
        said.append(f"{pattern!r} in spec.streams matches nothing that the source has{nearest}.")
    if len(known.idle) > _MOST_NAMED:
        said.append(f"So it is with {len(known.idle) - _MOST_NAMED} more patterns.")
    if known.aside:
        more = f" and {len(known.aside) - _MOST_NAMED} more" if len(known.aside) > _MOST_NAMED else ""
        said.append(f"Selected only by their exact names: {', '.join(known.aside[:_MOST_NAMED])}{more}.")
    return tuple(said)


def say_nothing_selected(known: Selected) -> str:
    """Why a selection takes nothing."""
    said = say_unmatched(known)
    return " ".join(said) if said else "spec.streams selects nothing: exclude leaves out all that include matches."
