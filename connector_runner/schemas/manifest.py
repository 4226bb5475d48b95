"""The input of a runner: one JSON document in the environment, and Secrets as mounted files.

The operator builds it, the runner reads it; by hand the runner builds the same document from a manifest file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from connector_runner.schemas.kinds import naming
from connector_runner.schemas.kinds.declare import described
from connector_runner.schemas.kinds.streams import Isolation, StreamsSpec
from connector_runner.schemas.secrets import SecretKey, SecretSource

MANIFEST_VARIABLE = "CONNECTOR_MANIFEST"
"""Environment variable with the JSON of a `RunnerManifest`; a long one continues in `CONNECTOR_MANIFEST_1`, `…_2` and so on."""
PART_BYTES = 96 * 1024
"""The limit of one variable: Linux accepts 128 KiB for `NAME=value` (MAX_ARG_STRLEN), else says "argument list too long"."""
MOST_CONFIG_BYTES = 400_000
"""The longest `spec.config`, as JSON. Within a Job it is JSON in JSON, at most twice as long; a process starts with at most 2 MiB of
arguments and environment, etcd accepts 1.5 MiB for an object by default."""
CONFIG_DIRECTORY_VARIABLE = "CONNECTOR_CONFIG_DIR"
"""Environment variable with the folder of the mounted `configFrom` Secrets: subfolders `0`, `1`, … in order, a file for each key."""
DATASET_URL_VARIABLE = "CONNECTOR_DATASET_URL_FILE"
"""Environment variable with the path of the file that holds the dataset's URL, if the URL comes from a Secret."""
OPTIONS_DIRECTORY_VARIABLE = "CONNECTOR_DATASET_OPTIONS_DIR"
"""Environment variable with the folder of the mounted `optionsFrom` Secrets of the Dataset, as for `configFrom`."""
DATA_DIRECTORY_VARIABLE = "CONNECTOR_DATA_DIR"
"""Environment variable with the folder of the dataset's volume, where relative file URLs start (sqlite:///x.db); default: here."""
TERMINATION_LOG_VARIABLE = "CONNECTOR_TERMINATION_LOG"
"""Environment variable with the path for the termination message; absent in a run by hand: nothing is written."""
PROBE_ADDRESS_VARIABLE = "CONNECTOR_PROBE_ADDRESS"
"""Environment variable `host:port` for probes and metrics; absent in a run by hand: no port is opened unless an option asks for it."""
ORDERS_DIRECTORY_VARIABLE = "CONNECTOR_ORDERS_DIR"
"""Environment variable with the folder of orders that may change while the runner runs; default: `ORDERS_DIRECTORY`."""

CONFIG_DIRECTORY = "/etc/connector/config"
ORDERS_DIRECTORY = "/etc/connector/orders"
SELECTION_FILE = "selection.json"
"""The file in that folder with the present `spec.streams` as JSON, instead of that of the manifest; further members are ignored."""
DATASET_DIRECTORY = "/etc/connector/dataset"
OPTIONS_DIRECTORY = "/etc/connector/options"
DATA_DIRECTORY = "/data"
PROBE_PORT = 8080


