"""What is derived from the configuration, and how the client's errors are translated."""

from __future__ import annotations

import pymysql
import pytest

from connector_runner.protocols.errors import ConnectorError, InvalidConfigError, TransientError
from connector_runner.sources.mysql.position import StreamPosition
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.settings import parse_settings
from tests.unit.mysql.logs import TABLE


def test_each_reader_has_a_number_of_its_own() -> None:
    def numbers(connector: str, **options: int) -> list[int]:
        settings = parse_settings({"host": "h", "user": "u", **options}, connector)
        return [settings.server_id, settings.scan_server_id]

    assert numbers("a/b") == numbers("a/b")
    assert len({*numbers("a/b"), *numbers("a/c"), *numbers("a/d", serverId=7)}) == 6
    assert numbers("a/d", serverId=7)[0] == 7


@pytest.mark.parametrize(
    ("code", "kind"), [(1045, InvalidConfigError), (2059, InvalidConfigError), (2013, TransientError)]
)
def test_a_login_method_that_is_not_known_does_not_mend_itself(code: int, kind: type[ConnectorError]) -> None:
    error = pymysql.err.OperationalError(code, "Authentication plugin b'client_ed25519' not configured")
    assert type(translate(error, "connecting", "me")) is kind


def test_only_the_checkpoint_keeps_the_definition_and_older_positions_are_read() -> None:
    document = {"log": {"file": "binlog.000001", "offset": 4}, "table": TABLE.to_json()}
    place = StreamPosition.from_json("d.t", document)
    assert place.definition == TABLE
    assert set(place.to_json()) == {"log", "_table"}
    assert StreamPosition.from_json("d.t", place.to_json()) == place
