"""A `Database` of Delta tables in a folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from connector_runner.datasets.columnar.types import VALUE_ERRORS
from connector_runner.datasets.dialect import Dialect
from connector_runner.protocols.errors import ActionRequiredError, InvalidConfigError
from connector_runner.schemas.dataset_url import url_problems
from connector_runner.schemas.datasets.delta import Address, parse_address
from connector_runner.sinks.delta.connection import LakeConnection
from connector_runner.sinks.delta.dialect import DIALECT
from connector_runner.sinks.delta.errors import explained


def read_address(read_url: Callable[[], str]) -> Address:
    """The address in the dataset's URL.

    Raises:
        InvalidConfigError: It has problems.
    """
    url = read_url()
    if problems := url_problems(url):
        raise InvalidConfigError([f"dataset.url: {problem}" for problem in problems], reason="InvalidDataset")
    return parse_address(url)


class LakeFolder:
    """See `Database`.

    Attributes:
        connection: The newest connection; None if there is none.

    Args:
        read_url: Returns the URL; called again for each connection.
        directory: The directory that relative URLs are resolved against.
        connector: Who writes.
    """

    dialect: Dialect = DIALECT
    begin = "BEGIN"
    value_errors: tuple[type[Exception], ...] = VALUE_ERRORS

    def __init__(self, read_url: Callable[[], str], directory: Path, connector: str) -> None:
        self._read_url = read_url
        self._directory = directory
        self._connector = connector
        self._where = ""
        self.connection: LakeConnection | None = None

    def connect(self, *, create: bool = True) -> LakeConnection:
        """Reads the ledger; makes the folder of the tables if it may.

        Raises:
            ActionRequiredError: The folder around it does not exist.
            TransientError: It can't be read now.
        """
        address = read_address(self._read_url)
        root = (self._directory / address.path).absolute()
        self._where = str(root)
        with self.explained():
            if not root.is_dir():
                if not root.parent.is_dir():
                    raise ActionRequiredError(
                        f"the folder {root.parent} does not exist; create it, or give the Dataset a volumeClaim",
                        reason="DatasetUnavailable",
                    )
                if create:
                    root.mkdir(exist_ok=True)
            connection = LakeConnection(root, address, self._connector)
            connection.load()
        self.connection = connection
        return connection

    def explained(self) -> AbstractContextManager[None]:
        """See `Database.explained`."""
        return explained(self._where)

    def is_refusal(self, error: Exception) -> bool:
        """See `Database.is_refusal`."""
        return True
