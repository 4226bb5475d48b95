"""Topics of Apache Kafka as a dataset, and the form of their URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from connector_runner.schemas.datasets.descriptor import Descriptor, StoredAs
from connector_runner.schemas.datasets.kafka_options import KAFKA_OPTIONS, REFUSED_OPTIONS, check_options

OPTIONS = ("partitions", "replication", "topics")
"""The options of a URL."""
LONGEST_TOPIC = 249 - len("_dead_letters")
"""The longest name of a topic that leaves room for the topics beside it."""
WORD = "{table}"
"""Stands for the stream's table in the path of a URL."""
_LEGAL = re.compile(r"[A-Za-z0-9._-]+")
_BROKER = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says.

    Attributes:
        brokers: `host:port`, at least one.
        template: The name of the topic, in which `{table}` stands for the stream's table.
        partitions, replication: Of topics that are created; -1 for the broker's default.
        creates: Whether topics with rows are created; else they must exist.
    """

    brokers: tuple[str, ...]
    template: str
    partitions: int = -1
    replication: int = -1
    creates: bool = True

    def topic(self, table: str) -> str:
        """The topic of a table; a name that already has the form of the template stays as it is."""
        before, word, after = self.template.partition(WORD)
        if not word:
            return before
        fits = len(table) > len(before) + len(after) and table.startswith(before) and table.endswith(after)
        return table if fits else f"{before}{table}{after}"


def topic_problem(name: str) -> str | None:
    """Why a topic can't have this name; None if it can."""
    if not _LEGAL.fullmatch(name) or name in {".", ".."}:
        return f"{name!r} is no name of a topic: letters, digits, dots, hyphens and underscores are possible"
    if len(name) > LONGEST_TOPIC:
        return f"{name!r} is too long; at most {LONGEST_TOPIC} characters, so that {name}_dead_letters still fits"
    return None


def parse_address(url: str) -> Address:
    """Reads a URL without problems (`check_url`)."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    return Address(
        tuple(parts.netloc.split(",")),
        unquote(parts.path.strip("/")) or WORD,
        int(options.get("partitions", -1)),
        int(options.get("replication", -1)),
        options.get("topics", "create") == "create",
    )


def check_url(url: str) -> Iterator[str]:
    """See `Descriptor.check`."""
    parts = urlsplit(url)
    if "@" in parts.netloc:
        yield "a user and password (SASL) can't be in the URL; put sasl.username and sasl.password into a Secret and name that in optionsFrom"
        return
    for broker in parts.netloc.split(","):
        found = _BROKER.fullmatch(broker)
        if found is None or not 0 < int(found[2]) < 65536:
            yield f"{broker!r} is not host:port; write all brokers with their ports, as in kafka://one:9092,two:9092/topic"
    template = unquote(parts.path.strip("/"))
    before, _, after = template.partition(WORD)
    if template and (problem := topic_problem(before + after or "x")):
        yield problem
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(set(options) - set(OPTIONS)):
        yield f"unknown options {', '.join(unknown)}; known are {', '.join(OPTIONS)}"
    for name in ("partitions", "replication"):
        if name in options and not (options[name].isdecimal() and 0 < int(options[name]) < 10_000):
            yield f"{name} must be a number from 1 on"
    if options.get("topics", "create") not in {"create", "exist"}:
        yield "topics must be create or exist"


_WHOLE = StoredAs("number", "exact, all digits")
_FLOAT = StoredAs("number", "exact; NaN and infinities are refused")
_TIME = StoredAs("string", "ISO text")
_YEARS = "years 1 to 9999, others are refused"
AVRO = {
    "bool": StoredAs("boolean"),
    "int64": StoredAs("long"),
    "uint64": StoredAs("bytes, decimal(20,0)"),
    "int256": StoredAs("string", "decimal digits"),
    "decimal": StoredAs(
        "bytes, decimal(p,s)",
        "exact, others are refused; with more than 38 digits or without a limit a string with all digits",
    ),
    "float32": StoredAs("float", "exact; NaN and infinities too"),
    "float64": StoredAs("double", "exact; NaN and infinities too"),
    "string": StoredAs("string", "exact; lone surrogates are refused (not UTF-8)"),
    "bytes": StoredAs("bytes"),
    "date": StoredAs("int, date", _YEARS),
    "time": StoredAs("long, time-micros"),
    "timestamp": StoredAs("long, local-timestamp-micros", _YEARS),
    "timestamptz": StoredAs("long, timestamp-micros", _YEARS),
    "json": StoredAs("string", "the text unchanged"),
    "uuid": StoredAs("string, uuid"),
}
KAFKA = Descriptor(
    name="kafka",
    title="Kafka",
    schemes=("kafka",),
    pattern=r"^kafka://[^/?#]",
    expected="expected kafka://broker:9092,broker2:9092/topic",
    check=check_url,
    needs_volume=False,
    reads_rows=True,
    types_title="Kafka (JSON)",
    types={
        "bool": StoredAs("boolean"),
        "int64": _WHOLE,
        "uint64": _WHOLE,
        "int256": StoredAs("string", "decimal digits"),
        "decimal": StoredAs("string", "all digits; in a key without trailing zeros, so that equal numbers are one key"),
        "float32": _FLOAT,
        "float64": _FLOAT,
        "string": StoredAs("string", "exact; lone surrogates are refused (not UTF-8)"),
        "bytes": StoredAs("string", "base64"),
        "date": _TIME,
        "time": _TIME,
        "timestamp": _TIME,
        "timestamptz": StoredAs("string", "ISO text in UTC, with Z"),
        "json": StoredAs("any", "unchanged; the JSON null is null; text that is not JSON is refused"),
        "uuid": StoredAs("string"),
    },
    reasons={
        "WrongCredentials": "the brokers or the schema registry do not take the user, the password or the token",
        "TlsProblem": "the certificate of the brokers or of the schema registry is not trusted, or they do not speak TLS",
        "NotAllowed": "an ACL or the schema registry refuses what the runner needs; the message names it",
        "MissingTopic": "the topic does not exist, and the URL says `topics=exist`; or it was deleted while the runner wrote into it",
        "InvalidDataset": "the topic has settings under which the promise can't be kept; the message names them; or a transaction takes longer than the "
        "brokers allow; or what the URL of the schema registry names is none",
    },
    url="`kafka://broker:9092,broker2:9092/topic`; `{table}` in the topic's name stands for the stream's table, which is also the "
    "default; `?partitions=6&replication=3` for topics that are created, `?topics=exist`",
    promise="effectively once for readers with `isolation.level=read_committed`: rows, dead letters, incidents and position "
    "commit in one Kafka transaction, or not at all; a reader of several partitions may see them one after the other",
    needs="brokers from Kafka 2.5 on; the rights to read, write, describe and create the topic, its `_dead_letters` and "
    "`_incidents`, the topics `_connector_checkpoints.*`, and the transactional ids `connector-runner.*`",
    options=KAFKA_OPTIONS,
    refused_options=REFUSED_OPTIONS,
    check_options=check_options,
    more_types={"Kafka (Avro)": AVRO},
)
