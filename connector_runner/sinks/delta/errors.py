"""What an error of deltalake or of the file system means, by a table."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from deltalake.exceptions import CommitFailedError, DeltaError, DeltaProtocolError, SchemaMismatchError
from pyarrow import ArrowException

from connector_runner.datasets.columnar.s3.errors import explain_text, plain
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, SchemaConflictError, TransientError

# What a person must change; every other error of the operating system may pass.
LASTING = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG}


def explain(error: Exception, where: str) -> ConnectorError:
    """The error of the pipeline for an error of deltalake.

    Args:
        error: What was raised.
        where: The folder of the dataset, for the message.
    """
    if isinstance(error, CommitFailedError):
        return TransientError(
            f"somebody else has committed to {where} in this moment ({error}); it is read again",
            reason="DatasetUnavailable",
        )
    if where.startswith("s3://") and (known := explain_text(where, str(error))) is not None:
        return known
    if isinstance(error, DeltaProtocolError):
        return ActionRequiredError(
            f"a table in {where} has features that this writer does not know: {error}", reason="InvalidDataset"
        )
    if isinstance(error, SchemaMismatchError):
        return SchemaConflictError(f"a table in {where} does not have the columns that this runner found: {error}")
    if isinstance(error, OSError) and error.errno in LASTING:
        return ActionRequiredError(
            f"{where}: {error}; the runner must be allowed to write there", reason="InvalidDataset"
        )
    return TransientError(f"{where}: {type(error).__name__}: {plain(str(error))}", reason="DatasetUnavailable")


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Raises errors of deltalake and of the file system as errors of the pipeline."""
    try:
        yield
    except (DeltaError, ArrowException, OSError) as error:
        raise explain(error, where) from error
