"""Changes a running selection: streams that the source gets meanwhile (`added: follow`), and orders that change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from connector_runner.commands.selection import Selecting
from connector_runner.pipeline.engine import Engine
from connector_runner.protocols.errors import ConnectorError, FenceLostError, InvalidConfigError
from connector_runner.schemas.selection import may_take

SETTLE_SECONDS = 1.0
"""How long it waits for more after a new stream, so that a migration that makes many tables changes the selection once."""


class Following:
    """Takes in what the source reports and changed orders, and changes the selection of a running engine.

    Args:
        selecting: Chooses the streams again, and says what became of changed orders.
    """

    def __init__(self, selecting: Selecting) -> None:
        self._selecting = selecting
        self._woken = asyncio.Event()

    def appeared(self, stream: str) -> None:
        """See `SourceContext.appeared`."""
        with contextlib.suppress(InvalidConfigError):  # logged when the orders changed
            spec = self._selecting.read_spec()
            if spec.added == "follow" and may_take(spec.parse(), stream):
                self._woken.set()

    def changed(self) -> None:
        """The orders have changed."""
        self._woken.set()

    async def run(self, engine: Engine, tables: Mapping[str, str], record: str, stopping: asyncio.Event) -> None:
        """Changes the selection whenever it must, until it is cancelled.

        Args:
            engine: The running engine.
            tables: Its streams and their tables.
            record: What the ledger records of them.
            stopping: Set when a stop is requested.
        """
        present = dict(tables)
        while True:
            await self._woken.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._woken.clear()
            try:
                choice = await self._selecting.choose(stopping, is_running=True)
                if choice is None:
                    return
                wanted = choice.change(present)
                if wanted != present or (choice.spec.added != "follow" and choice.record != record):
                    await engine.select(wanted, choice.record)
                    present, record = wanted, choice.record
                self._selecting.answer(choice)
            except FenceLostError:
                return  # the engine ends the run with this error
            except ConnectorError as error:
                self._selecting.refuse(error)
