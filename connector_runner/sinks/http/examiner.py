"""Looks at what goes out by HTTP: the ledger's file beside the runner, and whether the server answers. Posts nothing."""

from __future__ import annotations

import http.client
from collections.abc import Mapping, Sequence

from connector_runner.datasets.blocking.examiner import LedgerExaminer
from connector_runner.datasets.examining import DATASET, Fit, require_fitting_columns
from connector_runner.datasets.procedure import Procedure
from connector_runner.datasets.sqlite.connection import SqliteFile
from connector_runner.datasets.sqlite.examining import file_rights
from connector_runner.datasets.stream_ledger import StreamLedger
from connector_runner.protocols.check import Check, unknown
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import SinkContext
from connector_runner.protocols.source import WriteMode
from connector_runner.sinks.http.client import Client
from connector_runner.sinks.http.ledger_files import ledger_url

REFUSED = (http.client.UNAUTHORIZED, http.client.FORBIDDEN)


class PostedExaminer(LedgerExaminer):
    """See `Examiner`."""

    def __init__(self, context: SinkContext) -> None:
        client = Client(context.read_url())
        try:
            self._answer = client.options()
        finally:
            client.close()
        self._where = client.where
        append = context.write_mode is WriteMode.APPEND

        def fit(stream: StreamLedger, schema: StreamSchema, own: bool) -> Procedure[Fit]:
            del own
            yield from ()
            require_fitting_columns(schema, append=append)
            text = f"whether {self._where} takes the rows of {schema.stream} is known when the first are sent: HTTP has no way to ask"
            return Fit(unknown(DATASET, "table", text, stream.stream))

        file = SqliteFile(lambda: ledger_url(context), context.directory, observes=True)
        super().__init__(context, file, fit, file_rights(file))

    def examine(self, schemas: Mapping[str, StreamSchema]) -> Sequence[Check]:
        """See `Examiner.examine`."""
        return [self._credentials(), *super().examine(schemas)]

    def _credentials(self) -> Check:
        said = f"{self._where} answers {self._answer} to OPTIONS"
        if self._answer in REFUSED:
            return unknown(DATASET, "credentials", f"{said}; if it refuses POST, too, check the URL and its token")
        return unknown(
            DATASET, "credentials", f"{said}; whether it accepts the token is known when the first rows are sent"
        )
