"""`make servers`: fetches everything that the ordinary tests start, so that no test waits for a download."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.servers.fetch import MissingClientError, missing_clients


@dataclass(frozen=True)
class Server:
    """A server that the ordinary tests start: a module in tests.servers with a function of the same name that fetches it."""

    name: str
    clients: Sequence[str] = ()


ORDINARY = [
    Server("postgresql"),
    Server("mysql", ["mvn", "apt-get", "dpkg"]),
    Server("mariadb", ["apt-get", "dpkg"]),
    Server("anvil", ["npm"]),
    Server("kafka", ["mvn"]),
    Server("iceberg_rest", ["mvn"]),
    Server("iceberg_s3", ["mvn"]),
]


def main() -> int:
    if missing := missing_clients((server.name, server.clients) for server in ORDINARY):
        print(f"make servers: {MissingClientError(missing)}", file=sys.stderr)
        return 1
    for server in ORDINARY:
        start = time.monotonic()
        print(f"{server.name}: ", end="", flush=True)
        getattr(importlib.import_module(f"tests.servers.{server.name}"), server.name)()
        print(f"ready ({time.monotonic() - start:.1f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
