"""SIGKILL or SIGSTOP at the calls that a runner makes to Kafka."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Message, Producer

from connector_runner.sinks.kafka import client as kafka

CALLS = ("init_transactions", "begin_transaction", "produce", "commit_transaction")
"""Those of the producer; a claim makes each, beside creating topics and reading ledgers."""


@dataclass
class KillAtKafkaCall:
    """Runs in the runner's process: SIGKILL before, during or after its n-th call.

    Of the records of a transaction the first two count. The log has `killed WHEN NAME`. During means that the call has begun and is not answered, or has just been answered.
    """

    number: int
    when: str
    produced: int = 0

    def __call__(self) -> None:
        self._hook_producer()
        self._hook_client()

    def _kill(self, name: str) -> None:
        os.write(2, f"killed {self.when} {name}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)

    def _counted(self, name: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        self.produced = self.produced + 1 if name == "produce" else 0
        if self.produced > 2:
            return call(*arguments, **options)
        self.number -= 1
        if self.number == 0 and self.when == "before":
            self._kill(name)
        if self.number == 0 and self.when == "during":
            threading.Thread(target=call, args=arguments, kwargs=options, daemon=True).start()
            time.sleep(0.002)  # about as long as the brokers take
            self._kill(name)
        try:
            result = call(*arguments, **options)
        except Exception:
            self.number += self.number == 0  # the next call, which may be this one again, is the last
            raise
        if self.number == 0:
            self._kill(name)
        return result

    def _hook_producer(self) -> None:
        counted = self._counted

        class Counting(Producer):
            def __init__(self, settings: dict[str, Any]) -> None:
                super().__init__(settings)

        def hooked(name: str) -> Callable[..., Any]:
            call = getattr(Producer, name)
            return lambda *arguments, **options: counted(name, call, *arguments, **options)

        for name in CALLS:
            setattr(Counting, name, hooked(name))
        kafka.Producer = Counting  # type: ignore[attr-defined, assignment]

    def _hook_client(self) -> None:
        create, read, counted = kafka.Client.create, kafka.Client.read, self._counted

        def created(*arguments: Any, **options: Any) -> bool:
            return bool(counted("create", create, *arguments, **options))

        def read_all(*arguments: Any, **options: Any) -> Iterator[Message]:
            found: list[Message] = counted("read", lambda: list(read(*arguments, **options)))
            return iter(found)

        kafka.Client.create = created  # type: ignore[method-assign]
        kafka.Client.read = read_all  # type: ignore[method-assign]


@dataclass
class StopAtKafkaCall(KillAtKafkaCall):
    """The same with SIGSTOP; somebody else sends SIGCONT."""

    def _kill(self, name: str) -> None:
        os.write(2, f"stopped {self.when} {name}\n".encode())
        os.kill(os.getpid(), signal.SIGSTOP)

    def _counted(self, name: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        self.produced = self.produced + 1 if name == "produce" else 0
        if self.produced > 2:
            return call(*arguments, **options)
        self.number -= 1
        is_last = self.number == 0
        if is_last and self.when == "before":
            self._kill(name)
        if is_last and self.when == "during":
            threading.Timer(0.002, self._kill, [name]).start()
        try:
            return call(*arguments, **options)
        finally:
            if is_last and self.when == "after":
                self._kill(name)
