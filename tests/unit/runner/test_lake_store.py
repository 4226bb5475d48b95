"""Delta tables on S3, the pure parts: addresses, options, signatures, and what answers of a store mean."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from connector_runner.datasets.columnar.s3.errors import CODES, LASTING
from connector_runner.datasets.columnar.s3.signature import Keys, sign
from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.schemas.dataset_options import GivenOptions, option_problems, written_problems
from connector_runner.schemas.dataset_url import FILE_SCHEMES, url_problems
from connector_runner.schemas.datasets import DESCRIPTORS
from connector_runner.schemas.datasets.delta import Address, parse_address
from connector_runner.sinks.delta.errors import explain
from connector_runner.sinks.delta.store import build_store
from connector_runner.sinks.delta.upkeep import Upkeep, has_small_files, retention_hours

URL = "delta+s3://bucket/some/path/raw_{table}?commitEvery=5"
KEYS = {"s3.access-key-id": "AKIA", "s3.secret-access-key": "very-secret"}


def test_an_address_in_a_bucket() -> None:
    assert parse_address(URL) == Address("some/path", "raw_{table}", 5, bucket="bucket")
    assert parse_address("delta+s3://bucket") == Address("", bucket="bucket")
    assert "delta+s3" not in FILE_SCHEMES
    assert "delta" in FILE_SCHEMES


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("delta+s3:///path", "delta+s3://bucket/path"),
        ("delta+s3://Bucket/path", "is no name of a bucket"),
        ("delta+s3://b/path", "is no name of a bucket"),
        ("delta+s3://minio:9000/path", "the option s3.endpoint"),
        ("delta+s3://key:secret@bucket/path", "keys can't be in the URL"),
        ("delta+s3://bucket/a//b", "no empty parts"),
        ("delta+s3://bucket/a/../b", "no empty parts and none of dots"),
        ("delta+s3://bucket/{table}/x", "in the last part of the path"),
    ],
)
def test_addresses_that_are_refused(url: str, said: str) -> None:
    problems = url_problems(url)
    assert any(said in problem for problem in problems), problems
    assert "secret" not in "".join(problems).replace("s3.secret-access-key", "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"s3.access-key-id": "AKIA"}, "belong together"),
        ({**KEYS, "aws_conditional_put": "none"}, "the runner sets it"),
        ({**KEYS, "allow_invalid_certificates": "true"}, "whoever answers would be believed"),
        ({**KEYS, "s3.endpoint": "minio:9000"}, "a URL of a scheme"),
        ({**KEYS, "s3.endpoint": "https://user:pw@minio"}, "a URL of a scheme"),
        ({**KEYS, "s3.region": "EU West"}, "a region"),
        ({**KEYS, "s3.nothing": "1"}, "is no option of Delta"),
    ],
)
def test_options_that_are_refused(options: dict[str, str], said: str) -> None:
    problems = option_problems(URL, GivenOptions(values=options))
    assert any(said in problem for problem in problems), problems
    assert "very-secret" not in "".join(problems)


def test_secrets_come_from_secrets_alone() -> None:
    assert any("put it into a Secret" in problem for problem in written_problems(URL, KEYS))


def test_a_store_needs_keys_and_a_folder_takes_none(tmp_path: Path) -> None:
    with pytest.raises(ActionRequiredError, match=r"s3\.access-key-id and s3\.secret-access-key are missing"):
        build_store(parse_address(URL), {}, tmp_path)
    with pytest.raises(ActionRequiredError, match="has no effect on a folder"):
        build_store(parse_address("delta:///lake"), KEYS, tmp_path)
    store = build_store(parse_address(URL), {**KEYS, "s3.endpoint": "http://minio:9000/"}, tmp_path)
    assert store.path("rows", "x.parquet") == "bucket/some/path/rows/x.parquet"
    assert store.uri == "s3://bucket/some/path"
    assert store.options["aws_conditional_put"] == "etag"
    assert store.options["aws_allow_http"] == "true"
    assert "very-secret" not in repr(store)


def test_a_signature_is_that_of_the_documentation() -> None:
    """The signature is what botocore 1.40 computes for the same request."""
    keys = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", region="us-east-1")
    at = dt.datetime(2013, 5, 24, tzinfo=dt.UTC)
    sent = sign("PUT", "examplebucket.s3.amazonaws.com", "/test$file.text", {"if-none-match": "*"}, keys, at)
    assert sent["x-amz-date"] == "20130524T000000Z"
    assert "SignedHeaders=host;if-none-match;x-amz-content-sha256;x-amz-date" in sent["authorization"]
    assert sent["authorization"].endswith("Signature=f57d910ecc4087359da7d54dc2cc5ff7e9a56f329ce5862f40c80f9a6564f68f")
    with_token = sign("GET", "h", "/", {}, Keys("a", "b", "token"), at)
    assert with_token["x-amz-security-token"] == "token"
    assert "x-amz-security-token" in with_token["authorization"]


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_reason_that_is_documented(code: str) -> None:
    text = f"Generic S3 error: 400 Bad Request: <Error><Code>{code}</Code><Message>No.</Message><Key>secret-key</Key></Error>"
    error = explain(OSError(text), "s3://bucket/path")
    assert error.reason in {*DESCRIPTORS["delta"].reasons, "DatasetUnavailable"}
    assert isinstance(error, ActionRequiredError if error.reason in LASTING else TransientError)
    assert code in error.message
    assert "secret-key" not in error.message


def test_what_a_store_says_is_shown_as_it_means_it() -> None:
    said = "<Message>the region &#34;us-east-1&#34; is wrong; expecting &#34;eu-west-1&#34;</Message>"
    error = explain(OSError(f"400: <Code>AuthorizationHeaderMalformed</Code>{said}"), "s3://bucket/path")
    assert error.reason == "WrongRegion"
    assert 'expecting "eu-west-1"' in error.message


def test_an_error_without_a_row_is_temporary_and_on_one_line() -> None:
    error = explain(
        OSError("Generic S3 error\n  \x1b[31m↳\x1b[0m 503 Slow Down\n <?xml ...?><Error>"), "s3://bucket/path"
    )
    assert isinstance(error, TransientError)
    assert error.message == "s3://bucket/path: OSError: Generic S3 error 503 Slow Down"


@pytest.mark.parametrize(
    ("small", "large", "age", "every", "wanted"),
    [
        (10, 3, 3600, 3600, True),
        (9, 30, 3600, 3600, False),
        (10, 0, 3599, 3600, False),
        (500, 0, 9999, 0, False),
    ],
)
def test_when_small_files_become_large_ones(small: int, large: int, age: int, every: int, wanted: bool) -> None:
    files = [(99, 1000.0 + place, ()) for place in range(small)] + [(100, 0.0, ())] * large
    assert has_small_files(files, Upkeep(every, 0, 200), 1000.0 + age) is wanted


@pytest.mark.parametrize(("each", "wanted"), [(9, False), (10, True)])
def test_small_files_are_counted_by_partition(each: int, wanted: bool) -> None:
    files = [(99, 0.0, (day,)) for day in "abc" for _ in range(each)]
    assert has_small_files(files, Upkeep(3600, 0, 200), 9999.0) is wanted


@pytest.mark.parametrize(
    ("keep", "times", "hours"),
    [(0, [0.0], 168), (2, [9_000.0, 3_600.0], 2), (2, [9_000.0, 8_000.0], 1), (2, [9_000.0], 168), (1, [10_000.0], 1)],
)
def test_how_long_old_versions_stay(keep: int, times: list[float], hours: int) -> None:
    assert retention_hours(times, Upkeep(0, keep, 1), 10_000.0) == hours