class DatasetTarget(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where rows go: a Dataset, resolved for one connector.

    Attributes:
        name: The Dataset's name.
        url: Its URL if that contains no secret; "" if the URL is in the mounted file.
        table: The table, possibly schema-qualified.
        write_mode: `upsert` or `append`.
        refused_rows: `deadLetter` or `stop`.
        ledger_schema: The schema with the checkpoint table; "" for the default.
        url_from: The Secret and key behind the mounted file, for messages.
        options: `spec.options`, as written.
        options_from: The mounted Secrets with further options, in order.
    """

    name: str
    url: str = ""
    table: str
    write_mode: str = "upsert"
    refused_rows: str = "deadLetter"
    ledger_schema: str = ""
    url_from: SecretKey | None = None
    options: dict[str, str] = {}
    options_from: tuple[SecretSource, ...] = ()


class TakeOver(msgspec.Struct, frozen=True):
    """The connector that a table is taken over from: `namespace/name`, and the epoch with which it must still hold the table."""

    connector: Annotated[
        str, described("Its name, or namespace/name.", pattern=naming.OTHER_NAME_PATTERN, maxLength=128)
    ]
    epoch: Annotated[int, described("The epoch with which it holds the table.", minimum=1, format="int64")]

    def within(self, namespace: str) -> TakeOver:
        """The same with the full name; a name without a namespace means one in this namespace."""
        return self if "/" in self.connector else TakeOver(f"{namespace}/{self.connector}", self.epoch)


class RunnerManifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The orders of one execution.

    Attributes:
        namespace, name, uid: The Connector's.
        run: The execution's number, from 1 up; 0 for a discovery.
        connector_type: COINBASE, ETHEREUM, MYSQL.
        config: spec.config as in the Connector, without Secrets and defaults.
        config_from: The number of mounted Secrets that are merged over it, in order.
        secrets: These Secrets and the use of their keys; () from an operator of an earlier version.
        wait: Whether each batch is confirmed before the next is sent.
        stream: The selected stream; "" if none is selected (discovery).
        streams: The selection of many streams, instead of `stream`; `dataset.table` is then a template of the tables' names.
        on_stream_failure: With `streams`: whether a stream that fails is paused alone (`isolate`) or ends the execution (`stop`).
        also: For a discovery: streams selected by other connectors that wait for the same list.
        selections: For a discovery: the selections of all connectors that wait for its answer, the own one first.
        dataset: None for a discovery.
        unmoved: The mark of the run that holds the dataset, as reported to an earlier run; this run may claim only if it is unchanged.
        take_over: The holder from whom the dataset's table is taken over, if it still holds the table with that epoch.
    """

    namespace: str
    name: str
    uid: str
    run: int = 0
    connector_type: str
    config: dict[str, Any] = {}
    config_from: int = 0
    secrets: tuple[SecretSource, ...] = ()
    wait: bool = True
    stream: str = ""
    streams: StreamsSpec | None = None
    on_stream_failure: Isolation = "isolate"
    also: tuple[str, ...] = ()
    selections: tuple[StreamsSpec, ...] = ()
    dataset: DatasetTarget | None = None
    unmoved: str = ""
    take_over: TakeOver | None = None


def encode_manifest(manifest: RunnerManifest) -> str:
    """JSON with sorted keys: equal manifests are equal texts."""
    return msgspec.json.encode(manifest, order="sorted").decode()


def encode_variables(manifest: RunnerManifest) -> dict[str, str]:
    """The environment variables that carry the orders, by name; only one unless the orders are long."""
    # Kubernetes would expand $(NAME) in a value; within JSON a dollar may be written as its code point.
    text = encode_manifest(manifest).replace("$", "\\u0024")
    parts = split_text(text, PART_BYTES)
    return {f"{MANIFEST_VARIABLE}_{index}" if index else MANIFEST_VARIABLE: part for index, part in enumerate(parts)}


def split_text(text: str, most: int) -> list[str]:
    """Splits a text into parts of at most `most` bytes of UTF-8 each, without cutting a character."""
    data, parts = text.encode(), list[str]()
    while len(data) > most:
        part = data[:most].decode(errors="ignore")
        parts.append(part)
        data = data[len(part.encode()) :]
    return [*parts, data.decode()]


def read_variables(environment: Mapping[str, str]) -> str:
    """The text of the orders from the environment, "" if there is none."""
    parts = [environment.get(MANIFEST_VARIABLE, "")]
    while part := environment.get(f"{MANIFEST_VARIABLE}_{len(parts)}"):
        parts.append(part)
    return "".join(parts)


def parse_manifest(text: str | bytes) -> RunnerManifest:
    """The reverse.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: It is not valid; the message has the JSON path.
    """
    return msgspec.json.decode(text, type=RunnerManifest)
