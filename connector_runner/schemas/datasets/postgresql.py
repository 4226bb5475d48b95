"""PostgreSQL as a dataset."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl

from connector_runner.schemas.datasets.descriptor import Descriptor, StoredAs

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def check_url(url: str) -> Iterator[str]:
    """See `Descriptor.check`."""
    rest, _, query = url.partition("://")[2].partition("?")
    if re.search(r"%(?![0-9A-Fa-f]{2})", rest):
        yield "a percent sign must be written as %25"
    hosts = rest.rpartition("@")[2].partition("/")[0] if "@" in rest else rest.partition("/")[0]
    for host in hosts.split(","):
        port = re.fullmatch(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::(.*))?", host)
        if port is None:
            yield "an IPv6 address must be in brackets"
        elif port[1] and not (port[1].isdecimal() and 0 < int(port[1]) < 65536):
            yield "a port must be a number from 1 to 65535"
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "sslmode" and value not in SSL_MODES:
            yield f"sslmode must be one of {', '.join(SSL_MODES)}"


POSTGRESQL = Descriptor(
    name="postgresql",
    title="PostgreSQL",
    schemes=("postgresql", "postgres"),
    pattern=r"^postgres(ql)?://",
    expected="expected postgresql://user@host:port/database?option=…",
    check=check_url,
    needs_volume=False,
    reads_rows=True,
    types_title="PostgreSQL",
    types={
        "bool": StoredAs("boolean"),
        "int64": StoredAs("bigint"),
        "uint64": StoredAs("numeric"),
        "int256": StoredAs("numeric"),
        "decimal": StoredAs("numeric", "all digits; NaN and infinities too"),
        "float32": StoredAs("real", "exact; NaN and infinities too"),
        "float64": StoredAs("double precision", "exact; NaN and infinities too"),
        "string": StoredAs("text", "exact; NUL and lone surrogates are refused"),
        "bytes": StoredAs("bytea"),
        "date": StoredAs("date", "4713 BC to 5874897"),
        "time": StoredAs("time without time zone"),
        "timestamp": StoredAs("timestamp without time zone", "4713 BC to 294276"),
        "timestamptz": StoredAs("timestamp with time zone", "4713 BC to 294276"),
        "json": StoredAs("json", "the text unchanged; text that is not JSON is refused"),
        "uuid": StoredAs("uuid"),
    },
    reasons={
        "WrongCredentials": "the server does not take the user or the password",
        "MissingDatabase": "the database does not exist",
        "MissingSchema": "the table's schema does not exist",
        "MissingDatasetGrant": "a right is missing; the message names the GRANT",
        "NotAllowed": "`pg_hba.conf`, or the database's own rights, refuse the connection",
        "TlsProblem": "the certificates or `sslmode` do not fit",
        "InvalidDataset": "libpq does not understand the URL",
    },
    url="`postgresql://…` with every option of libpq",
    promise="effectively once, also across restarts, fail-over and cut connections; the claim ends an older runner's session "
    "that still holds locks, or waits for its commit",
    needs="the right to create the tables; or tables that fit, all of those below included, with SELECT, INSERT, UPDATE and DELETE",
)
