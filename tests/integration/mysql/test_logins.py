"""Passwords, encryption, and the example, as a person would use them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector_runner.protocols.errors import InvalidConfigError
from tests.integration.mysql.conftest import Database, start, variants
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.running import Runner
from tests.integration.mysql.test_soak import is_complete
from tests.servers.mysqld import DatabaseServer

EXAMPLE = Path(__file__).parents[3] / "examples" / "mysql"


@pytest.fixture(params=variants("mysql-gtids", "mariadb"))
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def follow_one_row(database: Database, **options: Any) -> None:
    reading = Reading(database.server, f"{database.name}.t", **options)
    async with reading:
        await reading.until(lambda: is_complete(reading))
        database.execute("REPLACE INTO t VALUES (2)")
        await reading.until(lambda: (2,) in reading.table)


PLUGINS = [
    ("mysql-gtids", "caching_sha2_password", "DISABLED"), ("mysql-gtids", "caching_sha2_password", "REQUIRED"),
    ("mysql-gtids", "mysql_native_password", "DISABLED"), ("mysql-gtids", "mysql_native_password", "REQUIRED"),
    ("mariadb", "mysql_native_password", "DISABLED"), ("mariadb", "mysql_native_password", "PREFERRED"),
    # MySQL 9 has no other plugin; MariaDB from 11.4 on makes a certificate for itself.
    pytest.param("mysql-9.7-gtids", "caching_sha2_password", "DISABLED", marks=pytest.mark.fault),
    pytest.param("mysql-9.7-gtids", "caching_sha2_password", "REQUIRED", marks=pytest.mark.fault),
    *(
        pytest.param(variant, "mysql_native_password", mode, marks=pytest.mark.fault)
        for variant in ("mariadb-11.4", "mariadb-11.8") for mode in ("DISABLED", "REQUIRED")
    ),
]  # fmt: skip


@pytest.mark.parametrize(("variant", "plugin", "mode"), PLUGINS)
async def test_passwords_with_and_without_encryption(database: Database, variant: str, plugin: str, mode: str) -> None:
    user = f"u{database.name[:10]}"
    how = f"WITH {plugin} BY 'p4ss-wörd'" if variant.startswith("mysql") else "BY 'p4ss-wörd'"
    database.execute(
        "CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)", f"CREATE USER {user}@'%' IDENTIFIED {how}",
        f"GRANT SELECT ON {database.name}.* TO {user}@'%'", f"GRANT REPLICATION SLAVE ON *.* TO {user}@'%'",
    )  # fmt: skip
    await follow_one_row(database, user=user, password="p4ss-wörd", ssl={"mode": mode})
    database.execute(f"DROP USER {user}@'%'")


@pytest.mark.parametrize("variant", variants("mysql-gtids"))
async def test_certificates(database: Database, server: DatabaseServer) -> None:
    database.execute("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    ca, cert, key = ((server.data / f"{name}.pem").read_text() for name in ("ca", "client-cert", "client-key"))
    await follow_one_row(database, ssl={"mode": "VERIFY_CA", "ca": ca, "cert": cert, "key": key})
    with pytest.raises(InvalidConfigError, match=r"config\.ssl: the server's certificate is not trusted"):
        await Reading(server, f"{database.name}.t", ssl={"mode": "VERIFY_CA"}).open()
    with pytest.raises(InvalidConfigError, match=r"config\.ssl: ca, cert and key must be PEM"):
        await Reading(server, f"{database.name}.t", ssl={"mode": "REQUIRED", "ca": "no certificate"}).open()


@pytest.mark.parametrize("variant", variants("mariadb"))
async def test_a_server_without_encryption_gets_no_password(variant: str) -> None:
    with (
        start(variant, "--skip-ssl") as server,
        pytest.raises(InvalidConfigError, match=r"config\.ssl\.mode: the server offers no encryption"),
    ):
        await Reading(server, "d.t", ssl={"mode": "REQUIRED"}).open()


@pytest.mark.parametrize("variant", variants("mariadb"))
async def test_mariadb_with_certificates(variant: str, tmp_path: Path) -> None:
    with start("mysql-gtids") as donor:  # MySQL makes certificates at its start
        files = {
            name: shutil.copy(donor.data / f"{name}.pem", tmp_path) for name in ("ca", "server-cert", "server-key")
        }
    options = [f"--ssl-ca={files['ca']}", f"--ssl-cert={files['server-cert']}", f"--ssl-key={files['server-key']}"]
    with start(variant, *options) as server:
        database = Database(server, "d")
        server.execute("CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)", "INSERT INTO d.t VALUES (1)")
        await follow_one_row(database, ssl={"mode": "VERIFY_CA", "ca": (tmp_path / "ca.pem").read_text()})
        with pytest.raises(InvalidConfigError, match=r"config\.ssl: the server's certificate is not trusted"):
            await Reading(server, "d.t", ssl={"mode": "VERIFY_CA"}).open()
        with pytest.raises(InvalidConfigError, match=r"config\.ssl: the server's certificate is not trusted"):
            await Reading(
                server, "d.t", ssl={"mode": "VERIFY_IDENTITY", "ca": (tmp_path / "ca.pem").read_text()}
            ).open()


@pytest.fixture
def shop(variant: str) -> Iterator[DatabaseServer]:
    with start(variant) as server:
        statements = [part for part in (EXAMPLE / "shop.sql").read_text().split(";\n") if part.strip()]
        server.execute(*statements)
        yield server


@pytest.mark.parametrize("variant", ["mysql-gtids", "mysql-files", "mariadb"])
def test_the_example(shop: DatabaseServer, tmp_path: Path) -> None:
    runner = Runner(tmp_path, shop, "shop.orders", "sqlite:///orders.db", "orders")
    shutil.copy(EXAMPLE / "connector.yaml", tmp_path / "orders.yaml")
    documents = list(yaml.safe_load_all((tmp_path / "orders.yaml").read_text()))
    documents[0]["spec"]["config"]["port"] = shop.port  # the one thing that differs here
    (tmp_path / "orders.yaml").write_text(yaml.safe_dump_all(documents))
    assert "shop.orders" in runner.command("discover")
    runner.start()
    runner.until(lambda: len(runner.rows()) == 3)
    (change,) = re.findall(r"`(UPDATE [^`]+)`", (EXAMPLE / "README.md").read_text())
    shop.execute(change, "DELETE FROM shop.orders WHERE id = 2")
    runner.until(lambda: runner.rows("id, state") == [(1, "paid"), (3, "open")])
    shown = runner.command("rows")
    assert "Ada" in shown
    assert "Grace" not in shown
    runner.kill()
    shop.execute("INSERT INTO shop.orders (customer, amount) VALUES ('Barbara', 1)")
    runner.start()
    runner.until(lambda: len(runner.rows()) == 3)
    assert "connector-password" not in runner.output() + shown
    runner.kill()
