"""A REST catalogue: with time limits, credentials and a certificate authority from the dataset's options."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import CommitFailedException, RESTError
from pyiceberg.io import FileIO
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import AddSnapshotUpdate, TableRequirement, TableUpdate
from pyiceberg.typedef import EMPTY_DICT, Properties
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.schemas.datasets.iceberg import Address
from connector_runner.schemas.datasets.iceberg_options import (
    CA,
    CONNECT,
    CREDENTIAL,
    ICEBERG_OPTIONS,
    OAUTH,
    REQUEST,
    TOKEN,
    TOKEN_URL,
)
from connector_runner.schemas.datasets.s3_options import S3_OPTIONS
from connector_runner.sinks.iceberg.catalog import NAME
from connector_runner.sinks.iceberg.files import SyncedFileIO

TIMES = "connector-runner.seconds"
OWN = (TIMES, CA)
LOADS_CODE = ("py-io-impl", "s3.retry-strategy-impl")
"""Properties with which a catalogue, or whoever may alter a table, would choose code that runs here."""


class _TimedAdapter(HTTPAdapter):
    """Waits for no answer without end, as the libraries would; trusts the authority that the options name.

    Args:
        seconds: For connecting, and for an answer.
        authority: The authority's certificate, as PEM; "" for those of the system.
    """

    def __init__(self, seconds: tuple[float, float], authority: str) -> None:
        self._seconds = seconds
        self._context = ssl.create_default_context(cadata=authority or None)
        super().__init__()

    def send(self, request: PreparedRequest, *arguments: Any, **options: Any) -> Response:
        """See `HTTPAdapter.send`."""
        return super().send(request, *arguments, **{**options, "timeout": self._seconds})

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """See `HTTPAdapter.init_poolmanager`."""
        super().init_poolmanager(*arguments, **options, ssl_context=self._context)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """See `HTTPAdapter.proxy_manager_for`."""
        return super().proxy_manager_for(proxy, **options, ssl_context=self._context)

    def cert_verify(self, *_: Any) -> None:
        """Adds no authorities: the context has those that are trusted, and looks at every certificate."""


class TimedCatalog(RestCatalog):
    """A REST catalogue whose answers are not waited for without end, and which chooses no code."""

    def _config_headers(self, session: Session) -> None:
        """The first that is done with a new session, before it is used."""
        super()._config_headers(session)
        adapter = _TimedAdapter(self.properties[TIMES], self.properties[CA])
        session.mount("https://", adapter)
        session.mount("http://", adapter)

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """See `Catalog.commit_table`; that somebody else has committed is believed only where the commit is not there.

        A gateway that asks again, since the first answer was lost, gets this answer to a commit that was made: whoever removes the
        files that it was made with, as pyiceberg does, destroys the table.
        """
        try:
            answer: CommitTableResponse = super().commit_table(table, requirements, updates)
        except CommitFailedException:
            made = {update.snapshot.snapshot_id for update in updates if isinstance(update, AddSnapshotUpdate)}
            now = self.load_table(table.name())
            if made and made <= {snapshot.snapshot_id for snapshot in now.metadata.snapshots}:
                return CommitTableResponse.model_validate(
                    {"metadata": now.metadata, "metadata-location": now.metadata_location}
                )
            raise
        return answer

    @staticmethod
    def _delete_old_metadata(io: FileIO, base: TableMetadata, metadata: TableMetadata) -> None:
        """Does nothing: the catalogue has written these files, and removes them by the table's settings."""

    def _load_file_io(self, properties: Properties = EMPTY_DICT, location: str | None = None) -> FileIO:
        del location
        given = {**self.properties, **properties}
        return SyncedFileIO({name: value for name, value in given.items() if name not in (*LOADS_CODE, *OWN)})


def read_settings(address: Address, options: Mapping[str, str]) -> dict[str, Any]:
    """The settings of pyiceberg for valid options. Pure."""
    settings: dict[str, Any] = {"uri": address.uri}
    if address.warehouse:
        settings["warehouse"] = address.warehouse
    settings |= {name: options[name] for name in (TOKEN, CREDENTIAL, *OAUTH, *S3_OPTIONS) if name in options}
    settings[TOKEN_URL] = options.get(TOKEN_URL, f"{address.uri}/v1/oauth/tokens")
    settings[CA] = options.get(CA, "")
    settings[TIMES] = (_seconds(options, CONNECT), _seconds(options, REQUEST))
    return settings


def _seconds(options: Mapping[str, str], name: str) -> float:
    return int(options.get(name, ICEBERG_OPTIONS[name].default)) / 1000


def open_rest(address: Address, options: Mapping[str, str]) -> RestCatalog:
    """The catalogue that a URL and options name.

    Raises:
        ActionRequiredError: The catalogue has no such warehouse.
    """
    settings = read_settings(address, options)
    try:
        return TimedCatalog(NAME, **settings)
    except RESTError as error:
        if type(error).__name__ not in {"BadRequestError", "RESTError"}:
            raise
        raise ActionRequiredError(
            f"{address.uri} gives no access to the warehouse {address.warehouse or 'without a name'} ({error}); correct the URL: "
            "iceberg+https://host/path/warehouse",
            reason="InvalidDataset",
        ) from error
