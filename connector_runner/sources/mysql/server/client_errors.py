"""Errors of the client library and of the network, translated into those of the runner."""

from __future__ import annotations

import ssl
from typing import Any

import pymysql

from connector_runner.protocols.errors import (
    RESET,
    ActionRequiredError,
    ConnectorError,
    InvalidConfigError,
    TransientError,
)
from connector_runner.sources.mysql.decode.undecodable import DecodingFailedError
from connector_runner.sources.mysql.errors import server_error


def translate(error: BaseException, doing: str, user: str = "") -> ConnectorError:
    """Translates any error of the client or the network; `doing` says what was attempted."""
    if isinstance(error, ConnectorError):
        return error
    code, text = _parts(error)
    what = f"{doing}: {text} ({code})" if code else f"{doing}: {text}"
    if known := server_error(code, what, user):
        return known
    if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in text:
        return InvalidConfigError(
            [f"config.ssl: the server's certificate is not trusted: {text}"], reason="UntrustedServer"
        )
    if isinstance(error, _REFUSALS):
        return ActionRequiredError(what, reason="Refused")
    if isinstance(error, _PASSING) or type(error) is RuntimeError:
        return TransientError(what)
    return DecodingFailedError(
        f"{what}. The bytes do not mean what the table's definition says, or the runner has a fault; please report it. Going on: "
        f"copy the table again ({RESET})"
    )


_REFUSALS = (
    pymysql.err.ProgrammingError, pymysql.err.DataError, pymysql.err.IntegrityError, pymysql.err.NotSupportedError,
)  # fmt: skip
# Errors of the network, of the client library (which also raises plain RuntimeErrors), and of a machine that is short of memory.
_PASSING = (pymysql.err.MySQLError, OSError, EOFError, MemoryError)


def _parts(error: BaseException) -> tuple[int, str]:
    arguments: tuple[Any, ...] = error.args
    if isinstance(error, pymysql.err.MySQLError) and len(arguments) >= 2 and isinstance(arguments[0], int):
        return arguments[0], str(arguments[1])
    return 0, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
