"""TLS and SASL against a broker that has both: each way to connect, each wrong input with its sentence, and a password that changes."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector_runner.protocols.batch import Operation
from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.protocols.sink import SinkContext, Transaction
from connector_runner.registry import build_inspector, build_sink
from connector_runner.schemas.manifest import (
    MANIFEST_VARIABLE,
    OPTIONS_DIRECTORY_VARIABLE,
    DatasetTarget,
    RunnerManifest,
    encode_manifest,
)
from connector_runner.schemas.outcome import ExitCode
from connector_runner.schemas.secrets import SecretSource
from connector_runner.sinks.kafka import client as kafka
from tests.integration.sinks.truth import Truth, assert_true, committed_position
from tests.kit.kafka_dataset import KafkaDataset
from tests.kit.pipeline import SMALL, batch, context
from tests.kit.waiting import wait_until
from tests.scripted.killing import Environment
from tests.scripted.process import Runner, start_runner, write_manifest
from tests.scripted.script import Script
from tests.servers.certificates import Authority
from tests.servers.kafka_security import CLIENT, CLIENT_SECRET, PASSWORD, USER, SecureKafkaServer

Options = dict[str, str]
KEY_PASSWORD = "of-the-key"


@pytest.fixture(scope="module")
def server() -> Iterator[SecureKafkaServer]:
    with SecureKafkaServer() as server:
        server.add_scram_user()
        yield server


@pytest.fixture
def dataset(server: SecureKafkaServer, tmp_path: Path) -> KafkaDataset:
    return KafkaDataset(server, tmp_path)


def to(dataset: KafkaDataset, server: SecureKafkaServer, listener: str, options: Options, **more: Any) -> SinkContext:
    return context(dataset, read_url=lambda: server.url(listener), read_options=lambda: options, **more)


def tls(server: SecureKafkaServer, protocol: str = "SSL", **more: str) -> Options:
    return {"security.protocol": protocol, "ssl.ca.pem": server.authority.pem, **more}


def login(server: SecureKafkaServer, mechanism: str, password: str = PASSWORD) -> Options:
    return {**tls(server, "SASL_SSL"), "sasl.mechanism": mechanism, "sasl.username": USER, "sasl.password": password}


def token(server: SecureKafkaServer, secret: str = CLIENT_SECRET) -> Options:
    return {
        **tls(server, "SASL_SSL"),
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.client.id": CLIENT,
        "sasl.oauthbearer.client.secret": secret,
        "sasl.oauthbearer.token.endpoint.url": server.tokens.url,
    }


def options_of(way: str, server: SecureKafkaServer) -> tuple[str, Options]:
    """A listener, and the options that it takes."""
    match way:
        case "TLS":
            return "TLS", tls(server)
        case "mutual TLS":
            return "MUTUAL", {**tls(server), **server.client_options()}
        case "mutual TLS, key with a password":
            return "MUTUAL", {
                **tls(server),
                **server.client_options(KEY_PASSWORD),
                "ssl.key.password": KEY_PASSWORD,
            }
        case "password without TLS":
            return "PASSWORD", {
                "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": USER, "sasl.password": PASSWORD,
            }  # fmt: skip
        case "OAUTHBEARER":
            return "SASL", token(server)
    return "SASL", login(server, way)


async def write_row(sink: Any, key: int) -> None:
    claim = await sink.claim()
    await sink.prepare(SMALL)
    row = batch(SMALL, key, (Operation.UPSERT, (key, "a")))
    await sink.write(Transaction(claim.number + 1, (row,), "list"))


WAYS = [
    "TLS", pytest.param("mutual TLS", marks=pytest.mark.fault), "mutual TLS, key with a password", pytest.param("password without TLS", marks=pytest.mark.fault), "PLAIN", pytest.param("SCRAM-SHA-256", marks=pytest.mark.fault), "SCRAM-SHA-512", "OAUTHBEARER",
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
async def test_rows_arrive(way: str, dataset: KafkaDataset, server: SecureKafkaServer) -> None:
    listener, options = options_of(way, server)
    where = to(dataset, server, listener, options)
    sink = build_sink(where)
    await write_row(sink, 1)
    await sink.close()
    assert dataset.read(SMALL, "rows") == [(1, "a")]
    inspector = build_inspector(where)
    assert len(inspector.newest_rows(5)[1]) == 1
    assert [stored.number for stored in inspector.checkpoints()] == [1]
    inspector.close()


def wrong(case: str, server: SecureKafkaServer) -> tuple[str, Options]:
    stranger = Authority("a stranger")
    match case:
        case "unknown authority":
            return "TLS", {**tls(server), "ssl.ca.pem": stranger.pem}
        case "authority left out":
            return "TLS", {"security.protocol": "SSL"}
        case "no certificate of its own":
            return "MUTUAL", tls(server)
        case "certificate of a stranger":
            return "MUTUAL", {**tls(server), **server.client_options(authority=stranger)}
        case "wrong password of the key":
            return "MUTUAL", {**tls(server), **server.client_options(KEY_PASSWORD), "ssl.key.password": "another"}
        case "no certificate in the PEM":
            return "TLS", {
                **tls(server),
                "ssl.ca.pem": "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
            }
        case "wrong secret of the client":
            return "SASL", token(server, "another-secret")
        case "mechanism that is not offered":
            return "PASSWORD", {**login(server, "SCRAM-SHA-256"), "security.protocol": "SASL_PLAINTEXT"}
    return "SASL", login(server, case, "another-password")


@pytest.mark.parametrize(
    ("case", "reason", "says"),
    [
        ("unknown authority", "TlsProblem", "set the option ssl.ca.pem to the authority"),
        pytest.param(
            "authority left out", "TlsProblem", "set the option ssl.ca.pem to the authority", marks=pytest.mark.fault
        ),
        ("no certificate of its own", "TlsProblem", "ask for a certificate that they trust"),
        pytest.param(
            "certificate of a stranger", "TlsProblem", "ask for a certificate that they trust", marks=pytest.mark.fault
        ),
        ("wrong password of the key", "InvalidDataset", "ssl.key.pem"),
        ("no certificate in the PEM", "InvalidDataset", "ssl.ca.pem"),
        ("PLAIN", "WrongCredentials", "check sasl.username and sasl.password"),
        ("SCRAM-SHA-512", "WrongCredentials", "check sasl.username and sasl.password"),
        ("wrong secret of the client", "WrongCredentials", "check the options sasl.oauthbearer"),
        ("mechanism that is not offered", "WrongCredentials", "do not offer this sasl.mechanism"),
    ],
)
async def test_what_is_wrong_is_told(
    case: str, reason: str, says: str, dataset: KafkaDataset, server: SecureKafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "SECONDS", 30.0)  # a refusal ends it sooner
    listener, options = wrong(case, server)
    sink = build_sink(to(dataset, server, listener, options))
    with pytest.raises(ActionRequiredError) as caught:
        await sink.claim()
    await sink.close()
    assert caught.value.reason == reason, caught.value.message
    assert says in caught.value.message
    hidden = [
        options[name]
        for name in ("sasl.password", "sasl.oauthbearer.client.secret", "ssl.key.password")
        if name in options
    ]
    assert not [value for value in hidden if value in caught.value.message]


@pytest.mark.parametrize(("listener", "protocol"), [("TLS", "PLAINTEXT"), ("PLAINTEXT", "SSL")])
async def test_a_port_of_another_protocol_is_waited_for_and_the_message_says_so(
    listener: str,
    protocol: str,
    dataset: KafkaDataset,
    server: SecureKafkaServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its broker closes the connection, as one does that is just restarting."""
    monkeypatch.setattr(kafka, "SECONDS", 4.0)
    sink = build_sink(to(dataset, server, listener, {"security.protocol": protocol}))
    with pytest.raises(TransientError, match=r"see the option security\.protocol") as caught:
        await sink.claim()
    await sink.close()
    assert caught.value.reason == "DatasetUnavailable"


