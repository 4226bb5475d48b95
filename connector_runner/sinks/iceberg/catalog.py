"""Opens the catalogue that a URL names."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError
from sqlalchemy import URL

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sinks.iceberg.files import SyncedFileIO, local_location

FILE = "catalog.db"
"""The catalogue in a folder; the tables are beside it."""
NAME = "default"
"""The name of the catalogue, which SQL catalogues keep with every table; pyiceberg's own default."""
WAIT_SECONDS = 30
"""How long another's transaction in the catalogue's file is waited for."""
FILE_IO = f"{SyncedFileIO.__module__}.{SyncedFileIO.__name__}"


def open_folder(root: Path, namespace: tuple[str, ...], *, create: bool) -> Catalog | None:
    """The catalogue in a folder; None if there is none and none may be made.

    Raises:
        ActionRequiredError: The folder around it does not exist.
    """
    if not root.is_dir() and not root.parent.is_dir():
        raise ActionRequiredError(
            f"the folder {root.parent} does not exist; create it, or give the Dataset a volumeClaim",
            reason="DatasetUnavailable",
        )
    file = root / FILE
    if not create and not file.is_file():
        return None
    root.mkdir(exist_ok=True)
    url = URL.create("sqlite", database=str(file), query={"timeout": str(WAIT_SECONDS)})
    uri = url.render_as_string()
    catalog = SqlCatalog(NAME, uri=uri, warehouse=local_location(root), **{"py-io-impl": FILE_IO})
    if create:
        with suppress(NamespaceAlreadyExistsError):
            catalog.create_namespace(namespace)
    return catalog
