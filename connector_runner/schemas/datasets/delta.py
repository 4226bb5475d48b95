"""Delta tables in a folder or a bucket as a dataset, and the form of their URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from connector_runner.schemas.datasets.descriptor import Descriptor, StoredAs
from connector_runner.schemas.datasets.partitions import EXPECTED, OPTION, Partitions, parse_partitions
from connector_runner.schemas.datasets.s3_options import REFUSED_S3_OPTIONS, S3_OPTIONS, check_s3_options

WORD = "{table}"
"""Stands for the stream's table in the last part of a URL's path."""
OPTIONS = {"commitEvery": (0, 3600), "targetMiB": (1, 1024), "compactEvery": (0, 86_400), "keepSnapshots": (0, 100_000)}
"""The options of a URL that are numbers, with the least and the greatest value; `partitionBy` is the other one."""
COMMIT_SECONDS, TARGET_MIB, COMPACT_SECONDS, KEEP_SNAPSHOTS = 30, 128, 3600, 0
LONGEST_TABLE = 200 - len("_dead_letters")
"""The longest name of a table that leaves room for the tables beside it."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_LEGAL = re.compile(r"[A-Za-z0-9$-][A-Za-z0-9._$-]*")


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says.

    Attributes:
        path: The folder that holds the tables; relative to the data directory unless it begins with a slash, in a bucket its prefix.
        template: The name of a table's folder, in which `{table}` stands for the stream's table.
        commit_seconds: How long rows may be staged before they are committed; 0 commits each transaction.
        target_bytes: The size at which a staged file is committed at once.
        bucket: The bucket on S3; "" for a file system.
        compact_seconds: How long small files stay before they become large ones; 0 for ever.
        keep_snapshots: How many of the newest versions stay readable; 0 for all of the last week.
        partitions: By what new tables are partitioned.
    """

    path: str
    template: str = WORD
    commit_seconds: float = COMMIT_SECONDS
    target_bytes: int = TARGET_MIB << 20
    bucket: str = ""
    compact_seconds: float = COMPACT_SECONDS
    keep_snapshots: int = KEEP_SNAPSHOTS
    partitions: Partitions = ()

    def table(self, name: str) -> str:
        """The folder of a table; a name that already has the form of the template stays as it is."""
        before, _, after = self.template.partition(WORD)
        fits = len(name) > len(before) + len(after) and name.startswith(before) and name.endswith(after)
        return name if fits else f"{before}{name}{after}"


def table_problem(name: str) -> str | None:
    """Why no table can have this name; None if one can."""
    if not _LEGAL.fullmatch(name):
        return (
            f"{name!r} is no name of a table's folder: letters, digits, dots, hyphens, dollar signs and underscores are "
            "possible, a dot or an underscore not as the first"
        )
    if len(name) > LONGEST_TABLE:
        return f"{name!r} is too long; at most {LONGEST_TABLE} characters, so that {name}_dead_letters still fits"
    return None


def bucket_problem(name: str) -> str | None:
    """Why no bucket can have this name; None if one can."""
    if "@" in name:
        return "keys can't be in the URL; put s3.access-key-id and s3.secret-access-key into a Secret and name that in optionsFrom"
    if not _BUCKET.fullmatch(name):
        return f"{name!r} is no name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens; the store's address is the option s3.endpoint"
    return None


def parse_address(url: str) -> Address:
    """Reads a URL without problems (`check_url`)."""
    parts = urlsplit(url)
    path = unquote(parts.path).removeprefix("/").rstrip("/")
    folder, _, last = path.rpartition("/")
    template = WORD
    if WORD in last:
        path, template = folder, last
    options = dict(parse_qsl(parts.query))
    seconds = float(options.get("commitEvery", COMMIT_SECONDS))
    target = int(options.get("targetMiB", TARGET_MIB)) << 20
    return Address(
        path if parts.netloc else path or ".",
        template,
        seconds,
        target,
        parts.netloc,
        float(options.get("compactEvery", COMPACT_SECONDS)),
        int(options.get("keepSnapshots", KEEP_SNAPSHOTS)),
        parse_partitions(options.get(OPTION, "")) or (),
    )


def check_url(url: str) -> Iterator[str]:
    """See `Descriptor.check`."""
    parts = urlsplit(url)
    if parts.netloc and (problem := bucket_problem(parts.netloc)):
        yield problem
    path = unquote(parts.path).removeprefix("/").rstrip("/")
    folder, _, last = path.rpartition("/")
    if parts.netloc and re.search(r"^/|//|(^|/)\.\.?(/|$)", path):
        yield "the path in a bucket has no empty parts and none of dots alone"
    if WORD in folder or last.count(WORD) > 1:
        yield "{table} may stand once, in the last part of the path"
    elif WORD in last and (problem := table_problem(last.replace(WORD, "x"))):
        yield problem
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(set(options) - {*OPTIONS, OPTION}):
        yield f"unknown options {', '.join(unknown)}; known are {', '.join((*OPTIONS, OPTION))}"
    for name, (least, greatest) in OPTIONS.items():
        if name in options and not (options[name].isdecimal() and least <= int(options[name]) <= greatest):
            yield f"{name} must be a whole number from {least} to {greatest}"
    if parse_partitions(options.get(OPTION, "")) is None:
        yield EXPECTED


_TEXT = StoredAs("string")
_FLOAT = "exact; NaN and infinities too"
_YEARS = "exact; years 1 to 9999, others are refused"
DELTA = Descriptor(
    name="delta",
    title="Delta",
    schemes=("delta", "delta+s3"),
    remote_schemes=("delta+s3",),
    pattern=r"^(delta:///|delta\+s3://[^/?#])",
    expected="expected delta:///folder (in the data directory), delta:////absolute/folder or delta+s3://bucket/path",
    check=check_url,
    needs_volume=True,
    reads_rows=True,
    types_title="Delta",
    types={
        "bool": StoredAs("boolean"),
        "int64": StoredAs("long"),
        "uint64": StoredAs("decimal(20,0)"),
        "int256": StoredAs("string", "decimal digits"),
        "decimal": StoredAs(
            "decimal(p,s)",
            "exact; with more than 38 digits or without a limit a string with all digits (in a key without trailing zeros)",
        ),
        "float32": StoredAs("float", _FLOAT),
        "float64": StoredAs("double", _FLOAT),
        "string": StoredAs("string", "exact, NUL included; lone surrogates are refused (not UTF-8)"),
        "bytes": StoredAs("binary"),
        "date": StoredAs("date", _YEARS),
        "time": StoredAs("string", "13:59:59.000001; Delta has no such type"),
        "timestamp": StoredAs("timestamp_ntz", _YEARS),
        "timestamptz": StoredAs("timestamp", _YEARS),
        "json": StoredAs("string", "the text unchanged"),
        "uuid": _TEXT,
    },
    reasons={
        "InvalidDataset": "the extra `lake` is not installed, or a table has settings under which the promise can't be kept; the "
        "message names them; or the store on S3 has no conditional writes",
        "MissingBucket": "the bucket does not exist",
        "WrongCredentials": "the store does not take the access key, or its secret",
        "NotAllowed": "the access key may not do what the runner needs",
        "WrongRegion": "the bucket is in another region",
        "StagedFileGone": "a file was removed by somebody that a table was still to get; the message names it",
        "TlsProblem": "the store's certificate is not trusted, or it does not speak TLS",
    },
    url="`delta:///folder` (in the data directory), `delta:////absolute/folder`; `{table}` in the last part of the path stands for "
    "the stream's table, which is also the default; `delta+s3://bucket/path` with [options](dataset-options.md); "
    "`?commitEvery=30&targetMiB=128&compactEvery=3600&keepSnapshots=0&partitionBy=days(time)`",
    promise="effectively once for each table: rows, transaction and position are in one commit of the table, which the ledger has "
    "decided before; what a kill leaves between the two the next run completes. Readers see several tables one after the other. "
    "Rows are staged and committed every `commitEvery` seconds, so a table is that much behind",
    needs="a file system with hard links or renames that do not replace, or a store with conditional writes (`If-None-Match`), which the "
    "claim proves; no setting `delta.setTransactionRetentionDuration` or "
    "`delta.appendOnly` (in upsert mode) on the tables",
    options=S3_OPTIONS,
    refused_options=REFUSED_S3_OPTIONS,
    check_options=check_s3_options,
)
