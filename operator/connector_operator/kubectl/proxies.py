"""Which servers are reached without the proxy of the environment, as Go's `httpproxy`, and so kubectl, sees it. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443}


def find_environment_proxy(server: str, environment: Mapping[str, str]) -> str:
    """The proxy that the environment names for a server; "" for none."""
    proxy = _read(environment, f"{urlsplit(server).scheme}_proxy")
    if not proxy or is_direct(server, _read(environment, "no_proxy")):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def is_direct(server: str, listed: str) -> bool:
    """Whether a server is reached without a proxy: this machine itself, and what NO_PROXY lists.

    Args:
        server: Its URL.
        listed: Names (with what is below them), addresses and networks, each but a network also with a port; `*` for all.
    """
    parts = urlsplit(server)
    host, port = (parts.hostname or "").lower(), parts.port or PORTS.get(parts.scheme, 0)
    address = _read_address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_is_meant(each.strip().lower(), host, port, address) for each in listed.split(","))


def _read(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name.upper()) or environment.get(name) or ""


def _read_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_meant(entry: str, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    of_port = ""
    if _read_address(entry) is None and ":" in entry:
        entry, _, of_port = entry.rpartition(":")
    entry = entry.removeprefix("[").removesuffix("]")
    if not entry or of_port not in {"", str(port)}:
        return False
    if (listed := _read_address(entry)) is not None:
        return listed == address
    entry = entry.removeprefix("*") if entry.startswith("*.") else entry
    return host.endswith(entry) if entry.startswith(".") else host == entry or host.endswith(f".{entry}")
