"""Iceberg tables of a catalogue as a dataset, and the form of its URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from connector_runner.schemas.datasets.descriptor import Descriptor, StoredAs
from connector_runner.schemas.datasets.iceberg_options import (
    ICEBERG_OPTIONS,
    REFUSED_ICEBERG_OPTIONS,
    check_iceberg_options,
)
from connector_runner.schemas.datasets.partitions import EXPECTED, OPTION, Partitions, parse_partitions

WORD = "{table}"
"""Stands for the stream's table in the last part of a URL's path."""
NUMBERS = {"commitEvery": (0, 3600), "targetMiB": (1, 1024), "compactEvery": (0, 86_400), "keepSnapshots": (0, 100_000)}
"""The options of a URL that are numbers, with the least and the greatest value."""
TEXTS = ("namespace", OPTION)
"""The other options."""
COMMIT_SECONDS, TARGET_MIB, COMPACT_SECONDS, KEEP_SNAPSHOTS, NAMESPACE = 30, 128, 3600, 100, "default"
LONGEST_TABLE = 200 - len("_dead_letters")
"""The longest name of a table that leaves room for the tables beside it."""
_LEGAL = re.compile(r"[A-Za-z0-9-][A-Za-z0-9_-]*")
_NAMESPACE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says.

    Attributes:
        folder: The folder with the catalogue's file and the tables, relative to the data directory unless it begins with a slash; ""
            for a REST catalogue.
        uri: The URL of a REST catalogue; "" for a file.
        warehouse: The warehouse of a REST catalogue.
        template: The name of a table, in which `{table}` stands for the stream's table.
        namespace: The namespace of all tables.
        commit_seconds: How long rows may be staged before they are committed; 0 commits each transaction.
        target_bytes: The size at which a staged file is committed at once.
        compact_seconds: How long small files stay before they become large ones; 0 for ever.
        keep_snapshots: How many snapshots of a table stay readable; 0 for all.
        partitions: Transform and column of each field by which new tables are partitioned.
    """

    folder: str
    uri: str = ""
    warehouse: str = ""
    template: str = WORD
    namespace: str = NAMESPACE
    commit_seconds: float = COMMIT_SECONDS
    target_bytes: int = TARGET_MIB << 20
    compact_seconds: float = COMPACT_SECONDS
    keep_snapshots: int = KEEP_SNAPSHOTS
    partitions: Partitions = ()

    def table(self, name: str) -> str:
        """The name of a table; one that already has the form of the template stays as it is."""
        before, _, after = self.template.partition(WORD)
        fits = len(name) > len(before) + len(after) and name.startswith(before) and name.endswith(after)
        return name if fits else f"{before}{name}{after}"


def table_problem(name: str) -> str | None:
    """Why no table can have this name; None if one can."""
    if not _LEGAL.fullmatch(name):
        return (
            f"{name!r} is no name of an Iceberg table: letters, digits, hyphens and underscores are possible, an underscore "
            "not as the first"
        )
    if len(name) > LONGEST_TABLE:
        return f"{name!r} is too long; at most {LONGEST_TABLE} characters, so that {name}_dead_letters still fits"
    return None


