"""What an error of pyiceberg, of the catalogue or of the file system means, by a table."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pyarrow import ArrowException
from pyiceberg.exceptions import (
    AuthorizationExpiredError,
    CommitFailedException,
    ForbiddenError,
    OAuthError,
    RESTError,
    UnauthorizedError,
    ValidationError,
    ValidationException,
)
from requests import RequestException
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError

# What a person must change; every other error of the operating system may pass.
LASTING = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG}
REFUSED = (UnauthorizedError, ForbiddenError, OAuthError, AuthorizationExpiredError)
OVERTAKEN = (CommitFailedException, ValidationException)
"""What a commit raises that did not happen since somebody else has committed."""
CAUGHT = (ArrowException, OSError, RESTError, SQLAlchemyError, ValidationError, *OVERTAKEN, *REFUSED)
"""All that these libraries raise; `RequestException` is an `OSError`."""


def explain(error: Exception, where: str) -> ConnectorError:
    """The error of the pipeline for an error of a library.

    Args:
        error: What was raised.
        where: The catalogue, for the message.
    """
    if isinstance(error, OVERTAKEN):
        return TransientError(
            f"somebody else has committed to {where} in this moment ({error}); it is read again",
            reason="DatasetUnavailable",
        )
    if isinstance(error, REFUSED):
        return ActionRequiredError(
            f"{where} refuses the runner's credentials ({type(error).__name__}); check the Dataset's options",
            reason="InvalidDataset",
        )
    if isinstance(error, RequestException):
        return TransientError(f"{where} does not answer: {type(error).__name__}", reason="DatasetUnavailable")
    if isinstance(error, DatabaseError) and not isinstance(error, OperationalError):
        return ActionRequiredError(
            f"{where}: the catalogue's file is no catalogue: {error.orig}", reason="InvalidDataset"
        )
    if isinstance(error, SQLAlchemyError):
        said = error.orig if isinstance(error, OperationalError) else error
        return TransientError(f"{where}: the catalogue's file: {said}", reason="DatasetUnavailable")
    if isinstance(error, OSError) and error.errno in LASTING:
        return ActionRequiredError(
            f"{where}: {error}; the runner must be allowed to write there", reason="InvalidDataset"
        )
    return TransientError(f"{where}: {type(error).__name__}: {error}", reason="DatasetUnavailable")


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Raises errors of libraries as errors of the pipeline."""
    try:
        yield
    except CAUGHT as error:
        raise explain(error, where) from error
