"""The configuration as typed values, and the only module that decides which part of an endpoint may be shown.

Providers put API keys into the path, the query, the user part or the host of a URL, so only the scheme, the port and the last
two labels of the host are ever shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from pathlib import PurePath
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.redaction import redact

SCHEMES = ("http", "https", "ws", "wss")
# Shorter parts of a URL are words like v3 or eth; replacing those would only garble messages.
SHORTEST_SECRET = 6


class Tag(StrEnum):
    """Named blocks of the JSON-RPC specification (https://ethereum.github.io/execution-apis/)."""

    EARLIEST = "earliest"
    LATEST = "latest"
    SAFE = "safe"
    FINALIZED = "finalized"


class Proofs(StrEnum):
    """The setting `proofs`: prove everything as on Ethereum, or nothing that some chains lack."""

    ETHEREUM = "ethereum"
    RELAXED = "relaxed"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a node.

    Attributes:
        url: The URL, with any keys in it; never shown, not even by `repr`.
        headers: Sent with every request or handshake; never shown.
        shown: The name of the endpoint in messages.
        kind: `http`, `websocket` or `ipc`.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    shown: str = ""
    kind: str = "http"

    def redact(self, text: str) -> str:
        """Removes every part of the URL and the headers from an external text (a message of a client library or a node)."""
        return redact(text, self._secrets(), blot="…")

    def _secrets(self) -> set[str]:
        if self.kind == "ipc":
            return set()
        parts = urlsplit(self.url)
        pieces = {
            self.url,
            parts.netloc,
            *re.split(r"[/?&=]", f"{parts.path}?{parts.query}"),
            *(parts.hostname or "").split(".")[:-2],
        }
        pieces |= {parts.username or "", parts.password or "", parts.fragment, *self.headers.values()}
        pieces |= {word for value in self.headers.values() for word in value.split()}
        pieces |= {unquote(piece) for piece in pieces}
        return {piece for piece in pieces if len(piece) >= SHORTEST_SECRET} - {"localhost"}


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which logs are wanted.

    Attributes:
        addresses: Lower-case hexadecimal; empty: all.
        topics: One entry per position: the topics allowed there; empty: any.
    """

    addresses: tuple[str, ...] = ()
    topics: tuple[tuple[str, ...], ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether every log passes."""
        return not self.addresses and not any(self.topics)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a source.

    Attributes:
        endpoints: The primary and its fallbacks, in order.
        start: Block number, or `earliest`, `latest`.
        finality: Number of confirmations (0 and `latest` are the same), or `safe`, `finalized`.
        filter: Which logs are wanted.
        abi: Entries of type event as in Solidity's JSON ABI.
        requests_per_second: Rate limit; None: no limit.
        max_block_range: Blocks that one log query may cover.
        proofs: What the chain's blocks are configured to commit to; None: look it up in the table of families.
        prove_backfill: Whether the roots of lists are also recomputed in a backfill.
    """

    endpoints: tuple[Endpoint, ...]
    start: int | Tag = Tag.LATEST
    finality: int | Tag = Tag.LATEST
    filter: LogFilter = LogFilter()
    abi: tuple[Mapping[str, Any], ...] = ()
    events: tuple[str, ...] = ()
    requests_per_second: int | None = None
    max_block_range: int = 2000
    proofs: Proofs | None = None
    prove_backfill: bool = True


def parse_settings(config: Mapping[str, Any]) -> Settings:
    """Converts a configuration that its schema has accepted to settings.

    Raises:
        InvalidConfigError: The configuration breaks rules that the schema can't express; lists all problems, without any secret.
    """
    problems: list[str] = []
    headers = _headers(config.get("headers") or {}, problems)
    urls = [("config.url", config["url"])]
    urls += [(f"config.fallbackUrls[{index}]", url) for index, url in enumerate(config.get("fallbackUrls") or ())]
    endpoints = tuple(found for path, url in urls if (found := _endpoint(path, url, headers, problems)))
    settings = Settings(
        endpoints=endpoints,
        start=_height("config.startBlock", config.get("startBlock", "latest"), (Tag.EARLIEST, Tag.LATEST), problems),
        finality=_height(
            "config.finality", config.get("finality", "latest"), (Tag.LATEST, Tag.SAFE, Tag.FINALIZED), problems
        ),
        filter=LogFilter(
            tuple(dict.fromkeys(address.lower() for address in config.get("addresses") or ())),
            tuple(tuple(filter(None, entry.lower().split("|"))) for entry in config.get("topics") or ()),
        ),
        abi=_abi(config.get("abi"), problems),
        events=tuple(config.get("events") or ()),
        requests_per_second=config.get("requestsPerSecond"),
        max_block_range=config.get("maxBlockRange", 2000),
        proofs=Proofs(config["proofs"]) if config.get("proofs") else None,
        prove_backfill=config.get("proveBackfill", True),
    )
    if problems:
        raise InvalidConfigError(problems)
    return settings


def _headers(found: Any, problems: list[str]) -> dict[str, str]:
    if not isinstance(found, Mapping):
        problems.append("config.headers: expected an object of header names and texts")
        return {}
    headers = {}
    for name, value in found.items():
        if not isinstance(value, str) or not re.fullmatch(r"[!-~ \t]*", value):
            problems.append(f"config.headers.{name}: expected one line of printable ASCII text")
        elif not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
            problems.append("config.headers: a name in it is not an HTTP header name")
        else:
            headers[name] = value
    return headers


def _endpoint(path: str, url: str, headers: Mapping[str, str], problems: list[str]) -> Endpoint | None:
    if url.startswith("/"):
        return Endpoint(url, {}, f"ipc:{PurePath(url).name}", "ipc")
    try:
        parts = urlsplit(url)
        valid = parts.scheme in SCHEMES and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # its message may quote the URL
        valid = False
    if valid and parts.username is not None and any(name.lower() == "authorization" for name in headers):
        problems.append(f"{path}: holds a user name, and config.headers an Authorization; give one of the two")
        return None
    if not valid:
        problems.append(
            f"{path}: expected http://…, https://…, ws://…, wss://… or the absolute path of an IPC socket "
            "(the text found is not shown, as it may hold a key)"
        )
        return None
    return Endpoint(url, headers, _shown(parts), "http" if parts.scheme in ("http", "https") else "websocket")


def _shown(parts: SplitResult) -> str:
    """Returns texts like `….infura.io (https)` and `127.0.0.1:8545 (ws)`: labels of a host may be keys, its last two are not.

    Never the URL itself, even when it has no key in it: it is a secret property, and logs would redact it.
    """
    host = parts.hostname or ""
    try:
        ip_address(host)
        shown = f"[{host}]" if ":" in host else host
    except ValueError:
        labels = host.split(".")
        shown = host if len(labels) <= 2 or host.endswith((".svc", ".local")) else "…." + ".".join(labels[-2:])
    return f"{shown}{f':{parts.port}' if parts.port else ''} ({parts.scheme})"


def _height(path: str, found: Any, tags: Iterable[Tag], problems: list[str]) -> int | Tag:
    if isinstance(found, int) and not isinstance(found, bool):
        return found
    text = str(found)
    if text in list(tags):
        return Tag(text)
    try:
        return int(text, 16 if text.startswith("0x") else 10)
    except ValueError:
        problems.append(f"{path}: {text[:40]!r} is neither a block count nor one of {', '.join(tags)}")
        return 0


def _abi(text: str | None, problems: list[str]) -> tuple[Mapping[str, Any], ...]:
    if not text:
        return ()
    try:
        found = json.loads(text)
    except ValueError as error:
        problems.append(f"config.abi: not JSON ({error})")
        return ()
    entries = found.get("abi", [found]) if isinstance(found, dict) else found
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        problems.append("config.abi: expected a JSON list of ABI entries, or a compiler's output with a member abi")
        return ()
    return tuple(entry for entry in entries if entry.get("type") == "event")
