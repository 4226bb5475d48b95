"""Whether more of the log has arrived."""

from __future__ import annotations

import fcntl
import resource
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from connector_runner.sources.mysql.streaming.dump import has_more

MANY = 2000
"""More open files than `select` can name."""


@pytest.fixture
def many_files() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("many_files")
def test_a_process_with_many_open_files_sees_whether_more_has_arrived() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(fileno=fcntl.fcntl(ours.fileno(), fcntl.F_DUPFD_CLOEXEC, MANY)) as high:
        connection: Any = SimpleNamespace(socket=high)
        assert not has_more(connection)
        theirs.sendall(b"x")
        assert has_more(connection)
        assert high.recv(1) == b"x"
        theirs.close()
        assert has_more(connection), "the end is read, not waited for"
