"""Ports for servers that tests start; nobody else can take one between its allocation and the bind."""

from __future__ import annotations

import fcntl
import functools
import os
import random
import socket
import tempfile
from pathlib import Path

# Below the ports that the kernel uses for outgoing connections.
RANGE = range(18_000, 32_000)
_chance = random.SystemRandom()
_ours: set[int] = set()  # a lock of bytes keeps other processes out, not this one


@functools.cache
def _locks() -> int:
    """One file for all ports: the byte at a port's number is locked until this process ends. A file a port would add up to more open
    files in a test run than `select` can name."""
    path = Path(tempfile.gettempdir()) / "connector-test-ports.locks"
    return os.open(path, os.O_CREAT | os.O_RDWR, 0o666)


def free_port(host: str = "127.0.0.1") -> int:
    """A free port that no other caller on this machine gets while this process lives."""
    for port in _chance.sample(RANGE, 1000):
        if port in _ours:
            continue
        _ours.add(port)
        try:
            fcntl.lockf(_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            with socket.socket() as probe:
                probe.bind((host, port))
        except OSError:  # another process has it
            _ours.discard(port)
        else:
            return port
    raise RuntimeError(f"none of a thousand ports between {RANGE.start} and {RANGE.stop} is free")