async def test_a_password_that_changes_is_read_again(
    dataset: KafkaDataset, server: SecureKafkaServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What the brokers have taken before is tried again, since the Secret may follow; what they take no more, and never took, ends
    the run."""
    monkeypatch.setattr(kafka, "SECONDS", 30.0)  # a refusal ends it sooner
    options = login(server, "SCRAM-SHA-512") | {"sasl.username": "grace", "sasl.password": "the-first"}
    server.add_scram_user("the-first", "grace")
    sink = build_sink(to(dataset, server, "SASL", options))
    await write_row(sink, 1)
    server.add_scram_user("the-second", "grace")
    with pytest.raises(TransientError, match="took the same before") as caught:
        await sink.recover()
    assert caught.value.reason == "DatasetUnavailable"
    options["sasl.password"] = "the-second"
    assert await sink.recover() == 1
    row = batch(SMALL, 2, (Operation.UPSERT, (2, "b")))
    await sink.write(Transaction(2, (row,), "list"))
    options["sasl.password"] = "the-third"  # before the brokers have it
    with caplog.at_level("WARNING"):
        assert await sink.recover() == 2
    assert "goes on with what it had before the Secret changed" in caplog.text
    await sink.write(Transaction(3, (batch(SMALL, 3, (Operation.UPSERT, (3, "c"))),), "list"))
    server.add_scram_user("the-fourth", "grace")
    with pytest.raises(ActionRequiredError, match=r"check sasl\.username and sasl\.password") as refused:
        await sink.recover()
    await sink.close()
    assert refused.value.reason == "WrongCredentials"
    assert dataset.read(SMALL, "rows") == [(1, "a"), (2, "b"), (3, "c")]


def start_rotating(folder: Path, server: SecureKafkaServer, options: Options, password: str) -> Runner:
    """A runner as in a pod, whose password is in a mounted Secret."""
    write_secret(folder, password)
    source = SecretSource(name="kafka", keys={"password": "sasl.password"})
    target = DatasetTarget(name="rows", url=server.url("SASL"), table="rows", options=options, options_from=(source,))
    orders = RunnerManifest(
        namespace="default", name="test", uid="uid", run=1, connector_type="SCRIPTED", stream="mixed", wait=True,
        config={"seed": 41, "batches": 1_000_000, "rows": 2, "pauseMs": 20}, dataset=target,
    )  # fmt: skip
    variables = {
        MANIFEST_VARIABLE: encode_manifest(orders), OPTIONS_DIRECTORY_VARIABLE: str(folder), "CONNECTOR_DATA_DIR": str(folder),
    }  # fmt: skip
    return start_runner(None, log=folder / "run.log", hook=Environment(variables))


def write_secret(folder: Path, password: str) -> None:
    """As the kubelet does: the whole folder at once, by a link that is replaced."""
    data = folder / f"..{password}"
    data.mkdir(parents=True)
    (data / "password").write_text(password)
    link = folder / "next"
    link.symlink_to(data, target_is_directory=True)
    link.replace(folder / "0")


def committed_after(dataset: KafkaDataset, runner: Runner, count: int, says: str) -> None:
    """Waits until the log says so the `count`-th time, and rows that came after that are committed."""
    wait_until(lambda: runner.text().count(says) >= count, f"the log says {says}", 120)
    before = committed_position(dataset)
    wait_until(lambda: committed_position(dataset) > before, "it commits", 120)


@pytest.mark.fault
def test_a_mounted_secret_that_is_rotated_interrupts_nothing(
    dataset: KafkaDataset, server: SecureKafkaServer, tmp_path: Path
) -> None:
    """Whichever changes first, the brokers' password or the Secret."""
    names = ["linus-one", "linus-two", "linus-three", "linus-four"]
    server.add_scram_user(names[0], "linus")
    options = {**login(server, "SCRAM-SHA-512"), "sasl.username": "linus"}
    del options["sasl.password"]
    runner = start_rotating(tmp_path, server, options, names[0])
    changed = "Secrets have changed"
    committed_after(dataset, runner, 1, "is claimed")
    server.add_scram_user(names[1], "linus")
    write_secret(tmp_path, names[1])
    committed_after(dataset, runner, 1, changed)
    write_secret(tmp_path, names[2])
    committed_after(dataset, runner, 1, "goes on with what it had before the Secret changed")
    server.add_scram_user(names[3], "linus")
    write_secret(tmp_path, names[3])
    committed_after(dataset, runner, 3, changed)
    runner.signal(signal.SIGTERM)
    assert runner.wait() == ExitCode.TERMINATED, runner.text()[-2000:]
    assert not [name for name in names if name in runner.text()]
    assert 0 < assert_true(dataset, Truth(Script(seed=41, batches=1_000_000, rows=2))) < 1_000_000


def test_all_that_a_runner_writes_is_its_log_without_secrets(
    dataset: KafkaDataset, server: SecureKafkaServer, tmp_path: Path
) -> None:
    """Also what librdkafka says by itself, of admin, producer and consumer."""
    options = login(server, "PLAIN", "another-password")
    url, config = server.url("SASL"), {"seed": 1, "batches": 10}
    runner = start_runner(write_manifest(tmp_path / "run.yaml", url, config, options=options))
    assert runner.wait() == ExitCode.ACTION_REQUIRED, runner.text()
    lines = [json.loads(line) for line in runner.text().splitlines()]
    said = [line for line in lines if line.get("library") == "librdkafka"]
    assert any(line["message"].startswith("FAIL: sasl_ssl://127.0.0.1") for line in said), said
    assert {line["level"] for line in said} == {"warning"}
    assert "another-password" not in runner.text()