def parse_address(url: str) -> Address:
    """Reads a URL without problems (`check_url`)."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    path = parts.path.removeprefix("/").rstrip("/")
    front, _, last = path.rpartition("/")
    template = WORD
    if WORD in unquote(last):
        path, template = front, unquote(last)
    kind = parts.scheme.lower().removeprefix("iceberg+")
    folder, uri, warehouse = unquote(path) or ".", "", ""
    if kind != "sqlite":
        front, _, last = path.rpartition("/")
        folder, uri, warehouse = "", f"{kind}://{parts.netloc}/{front}".rstrip("/"), unquote(last)
    return Address(
        folder,
        uri,
        warehouse,
        template,
        options.get("namespace", NAMESPACE),
        float(options.get("commitEvery", COMMIT_SECONDS)),
        int(options.get("targetMiB", TARGET_MIB)) << 20,
        float(options.get("compactEvery", COMPACT_SECONDS)),
        int(options.get("keepSnapshots", KEEP_SNAPSHOTS)),
        parse_partitions(options.get(OPTION, "")) or (),
    )


def check_url(url: str) -> Iterator[str]:
    """See `Descriptor.check`."""
    parts = urlsplit(url)
    folder, _, last = unquote(parts.path).removeprefix("/").rstrip("/").rpartition("/")
    if WORD in folder or last.count(WORD) > 1:
        yield "{table} may stand once, in the last part of the path"
    elif WORD in last and (problem := table_problem(last.replace(WORD, "x"))):
        yield problem
    if "@" in parts.netloc:
        yield "a user or token does not belong into the URL; give it in spec.optionsFrom"
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(set(options) - {*NUMBERS, *TEXTS}):
        yield f"unknown options {', '.join(unknown)}; known are {', '.join((*NUMBERS, *TEXTS))}"
    for name, (least, greatest) in NUMBERS.items():
        if name in options and not (options[name].isdecimal() and least <= int(options[name]) <= greatest):
            yield f"{name} must be a whole number from {least} to {greatest}"
    if not _NAMESPACE.fullmatch(options.get("namespace", NAMESPACE)):
        yield "namespace must be names of letters, digits, hyphens and underscores with dots between them"
    if parse_partitions(options.get(OPTION, "")) is None:
        yield EXPECTED


_TEXT = StoredAs("string")
_FLOAT = "exact; NaN and infinities too"
_YEARS = "exact; years 1 to 9999, others are refused"
ICEBERG = Descriptor(
    name="iceberg",
    title="Iceberg",
    schemes=("iceberg", "iceberg+sqlite", "iceberg+https", "iceberg+http"),
    remote_schemes=("iceberg+https", "iceberg+http"),
    pattern=r"^iceberg\+(sqlite:///|https?://[^/?#])",
    expected="expected iceberg+sqlite:///folder (in the data directory), iceberg+sqlite:////absolute/folder or "
    "iceberg+https://catalogue/warehouse",
    check=check_url,
    needs_volume=True,
    reads_rows=True,
    types_title="Iceberg",
    types={
        "bool": StoredAs("boolean"),
        "int64": StoredAs("long"),
        "uint64": StoredAs("decimal(20, 0)"),
        "int256": StoredAs("string", "decimal digits"),
        "decimal": StoredAs(
            "decimal(p, s)",
            "exact; with more than 38 digits or without a limit a string with all digits (in a key without trailing zeros)",
        ),
        "float32": StoredAs("float", _FLOAT),
        "float64": StoredAs("double", _FLOAT),
        "string": StoredAs("string", "exact, NUL included; lone surrogates are refused (not UTF-8)"),
        "bytes": StoredAs("binary"),
        "date": StoredAs("date", _YEARS),
        "time": StoredAs("string", "13:59:59.000001"),
        "timestamp": StoredAs("timestamp", _YEARS),
        "timestamptz": StoredAs("timestamptz", _YEARS),
        "json": StoredAs("string", "the text unchanged"),
        "uuid": _TEXT,
    },
    reasons={
        "InvalidDataset": "the extra `lake` is not installed, or a table has settings under which the promise can't be kept; the "
        "message names them; or a REST catalogue takes commits from a state that is no longer there",
        "WrongCredentials": "the catalogue does not take the token, or the client's secret; or the S3 store not the access key",
        "WrongRegion": "the tables' bucket is in another region than `s3.region`",
        "MissingBucket": "the bucket of the catalogue's warehouse does not exist",
        "NotAllowed": "the catalogue, or the S3 store, does not let this client do what the runner needs",
        "TlsProblem": "the certificate of the catalogue, or of the S3 store, is not trusted, or it does not speak TLS",
        "StagedFileGone": "a file was removed by somebody that a table was still to get; the message names it",
    },
    url="`iceberg+sqlite:///folder` (in the data directory), `iceberg+sqlite:////absolute/folder`; `iceberg+https://catalogue/warehouse` "
    "(`iceberg+http:` without encryption) for a REST catalogue, with [options](dataset-options.md); `{table}` in the last part of the "
    "path stands for the stream's table, which is also the default; `?namespace=default&commitEvery=30&targetMiB=128&"
    "compactEvery=3600&keepSnapshots=100&partitionBy=days(time)`",
    promise="effectively once for each table: rows, transaction and position are in one commit of the table, which the ledger has "
    "decided before; what a kill leaves between the two the next run completes. Readers see several tables one after the other. "
    "Rows are staged and committed every `commitEvery` seconds, so a table is that much behind",
    needs="a file system with renames, or a REST catalogue that refuses a commit from a state that is no longer there, which the claim "
    "proves; on the tables `commit.retry.num-retries` is 0, which the runner sets and looks at before every commit",
    options=ICEBERG_OPTIONS,
    refused_options=REFUSED_ICEBERG_OPTIONS,
    check_options=check_iceberg_options,
)
"""The descriptor."""
