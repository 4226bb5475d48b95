"""The validated configuration as typed values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Mode(StrEnum):
    """How a table is read."""

    LOG_BASED = "LOG_BASED"
    INCREMENTAL = "INCREMENTAL"
    FULL_TABLE = "FULL_TABLE"


@dataclass(frozen=True)
class Settings:
    """What a person configured; see schema.yaml for each.

    `scan_server_id` is the server id of a second reader, which looks ahead in the log for changes of a definition; `for_catching_up`
    has the ids of a reader beside the first one.
    `password` and `ssl` are left out of the representation, so that no traceback or log line shows them.
    """

    host: str
    port: int
    user: str
    database: str
    mode: Mode
    cursor_column: str
    poll_seconds: int
    snapshot: str
    resnapshots: bool
    ignores_cascades: bool
    server_id: int
    scan_server_id: int
    catch_up_server_ids: tuple[int, int]
    chunk_rows: int
    transaction_rows: int
    transaction_bytes: int
    password: Secret
    ssl: Secret

    @property
    def copies(self) -> bool:
        """Whether the table is copied at all; else the dataset has only the changes after the start."""
        return self.snapshot != "never"

    @property
    def for_catching_up(self) -> Settings:
        """The same, for a second reader of the log at the same time."""
        server_id, scan_server_id = self.catch_up_server_ids
        return replace(self, server_id=server_id, scan_server_id=scan_server_id)


class Secret:
    """A value that is never shown: its representation hides it."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "Secret(…)"


def derive_server_id(connector: str) -> int:
    """A server id derived from the connector's name: the same at each start, in the upper half, which people rarely use."""
    digest = hashlib.sha256(f"connector-operator {connector}".encode()).digest()
    return int.from_bytes(digest[:4], "big") | 0x80000000


def parse_settings(config: Mapping[str, Any], connector: str) -> Settings:
    """Reads the configuration, validated and with its defaults.

    Args:
        config: The configuration as schema.yaml describes it.
        connector: `namespace/name`.
    """
    return Settings(
        host=config["host"],
        port=config.get("port", 3306),
        user=config["user"],
        database=config.get("database", ""),
        mode=Mode(config.get("mode", "LOG_BASED")),
        cursor_column=config.get("cursorColumn", ""),
        poll_seconds=config.get("pollSeconds", 10),
        snapshot=config.get("snapshot", "initial"),
        resnapshots=config.get("onLogGap", "fail") == "resnapshot",
        ignores_cascades=config.get("onCascade", "refuse") == "ignore",
        server_id=config.get("serverId") or derive_server_id(connector),
        scan_server_id=derive_server_id(f"{connector} definitions"),
        catch_up_server_ids=(
            derive_server_id(f"{connector} catching up"),
            derive_server_id(f"{connector} catching up definitions"),
        ),
        chunk_rows=config.get("chunkRows", 20000),
        transaction_rows=config.get("transactionRows", 50000),
        transaction_bytes=config.get("transactionMegabytes", 8) << 20,
        password=Secret(config.get("password", "")),
        ssl=Secret(dict(config.get("ssl", {}))),
    )
