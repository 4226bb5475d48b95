"""The simulator as a process of its own, for tests, examples and benchmarks: start it, ask it for the truth, make things go wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.simulators.coinbase.faults import Fault

ROOT = Path(__file__).parents[3]


class Simulator:
    """A running simulator; a context manager that leaves nothing behind.

    Args:
        options: Of the program, without dashes and with underscores: `rate=50`, `products="BTC-USD"`.
    """

    def __init__(self, **options: object) -> None:
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self._command = [sys.executable, "-m", "tests.simulators.coinbase", *arguments]
        self._process: subprocess.Popen[str] | None = None
        self.urls: dict[str, str] = {}

    def __enter__(self) -> Simulator:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.__exit__()
            raise RuntimeError("the simulator ended at its start")
        self.urls = json.loads(line)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def config(self, *products: str, with_key: bool = False) -> dict[str, Any]:
        """A connector's configuration for these products."""
        keys = ("key", "secret", "passphrase") if with_key else ()
        return {
            "url": self.urls["url"],
            "restUrl": self.urls["restUrl"],
            "productId": list(products),
            **{key: self.urls[key] for key in keys},
        }

    def truth(self) -> dict[str, Any]:
        """Last trade ids, hidden ones, faults that struck, sessions."""
        answer: dict[str, Any] = self._ask("/truth")
        return answer

    def trades(self, product: str, first: int = 1) -> Iterator[dict[str, Any]]:
        """All trades of a product from an id on, as `match` messages."""
        with urllib.request.urlopen(f"{self.urls['truth']}/trades/{product}?from={first}", timeout=60) as answer:  # noqa: S310
            for line in answer:
                yield json.loads(line)

    def book(self, product: str) -> dict[str, dict[str, str]]:
        """The book as it is: price → size by side."""
        answer: dict[str, dict[str, str]] = self._ask(f"/truth/book/{product}")
        return answer

    def arm(self, fault: Fault, count: int = 1) -> None:
        """Makes something go wrong, on every open session."""
        self._ask("/control/faults", {"kind": fault.value, "count": count})

    def market(self, **changes: object) -> None:
        """`rate=0`: no trades; `burst=500`: this many trades immediately; `states={"BTC-USD": "delisted"}`."""
        self._ask("/control/market", changes)

    def _ask(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.urls["restUrl"] + path, data)  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.loads(answer.read())
