"""What the API says of itself: schemas, OpenAPI, settings, page; each held against what it is about."""

import asyncio
import json
import re
import socket
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request

from connector_operator.api import schemas
from connector_operator.api.answers import read_display, read_token, read_wait
from connector_operator.api.cluster import Location, LocationError, find_cluster
from connector_operator.api.openapi import PROBLEMS, build_openapi
from connector_operator.api.problems import ProblemError
from connector_operator.api.process import ServeError, serving
from connector_operator.api.service import ConnectorService
from connector_operator.api.settings import ApiSettings, describe_settings, read_settings
from connector_operator.crds.definitions import build_connector_crd
from connector_operator.settings import SettingError
from connector_runner.schemas.config import connector_types

ROOT = Path(__file__).parents[3]
EXAMPLE = {
    "datasetId": "YOUR_DATASET",
    "config": {"url": "wss://ws-feed.exchange.coinbase.com", "productId": ["BTC-USD", "LINK-USD"]},
    "connectorType": "COINBASE",
    "wait": True,
}


def test_limits_are_those_of_the_resource() -> None:
    root = build_connector_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec: dict[str, Any] = root["properties"]["spec"]["properties"]
    update = schemas.build_update_schema()["properties"]
    assert update["description"]["maxLength"] == spec["description"]["maxLength"]
    assert update["selectedStream"]["maxLength"] == spec["selectedStream"]["maxLength"]
    assert update["datasetId"]["pattern"] == f"^$|{spec['datasetId']['pattern']}"
    assert update["status"]["enum"] == [*spec["status"]["enum"], None]
    assert set(schemas.build_update_schema()["properties"]) < set(spec)


@pytest.mark.parametrize("kind", connector_types())
def test_a_types_schema_is_plain_json_schema(kind: str) -> None:
    schema = schemas.build_type_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "x-kubernetes" not in json.dumps(schema)


def test_the_documented_example_fits_the_documented_schema() -> None:
    jsonschema.validate(EXAMPLE, schemas.build_type_schema("COINBASE"))


def test_every_reference_of_the_description_leads_somewhere() -> None:
    document = build_openapi()
    text = json.dumps(document)
    for reference in set(re.findall(r'"#/components/schemas/(\w+)"', text)):
        assert reference in document["components"]["schemas"]
    for item in document["paths"].values():
        for method in ("get", "post", "put", "delete"):
            if method in item:
                assert {int(s) for s in item[method]["responses"]} - {200} <= set(PROBLEMS)


def test_the_description_takes_the_example() -> None:
    document = build_openapi()
    schema = {"$ref": "#/components/schemas/CoinbaseConnector", "components": document["components"]}
    jsonschema.validate(EXAMPLE, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(EXAMPLE | {"connectorType": "MYSQL"}, schema)


def test_settings_come_from_flags_then_environment() -> None:
    assert read_settings({}, {}) == ApiSettings()
    environment = {"CONNECTORS_API_NAMESPACE": "a", "CONNECTORS_API_WAIT": "3"}
    assert read_settings({"namespace": "b"}, environment) == ApiSettings(namespace="b", wait=3)
    with pytest.raises(SettingError, match=r"--wait must be from 0 to 60.*--tls-certificate and --tls-key go together"):
        read_settings({"wait": "99", "tls_key": "k"}, {})


def test_the_page_of_the_documentation_has_every_setting_and_status() -> None:
    page = (ROOT / "docs/http-api.md").read_text()
    assert describe_settings() in page
    for status in PROBLEMS:
        assert f"| {status} |" in page


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ({"Authorization": "Bearer a.b-c_d"}, "", "a.b-c_d"),
        ({"Authorization": "bearer  x "}, "", "x"),
        ({}, "?token=q", "q"),
        ({"Authorization": "Bearer h"}, "?token=q", "h"),
        ({"Authorization": "Basic abc"}, "?token=q", "q"),
        ({}, "", None),
        ({}, "?token=", None),
        ({}, "?token=a%0d%0ab", None),
        ({}, "?token=a%20b", None),
        ({}, "?token=%C3%A9", None),
    ],
)
def test_where_a_token_is_found(headers: dict[str, str], query: str, expected: str | None) -> None:
    request = make_mocked_request("GET", f"/v1/connectors/connector{query}", headers=headers)
    if expected is not None:
        assert read_token(request) == expected
        return
    with pytest.raises(ProblemError) as error:
        read_token(request)
    assert error.value.status == 401
    assert error.value.headers["WWW-Authenticate"] == "Bearer"


def test_display_is_true_or_false() -> None:
    def asked(query: str) -> bool:
        return read_display(make_mocked_request("GET", f"/x{query}"))

    assert [asked(""), asked("?displayConfigs=false"), asked("?displayConfigs=true")] == [False, False, True]
    with pytest.raises(ProblemError):
        asked("?displayConfigs=1")


def test_how_long_a_put_waits_is_a_number_and_no_more_than_the_setting() -> None:
    def asked(query: str) -> int:
        return read_wait(make_mocked_request("PUT", f"/x{query}"), 10)

    assert [asked(""), asked("?wait=0"), asked("?wait=7"), asked("?wait=600")] == [10, 0, 7, 10]
    for text in ("", "-1", "1.5", "soon", "9" * 5000):
        with pytest.raises(ProblemError):
            asked(f"?wait={text}")


async def test_a_put_that_waits_for_nothing_asks_for_nothing() -> None:
    connector = {"metadata": {"name": "x", "generation": 2}, "spec": {"status": "running"}}
    cluster: Any = None
    answer = await ConnectorService(cluster, "any").settle("token", connector, 0)
    assert answer["state"]["status"] == "pending"


def test_a_cluster_that_nobody_named_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(LocationError, match="KUBECONFIG"):
        asyncio.run(find_cluster({}))


async def test_what_can_not_be_served_is_told_by_its_flag() -> None:
    free, nowhere = "127.0.0.1:0", Location("http://127.0.0.1:1", "")

    async def start(**changes: str) -> str:
        settings = msgspec.structs.replace(ApiSettings(listen=free, health_listen=free), **changes)
        with pytest.raises(ServeError) as error:
            async with serving(settings, "any", nowhere):
                pass
        return str(error.value)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert (await start(listen=address)).startswith(f"--listen {address}: ")
        assert (await start(health_listen=address)).startswith(f"--health-listen {address}: ")
    told = await start(tls_certificate="none.crt", tls_key="none.key")
    assert told == "--tls-certificate none.crt --tls-key none.key: No such file or directory"
