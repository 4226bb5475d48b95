"""`make servers`: fetches everything that the ordinary tests start, so that no test waits for a download."""

from __future__ import annotations

import importlib
import sys
import time

# One entry a server: module below tests.servers and the function that returns it, fetching it when it is not there.
ORDINARY = [("postgresql", "postgresql"), ("mysql", "mysql"), ("mariadb", "mariadb"), ("anvil", "anvil")]


def main() -> int:
    for module, function in ORDINARY:
        start = time.monotonic()
        print(f"{module}: ", end="", flush=True)
        getattr(importlib.import_module(f"tests.servers.{module}"), function)()
        print(f"ready ({time.monotonic() - start:.1f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
