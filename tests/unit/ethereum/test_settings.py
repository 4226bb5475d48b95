"""The configuration as values, and that no secret is ever shown."""

from typing import Any

import pytest

from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.schemas.config import config_problems, config_schema, fill_defaults, secret_properties
from connector_runner.sources.ethereum.settings import LogFilter, Tag, parse_settings

URL = "http://localhost:8545"


@pytest.mark.parametrize(
    ("found", "expected"),
    [("latest", Tag.LATEST), ("earliest", Tag.EARLIEST), (0, 0), ("17", 17), ("0x10", 16), (19_000_000, 19_000_000)],
)
def test_start_block(found: Any, expected: int | Tag) -> None:
    assert parse_settings({"url": URL, "startBlock": found}).start == expected


@pytest.mark.parametrize(("found", "expected"), [("safe", Tag.SAFE), ("finalized", Tag.FINALIZED), (12, 12), ("3", 3)])
def test_finality(found: Any, expected: int | Tag) -> None:
    assert parse_settings({"url": URL, "finality": found}).finality == expected


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"url": "ftp://x/secretkey"}, "config.url: expected http"),
        ({"url": "http://"}, "config.url: expected http"),
        ({"url": "http://x:99999999/secretkey"}, "config.url: expected http"),
        ({"url": URL, "fallbackUrls": ["nonsense-secretkey"]}, r"config.fallbackUrls\[0\]: expected http"),
        ({"url": URL, "startBlock": True}, "config.startBlock"),
        ({"url": URL, "startBlock": ["a"]}, "config.startBlock"),
        ({"url": URL, "headers": {"A": 5}}, "config.headers.A"),
        ({"url": URL, "headers": {"A": "x\nsecretkey"}}, "config.headers.A"),
        ({"url": URL, "headers": "secretkey"}, "config.headers"),
        ({"url": URL, "abi": "{"}, "config.abi: not JSON"),
        ({"url": URL, "abi": "5"}, "config.abi: expected"),
        ({"url": "http://u:secretkey@x", "headers": {"authorization": "secretkey"}}, "give one of the two"),
    ],
)
def test_problems_name_their_place_and_no_secret(config: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidConfigError, match=problem) as caught:
        parse_settings(config)
    assert "secretkey" not in str(caught.value)


def test_all_problems_at_once() -> None:
    with pytest.raises(InvalidConfigError) as caught:
        parse_settings({"url": "x", "abi": "{", "finality": "never"})
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("url", "shown", "kind"),
    [
        ("https://mainnet.infura.io/v3/0123456789abcdef", "….infura.io (https)", "http"),
        ("wss://abc-def.quiknode.pro/0123456789/", "….quiknode.pro (wss)", "websocket"),
        ("http://user:password@node:8545", "node:8545 (http)", "http"),
        ("ws://127.0.0.1:8546?token=0123456789", "127.0.0.1:8546 (ws)", "websocket"),
        ("http://[::1]:8545", "[::1]:8545 (http)", "http"),
        ("http://geth.chain.svc:8545", "geth.chain.svc:8545 (http)", "http"),
        ("/data/geth.ipc", "ipc:geth.ipc", "ipc"),
    ],
)
def test_what_is_shown_of_an_endpoint(url: str, shown: str, kind: str) -> None:
    endpoint = parse_settings({"url": url}).endpoints[0]
    assert (endpoint.shown, endpoint.kind) == (shown, kind)
    assert url not in shown  # also a URL without a key: what is learnt as a secret would be blotted out
    assert repr(endpoint) == f"Endpoint(shown={shown!r}, kind={kind!r})"


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("https://mainnet.infura.io/v3/0123456789abcdef", ["0123456789abcdef"]),
        ("wss://abc-def.quiknode.pro/0123456789/", ["abc-def", "0123456789"]),
        ("http://person:pass%20word@node:8545", ["person", "pass%20word", "pass word"]),
        ("ws://127.0.0.1:8546/?token=0123456789&x=1", ["0123456789"]),
    ],
)
def test_every_piece_of_a_url_is_taken_out_of_foreign_texts(url: str, secrets: list[str]) -> None:
    text = (
        parse_settings({"url": url}).endpoints[0].redact(f"can't reach {url} because {' and '.join(secrets)} are wrong")
    )
    assert not [secret for secret in secrets if secret in text]
    assert text.startswith("can't reach ")


def test_headers_are_redacted_word_by_word() -> None:
    endpoint = parse_settings({"url": URL, "headers": {"Authorization": "Bearer topsecretvalue"}}).endpoints[0]
    assert "topsecret" not in endpoint.redact("the node said: token topsecretvalue is wrong")
    assert "topsecret" not in repr(endpoint)


def test_filters_by_address_and_topic() -> None:
    one, two = "0x" + "AA" * 32, "0x" + "bb" * 32
    settings = parse_settings({"url": URL, "addresses": ["0x" + "Cc" * 20], "topics": ["", f"{one}|{two}"]})
    assert settings.filter == LogFilter(("0x" + "cc" * 20,), ((), (one.lower(), two)))
    assert not settings.filter.is_open
    assert parse_settings({"url": URL}).filter.is_open


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({}, "config.url"),
        ({"url": URL, "startBlock": "soon"}, "config.startBlock"),
        ({"url": URL, "startBlock": -1}, "config.startBlock"),
        ({"url": URL, "finality": "mostly"}, "config.finality"),
        ({"url": URL, "addresses": ["0x12"]}, "config.addresses"),
        ({"url": URL, "topics": ["0x12"]}, "config.topics"),
        ({"url": URL, "events": ["Transfer"]}, "config.events"),
        ({"url": URL, "maxBlockRange": 0}, "config.maxBlockRange"),
        ({"url": URL, "typo": 1}, "config.typo"),
    ],
)
def test_the_schema_refuses(config: dict[str, Any], path: str) -> None:
    schema = config_schema("ETHEREUM")
    problems = config_problems(fill_defaults(config, schema), schema)
    assert len(problems) == 1
    assert problems[0].startswith(path)


def test_urls_and_headers_are_secret_properties() -> None:
    assert secret_properties("ETHEREUM") == {"url", "fallbackUrls", "headers"}
