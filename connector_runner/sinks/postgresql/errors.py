"""The meaning of PostgreSQL's errors for the runner: one table by SQLSTATE, one for failures without a SQLSTATE."""

from __future__ import annotations

import re
from enum import Enum

from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, SchemaConflictError, TransientError


class Meaning(Enum):
    """How one recovers."""

    TRANSIENT = "try again"
    REFUSED = "the row is to blame"
    SCHEMA = "the table is not as it was made"
    ACTION = "a person must act"


# https://www.postgresql.org/docs/current/errcodes-appendix.html; the longest matching prefix counts.
MEANINGS: dict[str, Meaning] = {
    "": Meaning.ACTION,
    "08": Meaning.TRANSIENT,  # connection
    "0A": Meaning.SCHEMA,
    "21": Meaning.REFUSED,  # two rows with the same key for the table (a collation, NaN): one after the other they can be stored
    "22": Meaning.REFUSED,  # data
    "23": Meaning.REFUSED,  # constraint
    "25006": Meaning.TRANSIENT,  # read-only: a standby, or until somebody has fixed it
    "25P03": Meaning.TRANSIENT,  # idle in transaction
    "26": Meaning.TRANSIENT,  # prepared statement is gone
    "28": Meaning.ACTION,  # authorisation
    "3D": Meaning.ACTION,  # no such database
    "3F": Meaning.ACTION,  # no such schema
    "40": Meaning.TRANSIENT,  # serialisation, deadlock
    "42": Meaning.SCHEMA,
    "42501": Meaning.ACTION,  # privilege
    "44": Meaning.REFUSED,  # view's check option
    "53": Meaning.TRANSIENT,  # resources: disk full, memory, connections
    "54": Meaning.REFUSED,  # too complex or long: an index row that is too large
    "55": Meaning.TRANSIENT,  # object in use, lock not available
    "57": Meaning.TRANSIENT,  # shutdown, cancelled, cannot connect now
    "57P04": Meaning.ACTION,  # database dropped
    "58": Meaning.TRANSIENT,  # system: input/output
    "P0001": Meaning.REFUSED,  # raised by a trigger
    "XX": Meaning.TRANSIENT,
}

# libpq reports no SQLSTATE for a refused connection; these texts need a user, all others are transient.
_CONNECTION = [
    (r"password authentication failed|no password supplied|authentication failed", "WrongCredentials"),
    (r'role ".*" (does not exist|is not permitted to log in)', "WrongCredentials"),
    (r'database ".*" does not exist', "MissingDatabase"),
    (r"no pg_hba\.conf entry", "NotAllowed"),
    (r"permission denied for database", "NotAllowed"),
    (r"server does not support SSL|certificate verify failed|root certificate file .* does not exist|"
     r"server certificate for|could not (read|load) (root )?certificate|private key file", "TlsProblem"),
    (r"invalid (connection option|URI|sslmode|port|integer value|percent-encoded)|missing .* in .*URI", "InvalidDataset"),
]  # fmt: skip


def meaning_of(sqlstate: str) -> Meaning:
    """The meaning of the longest known prefix."""
    for length in range(len(sqlstate), -1, -1):
        if (meaning := MEANINGS.get(sqlstate[:length])) is not None:
            return meaning
    return Meaning.ACTION


def connection_failure(message: str, where: str) -> ConnectorError:
    """The error for a connection that could not be opened."""
    text = " ".join(message.split())
    for pattern, reason in _CONNECTION:
        if re.search(pattern, text, re.IGNORECASE):
            return ActionRequiredError(f"dataset {where}: {text}", reason=reason)
    return TransientError(f"dataset {where} can't be reached: {text}", reason="DatasetUnavailable")


def statement_failure(sqlstate: str, message: str, where: str, grant: str = "") -> ConnectorError:
    """The error for a statement that failed for another reason than a row.

    Args:
        sqlstate: Five characters.
        message: The server's message.
        where: The dataset, without the password.
        grant: What to grant if a privilege is missing.
    """
    text = " ".join(message.split())
    match meaning_of(sqlstate):
        case Meaning.TRANSIENT:
            return TransientError(f"dataset {where}: {text} ({sqlstate})", reason="DatasetUnavailable")
        case Meaning.SCHEMA:
            return SchemaConflictError(f"dataset {where}: {text} ({sqlstate}); was a table of the connector altered?")
        case _ if sqlstate == "42501":
            return ActionRequiredError(
                f"dataset {where}: {text}; a grant is missing: {grant}", reason="MissingDatasetGrant"
            )
        case _ if sqlstate == "3F000":
            return ActionRequiredError(f"dataset {where}: {text}; create the schema first", reason="MissingSchema")
        case _:
            return ActionRequiredError(f"dataset {where}: {text} ({sqlstate})", reason="DatasetError")
