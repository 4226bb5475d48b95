"""A URL that accepts records by POST, as a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from connector_runner.schemas.datasets.descriptor import Descriptor, StoredAs


def check_url(url: str) -> Iterator[str]:
    """See `Descriptor.check`."""
    try:
        parts = urlsplit(url)
        is_good = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        yield "expected http(s)://host/path, with a port from 1 to 65535 if any"


_WHOLE = StoredAs("number", "exact, all digits")
_FLOAT = StoredAs("number", "exact; NaN and infinities are refused")
_TIME = StoredAs("string", "ISO text")
HTTP = Descriptor(
    name="http",
    title="HTTP",
    schemes=("http", "https"),
    pattern=r"^https?://[^/?#]",
    expected="expected http(s)://host/path",
    check=check_url,
    needs_volume=True,
    reads_rows=False,
    types_title="HTTP (JSON)",
    types={
        "bool": StoredAs("boolean"),
        "int64": _WHOLE,
        "uint64": _WHOLE,
        "int256": _WHOLE,
        "decimal": StoredAs("number", "exact, all digits; NaN and infinities are refused"),
        "float32": _FLOAT,
        "float64": _FLOAT,
        "string": StoredAs("string", "exact; lone surrogates are refused"),
        "bytes": StoredAs("string", "base64"),
        "date": _TIME,
        "time": _TIME,
        "timestamp": _TIME,
        "timestamptz": StoredAs("string", "ISO text in UTC, with Z"),
        "json": StoredAs("any", "unchanged; the JSON null is null; text that is not JSON is refused"),
        "uuid": StoredAs("string"),
    },
    reasons={
        "InvalidDataset": "the URL names no host, or the data directory can't be written",
        "NotPossible": "rows were to be read back (`connector-runner rows`)",
    },
    url="`http://…`, `https://…`",
    promise="**at least once**, in order: position and fence are in a file in the data directory, committed after the response; "
    "a kill in between sends the same rows again",
    needs="a dataset that keeps the contract below; in a cluster a `volumeClaim` for that file: without one the Dataset is refused",
)
