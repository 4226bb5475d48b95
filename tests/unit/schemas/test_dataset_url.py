"""What a dataset's URL tells by itself; checked before any connector follows it."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from connector_runner.schemas.dataset_url import FORMS, SCHEME_ALIASES, known_schemes, url_problems

GOOD = [
    "sqlite:///market.db", "sqlite:////data/market.db", "sqlite:market.db", "sqlite:/market.db", "sqlite:///a%20b.db?synchronous=normal",
    "postgresql://db/market", "postgres://u@db:5432/market?sslmode=verify-full&sslrootcert=/etc/ca/ca.crt", "postgresql://",
    "kafka://one:9092", "KAFKA://one:9092,two:9093/market", "kafka://[::1]:9092/raw.{table}?partitions=6&replication=3&topics=exist",
    "iceberg+https://catalogue", "iceberg+http://catalogue:8181/api/catalog/s3:%2F%2Fbucket%2Fpath/raw_{table}?namespace=a",
    "iceberg+sqlite:///lake", "ICEBERG+SQLITE:////data/lake/raw_{table}?namespace=a.b&keepSnapshots=0&partitionBy=days(time),kind",
    "delta:///lake", "DELTA:////data/lake/raw_{table}?commitEvery=5&targetMiB=64&partitionBy=days(time),kind", "delta:///{table}",
    "postgresql:///market?host=/run/pg", "postgresql://a:1,b:2/m", "postgresql://u:p%40ss@[::1]:5432/m", "https://h/records", "http://h:8080",
]  # fmt: skip
BAD = [
    (
        "mysql://db/market",
        "expected a URL that starts with sqlite:, postgresql:, http:, kafka:, delta:, iceberg:, postgres:, https:, delta+s3:, iceberg+sqlite:, iceberg+https:, iceberg+http:",
    ),
    ("market.db", "expected a URL that starts with"),
    ("", "expected a URL that starts with"),
    ("sqlite://market.db", "expected sqlite:///file.db"),
    ("sqlite://", "expected sqlite:///file.db"),
    ("sqlite:///", "expected sqlite:///file.db"),
    ("sqlite:", "expected sqlite:///file.db"),
    ("sqlite:///x.db?mode=ro", "unknown options mode; known is synchronous"),
    ("sqlite:///x.db?synchronous=off", "synchronous must be FULL or NORMAL"),
    ("postgresql:db", "expected postgresql://user@host"),
    ("postgresql://db:port/market", "a port must be a number"),
    ("postgresql://a:1,b:99999/market", "a port must be a number"),
    ("postgresql://[::1/market", "an IPv6 address must be in brackets"),
    ("postgresql://u:p%ss@db/m", "a percent sign must be written as %25"),
    ("postgresql://db/m?sslmode=on", "sslmode must be one of disable"),
    ("postgresql://db/m\n", "a line break"),
    ("kafka://broker/market", "'broker' is not host:port"),
    ("kafka://broker:9092,two/market", "'two' is not host:port"),
    ("kafka://broker:99999/market", "'broker:99999' is not host:port"),
    ("iceberg:///lake", "expected iceberg+sqlite:///folder"),
    ("iceberg+sqlite://lake", "expected iceberg+sqlite:///folder"),
    ("iceberg+https:///lake", "iceberg+https://catalogue/warehouse"),
    ("iceberg+https://token@catalogue/lake", "does not belong into the URL; give it in spec.optionsFrom"),
    ("iceberg+sqlite:///{table}/x", "may stand once, in the last part"),
    ("iceberg+sqlite:///lake/_{table}", "no name of an Iceberg table"),
    ("iceberg+sqlite:///lake?commitEvery=-1", "commitEvery must be a whole number from 0 to 3600"),
    ("iceberg+sqlite:///lake?keepSnapshots=all", "keepSnapshots must be a whole number from 0"),
    ("iceberg+sqlite:///lake?partitionBy=bucket(k)", "partitionBy must be columns or years"),
    ("iceberg+sqlite:///lake?namespace=a..b", "namespace must be names"),
    ("iceberg+sqlite:///lake?catalog=x", "unknown options catalog; known are commitEvery"),
    ("delta://lake", "expected delta:///folder"),
    ("delta:///{table}/x", "may stand once, in the last part"),
    ("delta:///lake/_{table}", "no name of a table's folder"),
    ("delta:///lake?commitEvery=30s", "commitEvery must be a whole number from 0 to 3600"),
    ("delta:///lake?targetMiB=0", "targetMiB must be a whole number from 1"),
    ("delta:///lake?format=avro", "unknown options format; known are commitEvery, targetMiB"),
    ("delta:///lake?partitionBy=bucket(k)", "partitionBy must be columns or years"),
    ("delta:///lake?partitionBy=k,k", "partitionBy must be columns or years"),
    ("kafka:///market", "expected kafka://broker:9092"),
    ("kafka://u:p%ss@broker:9092/market", "SASL"),
    ("kafka://broker:9092/a/b", "no name of a topic"),
    ("kafka://broker:9092/ä", "no name of a topic"),
    ("kafka://broker:9092/{stream}", "no name of a topic"),
    ("kafka://broker:9092/t?acks=1", "unknown options acks; known are partitions, replication, topics"),
    ("kafka://broker:9092/t?partitions=0", "partitions must be a number from 1 on"),
    ("kafka://broker:9092/t?replication=x", "replication must be a number from 1 on"),
    ("kafka://broker:9092/t?topics=maybe", "topics must be create or exist"),
    ("http:///records", "expected http(s)://host/path"),
    ("https://host:0/x", "expected http(s)://host/path"),
    ("https://host:x/x", "expected http(s)://host/path"),
    ("https://[::1/x", "expected http(s)://host/path"),
]


@pytest.mark.parametrize("url", GOOD)
def test_good_urls(url: str) -> None:
    assert url_problems(url) == ()


@pytest.mark.parametrize(("url", "says"), BAD)
def test_bad_urls(url: str, says: str) -> None:
    problems = url_problems(url)
    assert says in "; ".join(problems)
    secret = re.search(r"p%ss", url)
    assert secret is None or secret[0] not in str(problems)


def test_every_sink_has_a_form_and_every_form_a_sink() -> None:
    names = {path.name.removesuffix(".py") for path in resources.files("connector_runner.sinks").iterdir()}
    assert set(FORMS) == {name for name in names if not name.startswith("_")}
    assert set(known_schemes()) == set(FORMS) | set(SCHEME_ALIASES)
