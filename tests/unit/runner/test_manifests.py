"""Manifests by hand and from a pod's environment; each mistake is told with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from connector_runner.commands.session import build_sink_context
from connector_runner.manifests import orders_from_environment, orders_from_file
from connector_runner.orders import Orders
from connector_runner.pipeline.rotation import fingerprint
from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.redaction import Redactor
from connector_runner.registry import FolderRegistry
from connector_runner.schemas.kinds.connector import ConnectorSpec
from connector_runner.schemas.kinds.dataset import DatasetSpec
from connector_runner.schemas.kinds.naming import dataset_name
from connector_runner.schemas.manifest import DatasetTarget, RunnerManifest, encode_manifest, encode_variables
from connector_runner.schemas.secrets import SecretKey, SecretSource

ROOT = Path(__file__).parents[3]
SPEC: dict[str, Any] = {"connectorType": "COINBASE", "datasetId": "MY_DATA", "config": {"productId": ["BTC-USD"]}}


def write(path: Path, *documents: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump_all(documents))
    return path


def connector(name: str = "c", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apperate.io/v1", "kind": "Connector", "metadata": {"name": name}, "spec": {**SPEC, **spec}}


def dataset(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apperate.io/v1", "kind": "Dataset", "metadata": {"name": name}, "spec": spec}


def secret(name: str, **values: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


def load(tmp_path: Path, *documents: dict[str, Any], **options: Any) -> Orders:
    return orders_from_file(write(tmp_path / "m.yaml", *documents), **options)


def test_a_connector_alone_goes_to_a_file_beside(tmp_path: Path) -> None:
    orders = load(tmp_path, connector(selectedStream="ticker"))
    assert orders.read_url() == "sqlite:///c.db"
    assert orders.manifest.stream == "ticker"
    assert orders.target().table == "MY_DATA"
    assert orders.connector == "default/c"
    assert orders.manifest.wait


def test_the_dataset_is_found_by_id_or_default(tmp_path: Path) -> None:
    documents = [
        connector(),
        dataset("my-data", url="sqlite:///a.db", table="t", writeMode="append"),
        dataset("default", url="sqlite:///b.db"),
    ]
    orders = load(tmp_path, *documents)
    assert (orders.read_url(), orders.target()) == (
        "sqlite:///a.db", DatasetTarget(name="my-data", table="t", write_mode="append")
    )  # fmt: skip
    assert load(tmp_path, connector(datasetId="OTHER"), *documents[1:]).read_url() == "sqlite:///b.db"
    with pytest.raises(InvalidConfigError, match="no Dataset named elsewhere; it has my-data"):
        load(tmp_path, connector(datasetId="elsewhere"), documents[1])


@pytest.mark.parametrize(("dataset_id", "name"), [("YOUR_DATASET", "your-dataset"), ("-a_", "a"), ("X1", "x1")])
def test_names_of_datasets(dataset_id: str, name: str) -> None:
    assert dataset_name(dataset_id) == name


def test_secrets_of_the_same_file_are_merged_and_coerced(tmp_path: Path) -> None:
    orders = load(
        tmp_path,
        connector(configFrom=[{"secretRef": {"name": "one"}}, {"secretRef": {"name": "two"}}]),
        secret("one", key="k1", secret="s1", passphrase="p1\n", productId='["ETH-USD"]'),
        {"kind": "Secret", "metadata": {"name": "two"}, "data": {"key": "azI="}},
        dataset("my-data", urlFrom={"secretKeyRef": {"name": "one", "key": "secret"}}),
    )
    config = orders.config(FolderRegistry())
    assert (config["key"], config["secret"], config["passphrase"]) == ("k2", "s1", "p1")
    assert config["productId"] == ["ETH-USD"]
    assert config["url"].startswith("wss://")
    assert orders.read_url() == "s1"


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (connector(datasetID="x"), "datasetID"),
        (connector(wait="yes"), "wait"),
        ({**connector(), "apiVersion": "v2"}, "apiVersion: expected apperate.io/v1, found v2"),
        (connector(configFrom=[{"secretRef": {"name": "missing"}}]), "no Secret named missing"),
        ({**connector(), "metadata": {}}, "metadata.name"),
        ({"kind": "Pod", "metadata": {"name": "p"}}, "expected one Connector, found none"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, document: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        load(tmp_path, document)
    assert text in caught.value.message


OPTIONS: dict[str, Any] = {
    "url": "kafka://one:9093",
    "options": {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "ada"},
    "optionsFrom": [{"secretRef": {"name": "user"}, "keys": {"password": "sasl.password"}}],
}


def told_options(orders: Orders) -> tuple[dict[str, str], Redactor]:
    redactor = Redactor()
    return dict(build_sink_context(orders, redactor).read_options()), redactor


def test_options_by_hand_come_from_a_secret_of_the_same_file(tmp_path: Path) -> None:
    documents = [
        connector(selectedStream="ticker"),
        dataset("my-data", **OPTIONS),
        secret("user", password="not-told\n"),
    ]
    orders = load(tmp_path, *documents)
    found, redactor = told_options(orders)
    assert found == {**OPTIONS["options"], "sasl.password": "not-told"}
    assert redactor.clean("the password not-told of ada") == "the password ••• of ada"
    assert "not-told" not in f"{build_sink_context(orders, redactor)}{encode_manifest(orders.manifest)}"
    with pytest.raises(InvalidConfigError, match=r"spec\.optionsFrom: there is no Secret named user"):
        load(tmp_path, *documents[:2])
    with pytest.raises(
        InvalidConfigError, match=r"dataset\.optionsFrom: Secret 'user' has no key 'password'"
    ) as caught:
        told_options(load(tmp_path, *documents[:2], secret("user", other="x")))
    assert caught.value.reason == "InvalidDataset"
    optional = dataset("my-data", url=OPTIONS["url"], optionsFrom=[{"secretRef": {"name": "user"}, "optional": True}])
    assert told_options(load(tmp_path, documents[0], optional))[0] == {}


def test_options_for_a_dataset_that_has_none_are_not_ignored(tmp_path: Path) -> None:
    documents = [secret("s", url="sqlite:///x.db", ca="x")]
    where = {"urlFrom": {"secretKeyRef": {"name": "s", "key": "url"}}}
    for more in ({"options": {"linger.ms": "5"}}, {"optionsFrom": [{"secretRef": {"name": "s"}}]}):
        with pytest.raises(InvalidConfigError, match="is no option: SQLite has none"):
            told_options(load(tmp_path, connector(selectedStream="t"), dataset("my-data", **where, **more), *documents))


def test_options_in_a_pod_are_read_again_when_their_secret_changes(tmp_path: Path) -> None:
    target = DatasetTarget(
        name="d", url=OPTIONS["url"], table="t", options=OPTIONS["options"],
        options_from=(SecretSource(name="ca", optional=True), SecretSource(name="user", keys={"password": "sasl.password"})),
    )  # fmt: skip
    manifest = RunnerManifest(namespace="n", name="c", uid="u", connector_type="COINBASE", stream="s", dataset=target)
    environment = {**encode_variables(manifest), "CONNECTOR_DATASET_OPTIONS_DIR": str(tmp_path)}
    (tmp_path / "0").mkdir()
    (tmp_path / "1").mkdir()
    (tmp_path / "1/password").write_text("first-one")
    orders = orders_from_environment(environment)
    context = build_sink_context(orders, Redactor())
    assert context.read_options()["sasl.password"] == "first-one"
    before = fingerprint(orders.watched)
    (tmp_path / "1/password").write_text("second-one")
    assert context.read_options()["sasl.password"] == "second-one"
    assert fingerprint(orders.watched) != before
    (tmp_path / "1/password").write_bytes(b"\xff")
    with pytest.raises(
        InvalidConfigError, match=r"dataset\.optionsFrom: key 'password' of Secret 'user' is not UTF-8 text"
    ):
        context.read_options()
    (tmp_path / "1/password").unlink()
    (tmp_path / "1").rmdir()
    with pytest.raises(InvalidConfigError, match=r"dataset\.optionsFrom: Secret 'user' in .* can't be read"):
        context.read_options()


def test_several_connectors_need_a_name(tmp_path: Path) -> None:
    documents = [connector("a"), connector("b")]
    with pytest.raises(InvalidConfigError, match="found a, b; choose with --name"):
        load(tmp_path, *documents)
    assert load(tmp_path, *documents, name="b", stream="matches").manifest.stream == "matches"


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="No such file"):
        orders_from_file(tmp_path / "absent.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(InvalidConfigError, match="is not YAML"):
        orders_from_file(tmp_path / "bad.yaml")


@pytest.mark.parametrize(("crd", "spec"), [("connectors", ConnectorSpec), ("datasets", DatasetSpec)])
def test_by_hand_takes_every_field_that_kubectl_takes(crd: str, spec: type[msgspec.Struct]) -> None:
    definition = yaml.safe_load((ROOT / "crds" / f"{crd}.yaml").read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert {field.encode_name for field in msgspec.structs.fields(spec)} == set(
        schema["properties"]["spec"]["properties"]
    )


def test_every_problem_of_the_configuration_at_once(tmp_path: Path) -> None:
    orders = load(tmp_path, connector(config={"url": "http://x", "productID": []}))
    with pytest.raises(InvalidConfigError) as caught:
        orders.config(FolderRegistry())
    assert len(caught.value.problems) == 3
    with pytest.raises(InvalidConfigError, match="choose one of COINBASE"):
        load(tmp_path, connector(connectorType="REDIS")).config(FolderRegistry())


def test_in_a_pod_everything_is_read_anew(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "0"
    folder.mkdir(parents=True)
    (folder / "key").write_text("first")
    (folder / "..data").symlink_to(folder)
    url = tmp_path / "url"
    url.write_text("sqlite:///x.db\n")
    manifest = RunnerManifest(
        namespace="ns", name="c", uid="u", run=3, connector_type="COINBASE", config=SPEC["config"], config_from=1,
        stream="ticker", dataset=DatasetTarget(name="d", table="t"),
    )  # fmt: skip
    orders = orders_from_environment(
        {
            "CONNECTOR_MANIFEST": encode_manifest(manifest), "CONNECTOR_CONFIG_DIR": str(tmp_path / "config"),
            "CONNECTOR_DATASET_URL_FILE": str(url), "CONNECTOR_DATA_DIR": str(tmp_path),
        }
    )  # fmt: skip
    assert (orders.read_secrets(), orders.read_url()) == ([{"key": "first"}], "sqlite:///x.db")
    (folder / "key").write_text("second")
    url.write_text("sqlite:///y.db")
    assert (orders.read_secrets(), orders.read_url()) == ([{"key": "second"}], "sqlite:///y.db")
    assert orders.watched == (folder, url)
    assert orders.connector == "ns/c"


@pytest.mark.parametrize("text", ["", "{", json.dumps({"name": 1})])
def test_a_pod_without_a_valid_manifest(text: str) -> None:
    with pytest.raises(InvalidConfigError, match="CONNECTOR_MANIFEST"):
        orders_from_environment({"CONNECTOR_MANIFEST": text})


MYSQL: dict[str, Any] = {"connectorType": "MYSQL", "config": {"host": "db"}}


def test_a_secret_of_others_is_mapped_by_hand(tmp_path: Path) -> None:
    sources = [
        {"secretRef": {"name": "db"}, "keys": {"username": "user"}},
        {"secretRef": {"name": "absent"}, "optional": True},
    ]
    documents = [connector(**MYSQL, configFrom=sources), secret("db", username="u", password="p", engine="mysql")]
    config = load(tmp_path, *documents).config(FolderRegistry())
    assert (config["user"], config["password"]) == ("u", "p")
    assert "engine" not in config


def test_what_a_secret_lacks_or_has_too_much_is_told_with_secret_and_key(tmp_path: Path) -> None:
    source = {"secretRef": {"name": "db"}, "keys": {"username": "user"}}
    with pytest.raises(InvalidConfigError, match="Secret 'db' has no key 'username'"):
        load(tmp_path, connector(**MYSQL, configFrom=[source]), secret("db", user="u")).config(FolderRegistry())
    plain = {"secretRef": {"name": "db"}}
    bad = secret("db", user="u", password="p", engine="mysql", port="x")
    with pytest.raises(InvalidConfigError) as caught:
        load(tmp_path, connector(**MYSQL, configFrom=[plain]), bad).config(FolderRegistry())
    assert "(from key 'engine' of Secret 'db')" in caught.value.message
    assert "config.port: expected integer, found \"x\" (from key 'port' of Secret 'db')" in caught.value.message


def pod(tmp_path: Path, manifest: RunnerManifest, **variables: str) -> Orders:
    return orders_from_environment({**encode_variables(manifest), "CONNECTOR_CONFIG_DIR": str(tmp_path), **variables})


def test_a_secret_that_is_no_text_is_told_with_secret_and_key(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "password").write_bytes(b"\xff\xfe")
    (tmp_path / "url").write_bytes("postgresql://ü".encode("latin-1"))
    target = DatasetTarget(name="d", table="t", url_from=SecretKey(name="market", key="dsn"))
    manifest = RunnerManifest(
        namespace="ns", name="c", uid="u", connector_type="MYSQL", config_from=1, secrets=(SecretSource(name="db"),), dataset=target
    )  # fmt: skip
    orders = pod(tmp_path, manifest, CONNECTOR_DATASET_URL_FILE=str(tmp_path / "url"))
    with pytest.raises(InvalidConfigError, match="configFrom: key 'password' of Secret 'db' is not UTF-8 text") as told:
        orders.read_secrets()
    assert told.value.__cause__ is None, "the cause would hold the value"
    with pytest.raises(InvalidConfigError, match=r"dataset\.url: key 'dsn' of Secret 'market' is not UTF-8 text"):
        orders.read_url()
    (tmp_path / "url").write_text("sqlite://market.db")
    with pytest.raises(InvalidConfigError, match=r"expected sqlite:///.* \(from key 'dsn' of Secret 'market'\)"):
        orders.read_url()


def test_long_orders_travel_in_parts_that_linux_takes(tmp_path: Path) -> None:
    config = {"host": 'ä$(POD_IP)\\"' * 12_000}
    manifest = RunnerManifest(namespace="ns", name="c", uid="u", connector_type="MYSQL", config=config)
    variables = encode_variables(manifest)
    assert len(variables) > 2
    assert all(len(f"{name}={value}".encode()) < 128 * 1024 and "$" not in value for name, value in variables.items())
    assert pod(tmp_path, manifest).manifest == manifest
