"""Ports for servers that tests start; nobody else can take one between its allocation and the bind."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

# Below the ports that the kernel uses for outgoing connections.
RANGE = range(18_000, 32_000)
_chance = random.SystemRandom()
_held: list[int] = []  # locks, until this process ends


def free_port(host: str = "127.0.0.1") -> int:
    """A free port that no other caller on this machine gets while this process lives."""
    folder = Path(tempfile.gettempdir()) / "connector-test-ports"
    folder.mkdir(mode=0o777, exist_ok=True)
    for port in _chance.sample(RANGE, 1000):
        lock = os.open(folder / str(port), os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind((host, port))
        except OSError:  # another process has it
            os.close(lock)
        else:
            _held.append(lock)
            return port
    raise RuntimeError(f"none of a thousand ports between {RANGE.start} and {RANGE.stop} is free")
