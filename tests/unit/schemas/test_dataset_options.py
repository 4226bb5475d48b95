"""Options of a dataset: each mistake is told with its place and without any value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.schemas.dataset_options import (
    GivenOptions,
    find_secret_options,
    mapping_problems,
    merge_options,
    option_problems,
    written_problems,
)
from connector_runner.schemas.datasets import DESCRIPTORS, Descriptor
from connector_runner.schemas.kinds.checks import dataset_problems
from connector_runner.schemas.secrets import SecretSource

URL = "kafka://one:9093"
KAFKA = DESCRIPTORS["kafka"]
SCRAM = {
    "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "ada", "sasl.password": "not-to-be-told",
}  # fmt: skip
NO_PASSWORD = {name: value for name, value in SCRAM.items() if name != "sasl.password"}
EVERY = pytest.mark.parametrize("dataset", DESCRIPTORS.values(), ids=list(DESCRIPTORS))


def problems(**options: str) -> list[str]:
    return option_problems(URL, GivenOptions(values={name.replace("_", "."): value for name, value in options.items()}))


@EVERY
def test_the_defaults_that_the_documents_name_are_possible(dataset: Descriptor) -> None:
    for name, option in dataset.options.items():
        if option.default and (option.values or option.between):
            found = option_problems(f"{dataset.name}://x", GivenOptions(values={name: option.default}))
            assert not [problem for problem in found if problem.startswith(f"options.{name}:")]
        assert bool(option.pattern) == bool(option.expected), name
    assert not dataset.options.keys() & dataset.refused_options.keys()


def test_valid_options_have_no_problems() -> None:
    assert problems() == []
    assert option_problems(URL, GivenOptions(values=SCRAM)) == []
    assert problems(linger_ms="20", compression_level="-1", compression_type="zstd") == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"sasl.pasword": "x"}, "options.sasl.pasword: is no option of Kafka; there are sasl.password,"),
        ({"plugin.library.paths": "x"}, "options.plugin.library.paths: can't be set: it would load code"),
        ({"transactional.id": "x"}, "options.transactional.id: can't be set: the promise rests on it"),
        ({"enable.idempotence": "x"}, "options.enable.idempotence: can't be set: the promise rests on it"),
        ({"ssl.ca.location": "/ca"}, "files of the runner's machine are not read; give the text in ssl.ca.pem"),
        ({"linger.ms": "1.5"}, "options.linger.ms: must be a whole number from 0 to 1000"),
        ({"linger.ms": "1001"}, "options.linger.ms: must be a whole number from 0 to 1000"),
        ({"linger.ms": ""}, "options.linger.ms: must be a whole number from 0 to 1000"),
        ({"client.id": ""}, "options.client.id: is empty"),
        ({"security.protocol": "TLS"}, "options.security.protocol: must be one of PLAINTEXT, SSL,"),
        ({"ssl.ca.pem": "/etc/ca.pem"}, "options.ssl.ca.pem: must be PEM text, from -----BEGIN to -----END"),
        ({"sasl.username": "ada"}, "options: sasl.username has no effect with security.protocol PLAINTEXT; set that to SASL_SSL"),
        ({"ssl.key.password": "x"}, "options: ssl.key.password has no effect with security.protocol PLAINTEXT; set that to SSL"),
        ({"security.protocol": "SASL_SSL"}, "options: sasl.mechanism is missing; give one of PLAIN, SCRAM-SHA-256"),
        ({**SCRAM, "sasl.mechanism": "GSSAPI"}, "options.sasl.mechanism: must be one of PLAIN,"),
        ({**SCRAM, "sasl.mechanism": "OAUTHBEARER"}, "sasl.oauthbearer.client.secret is missing, which OAUTHBEARER needs"),
        ({**SCRAM, "sasl.mechanism": "OAUTHBEARER"}, "sasl.password has no effect with sasl.mechanism OAUTHBEARER"),
        ({**SCRAM, "sasl.oauthbearer.scope": "x"}, "sasl.oauthbearer.scope has no effect with sasl.mechanism SCRAM-SHA-512"),
        (NO_PASSWORD, "sasl.password is missing, which SCRAM-SHA-512 needs"),
        (
            {"security.protocol": "SSL", "ssl.key.pem": "-----BEGIN X-----\n-----END X-----"},
            "ssl.certificate.pem and ssl.key.pem belong together",
        ),
    ],
)  # fmt: skip
def test_each_mistake_has_its_sentence(options: dict[str, str], expected: str) -> None:
    found = "; ".join(option_problems(URL, GivenOptions(values=options)))
    assert expected in found
    assert "not-to-be-told" not in found


@pytest.mark.parametrize("url", ["sqlite:///x.db", "http://host/records"])
def test_a_dataset_without_options_says_so(url: str) -> None:
    (found,) = written_problems(url, {"linger.ms": "5"})
    assert found.startswith("options.linger.ms: is no option: ")
    assert found.endswith(" has none")
    assert option_problems(url, GivenOptions(values={"linger.ms": "5"})) == [found]


@given(st.sampled_from([*KAFKA.options, *KAFKA.refused_options, "nonsense"]), st.text(min_size=6))
def test_no_sentence_shows_a_value(name: str, text: str) -> None:
    value = f"7{text}7"  # no word of ours is like that
    said = [*option_problems(URL, GivenOptions(values={name: value})), *written_problems(URL, {name: value})]
    assert not [sentence for sentence in said if value in sentence]


def test_secrets_win_over_what_is_written_and_later_ones_over_earlier_ones() -> None:
    mapped = SecretSource(name="two", keys={"password": "sasl.password", "gone": "sasl.username"})
    found = merge_options(
        {"linger.ms": "1", "sasl.username": "written"},
        [
            (SecretSource(name="one"), {"sasl.username": "first", "sasl.password": "first"}),
            (mapped, {"password": "second\n", "linger.ms": "2", "other": "x"}),
            (SecretSource(name="three", keys={"absent": "client.id"}, optional=True), {}),
        ],
        KAFKA.options,
    )
    assert found.values == {"linger.ms": "2", "sasl.username": "first", "sasl.password": "second"}
    assert str(found.origins["sasl.password"]) == "key 'password' of Secret 'two'"
    (missing, *_) = option_problems(URL, found)
    assert missing.startswith("optionsFrom: Secret 'two' has no key 'gone', which spec.optionsFrom maps; add it")


def test_a_wrong_value_from_a_secret_is_told_with_its_key() -> None:
    mapped = (SecretSource(name="tuning", keys={"wait": "linger.ms"}), {"wait": "long"})
    found = option_problems(URL, merge_options({}, [mapped], KAFKA.options))
    assert found == ["options.linger.ms: must be a whole number from 0 to 1000 (from key 'wait' of Secret 'tuning')"]
    unknown = (SecretSource(name="tuning"), {"wait": "long"})
    (said,) = option_problems(URL, merge_options({}, [unknown], KAFKA.options))
    assert said.startswith("options.wait: is no option of Kafka")
    assert said.endswith("(from key 'wait' of Secret 'tuning')")


def test_a_mapping_is_checked_without_the_secret() -> None:
    keys = {"a": "client.id", "b": "client.id", "sasl.password": "pw"}
    found = mapping_problems(URL, [SecretSource(name="user"), SecretSource(name="two", keys=keys)])
    assert [problem.partition(": ")[0] for problem in found] == [
        "optionsFrom[1].keys.b",
        "optionsFrom[1].keys.sasl.password",
    ]
    assert "is what 'a' is mapped to already" in found[0]
    assert "'pw' is no option of Kafka" in found[1]


def test_secrets_can_not_be_written_down() -> None:
    secrets = {"sasl.password", "sasl.oauthbearer.client.secret", "ssl.key.pem", "ssl.key.password"} | {
        "schema.registry.password", "schema.registry.bearer.token",
    }  # fmt: skip
    assert find_secret_options(URL) == secrets
    assert find_secret_options("nowhere:x") == frozenset()
    (found,) = written_problems(URL, {"sasl.password": "not-to-be-told"})
    assert found == "options.sasl.password: is a secret; put it into a Secret and name that in optionsFrom"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"options": {"sasl.password": "x"}}, "spec.options.sasl.password: is a secret"),
        ({"options": {"nonsense": "x"}}, "spec.options.nonsense: is no option of Kafka"),
        ({"options": {"linger.ms": 5}}, "spec.options"),
        ({"optionsFrom": [{"secretRef": {}}]}, "spec.optionsFrom[0].secretRef"),
        ({"optionsFrom": [{"secretRef": {"name": "x"}, "keys": {"a": "b"}}]}, "spec.optionsFrom[0].keys.a: 'b' is no option"),
    ],
)  # fmt: skip
def test_a_manifest_with_such_a_mistake_is_refused(more: dict[str, Any], expected: str) -> None:
    found = dataset_problems({"url": URL, **more})
    assert [problem for problem in found if expected in problem], found
