"""A port that nobody listens on, and that nobody gets by chance while a server of ours is down between two starts."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# Not seeded: processes of one moment must not try the same ports in the same order.
_RANDOM = random.SystemRandom()


def free_port(host: str = "127.0.0.1") -> int:
    """Outside the range from which the system takes ports for outgoing connections and for `bind(0)`."""
    first = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32768
    low, high = (10_000, min(first, 30_000)) if first > 12_000 else (61_000, 65_535)
    for port in _RANDOM.sample(range(low, high), 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise OSError(f"of 200 ports between {low} and {high} none is free on {host}")
