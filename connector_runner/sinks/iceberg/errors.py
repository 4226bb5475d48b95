"""What an error of pyiceberg, of the catalogue or of the file system means, by a table."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from pyarrow import ArrowException
from pydantic import ValidationError as NoIcebergAnswer
from pyiceberg.exceptions import (
    AuthorizationExpiredError,
    CommitFailedException,
    ForbiddenError,
    NoSuchNamespaceError,
    OAuthError,
    RESTError,
    UnauthorizedError,
    ValidationError,
    ValidationException,
)
from requests import RequestException
from requests.exceptions import SSLError
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from connector_runner.datasets.columnar.s3.errors import connecting_failure, failure
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError

# What a person must change; every other error of the operating system may pass.
LASTING = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG}
REFUSED = (UnauthorizedError, OAuthError, AuthorizationExpiredError)
OVERTAKEN = (CommitFailedException, ValidationException)
"""What a commit raises that did not happen since somebody else has committed."""
CAUGHT = (
    ArrowException, ForbiddenError, NoIcebergAnswer, NoSuchNamespaceError, NotImplementedError, OSError, RESTError, SQLAlchemyError,
    ValidationError, *OVERTAKEN, *REFUSED,
)  # fmt: skip
"""All that these libraries raise; `RequestException` is an `OSError`."""
_NO_BUCKET = re.compile(r"NoSuchBucket|bucket does not exist", re.IGNORECASE)
_OBJECTS = re.compile(r"AWS Error ([A-Z_]+)(?: \(HTTP status (\d+)\))?")
"""How Arrow's client says what a store has answered."""


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
    if (remote := _explain_remote(error, where)) is not None:
        return remote
    if isinstance(error, DatabaseError) and not isinstance(error, OperationalError):
        return ActionRequiredError(
            f"{where}: the catalogue's file is no catalogue: {error.orig}", reason="InvalidDataset"
        )
    if isinstance(error, SQLAlchemyError):
        said = error.orig if isinstance(error, OperationalError) else error
        return TransientError(f"{where}: the catalogue's file: {said}", reason="DatasetUnavailable")
    if isinstance(error, OSError) and (remote := _explain_objects(str(error), where)) is not None:
        return remote
    if isinstance(error, OSError) and error.errno in LASTING:
        return ActionRequiredError(
            f"{where}: {error}; the runner must be allowed to write there", reason="InvalidDataset"
        )
    return TransientError(f"{where}: {type(error).__name__}: {error}", reason="DatasetUnavailable")


def _explain_objects(text: str, where: str) -> ConnectorError | None:
    """The error for what an S3 store has answered, or for no answer; None for anything else."""
    found = _OBJECTS.search(text)
    if found is None:
        return None
    code, status = "".join(word.capitalize() for word in found[1].split("_")), int(found[2] or 0)
    known = failure(f"files of {where}", code, status, "") or connecting_failure(f"files of {where}", text)
    return known or TransientError(f"files of {where}: {' '.join(text.split())[:400]}", reason="DatasetUnavailable")


def _explain_remote(error: Exception, where: str) -> ConnectorError | None:
    """The error for what a REST catalogue has answered, or for no answer; None for anything else."""
    if isinstance(error, REFUSED):
        return ActionRequiredError(
            f"{where} does not take the runner's credentials ({type(error).__name__}); correct token or credential in the Secret",
            reason="WrongCredentials",
        )
    if isinstance(error, RESTError) and _NO_BUCKET.search(str(error)):
        return ActionRequiredError(
            f"{where}: the catalogue can't write its files, since the bucket does not exist; create it, or correct the catalogue's warehouse",
            reason="MissingBucket",
        )
    if isinstance(error, ForbiddenError):
        return ActionRequiredError(
            f"{where} does not allow this ({error}); allow the client to make the namespace, and to make, read and alter tables in it",
            reason="NotAllowed",
        )
    if isinstance(error, NotImplementedError):
        return ActionRequiredError(f"{where} can't do what is needed: {error}", reason="InvalidDataset")
    if isinstance(error, NoIcebergAnswer):
        return TransientError(
            f"{where} answers something else than Iceberg's REST protocol", reason="DatasetUnavailable"
        )
    if isinstance(error, SSLError):
        is_certificate = "certificate verify failed" in str(error)
        said = (
            "its certificate is not trusted; set the option ssl.ca.pem to the authority that has signed it, for the name in the URL"
            if is_certificate
            else "it does not speak TLS; write iceberg+http:// or correct the port"
        )
        return ActionRequiredError(f"{where}: {said}", reason="TlsProblem")
    if isinstance(error, RequestException):
        return TransientError(f"{where} does not answer: {type(error).__name__}", reason="DatasetUnavailable")
    return None


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Raises errors of libraries as errors of the pipeline."""
    try:
        yield
    except CAUGHT as error:
        raise explain(error, where) from error
