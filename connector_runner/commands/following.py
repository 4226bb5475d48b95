"""Adds streams that the source gets while a selection is carried (`added: follow`)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping

from connector_runner.commands.selection import Selecting
from connector_runner.pipeline.engine import Engine
from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.protocols.errors import ConnectorError, FenceLostError
from connector_runner.schemas.selection import Named, Pattern, Selection

SETTLE_SECONDS = 1.0
"""How long it waits for more after a new stream, so that a migration that makes many tables changes the selection once."""


def may_take(selection: Selection, stream: str) -> bool:
    """Whether a selection may take a stream of which only the id is known; never no for one that it takes.

    An id does not say where its parts end if they hold dots; so each way to split it is tried.
    """
    return any(_may_match(pattern, stream) for pattern in selection.include)


def _may_match(pattern: Pattern, stream: str) -> bool:
    if pattern.matches(Named(stream, {})):
        return True
    words, count = stream.split("."), len(pattern.parts)
    for ends in itertools.combinations(range(1, len(words)), count - 1):
        cuts = [0, *ends, len(words)]
        parts = {str(at): ".".join(words[cuts[at] : cuts[at + 1]]) for at in range(count)}
        if pattern.matches(Named(stream, parts)):
            return True
    return False


class Following:
    """Takes in what the source tells of, and changes the selection of a running engine.

    Args:
        selecting: Chooses the streams anew.
        selection: The patterns.
        telemetry: Receives what could not be done.
    """

    def __init__(self, selecting: Selecting, selection: Selection, telemetry: Telemetry) -> None:
        self._selecting = selecting
        self._selection = selection
        self._telemetry = telemetry
        self._woken = asyncio.Event()

    def appeared(self, stream: str) -> None:
        """See `SourceContext.appeared`."""
        if may_take(self._selection, stream):
            self._woken.set()

    async def run(self, engine: Engine, tables: Mapping[str, str], stopping: asyncio.Event) -> None:
        """Adds new streams until it is cancelled; those that are carried stay, whatever the source lists.

        Args:
            engine: The running engine.
            tables: Its streams and their tables.
            stopping: Set when a stop is requested.
        """
        present = dict(tables)
        while True:
            await self._woken.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._woken.clear()
            try:
                choice = await self._selecting.choose(stopping, is_running=True)
                if choice is None or choice.tables.keys() <= present.keys():
                    continue
                wanted = {**present, **{name: table for name, table in choice.tables.items() if name not in present}}
                await engine.select(wanted, choice.record)
                present = wanted
            except FenceLostError:
                return  # the engine ends the run with this error
            except ConnectorError as error:
                self._telemetry.log(
                    "warning", f"a new stream can't be added to the selection: {error.message}", reason=error.reason
                )
