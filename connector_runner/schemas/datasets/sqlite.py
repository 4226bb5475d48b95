"""SQLite as a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

from connector_runner.schemas.datasets.descriptor import Descriptor, StoredAs


def check_url(url: str) -> Iterator[str]:
    """See `Descriptor.check`."""
    options = dict(parse_qsl(urlsplit(url).query))
    synchronous = options.pop("synchronous", "FULL").upper()
    if options:
        yield f"unknown options {', '.join(sorted(options))}; known is synchronous"
    if synchronous not in {"FULL", "NORMAL"}:
        yield "synchronous must be FULL or NORMAL"


_FLOAT = StoredAs("REAL", "exact (-0.0 as 0.0, which is equal); NaN is refused (SQLite would store NULL)")
SQLITE = Descriptor(
    name="sqlite",
    title="SQLite",
    schemes=("sqlite",),
    pattern=r"^sqlite:(/|/{3,})?[^/?#]",
    expected="expected sqlite:///file.db (in the data directory) or sqlite:////absolute/file.db",
    check=check_url,
    needs_volume=True,
    reads_rows=True,
    types_title="SQLite",
    types={
        "bool": StoredAs("INTEGER", "0 or 1"),
        "int64": StoredAs("INTEGER"),
        "uint64": StoredAs("TEXT", "decimal digits"),
        "int256": StoredAs("TEXT", "decimal digits"),
        "decimal": StoredAs("TEXT", "all digits; in a key without trailing zeros, so that equal numbers are one key"),
        "float32": _FLOAT,
        "float64": _FLOAT,
        "string": StoredAs("TEXT", "exact, NUL included; lone surrogates are refused (not UTF-8)"),
        "bytes": StoredAs("BLOB"),
        "date": StoredAs("TEXT", "2026-01-31"),
        "time": StoredAs("TEXT", "13:59:59.000001"),
        "timestamp": StoredAs("TEXT", "2026-01-31T13:59:59.000001"),
        "timestamptz": StoredAs("TEXT", "2026-01-31T13:59:59.000001Z, always UTC"),
        "json": StoredAs("TEXT", "the text unchanged"),
        "uuid": StoredAs("TEXT", "36 characters, lower case"),
    },
    reasons={},
    url="`sqlite:///file.db` (in the data directory), `sqlite:////absolute/file.db`; `?synchronous=NORMAL`",
    promise="effectively once; durable at commit with FULL, the default; with NORMAL a power cut may lose the last commits, "
    "rows and position together",
    needs="a local file system with working locks",
)
