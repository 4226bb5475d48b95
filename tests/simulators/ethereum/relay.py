"""A misbehaving node: a recorded, honest chain behind a relay that does to each answer, by seed, what providers are known to do."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from functools import partial
from typing import Any

from aiohttp import web

from tests.simulators.draws import Draws
from tests.simulators.ethereum.batch_refusals import BATCH_FORMS, refused_batch
from tests.simulators.ethereum.branches import Turns
from tests.simulators.ethereum.misbehaviours import (
    BLOCK,
    PASSING,
    TAKES_LOGS_AWAY,
    Refusal,
    hides_its_loss,
    reshaped,
    struct_logs,
)
from tests.simulators.ethereum.recording import Block, Branch, Recording
from tests.simulators.ethereum.unknown_words import unknown_words
from tests.simulators.ethereum.wordings import WORDINGS, Wording

Call = dict[str, Any]
ZERO_BLOOM = "0x" + "00" * 256


class Relay:
    """Serves HTTP on a port of its own, in the test's event loop.

    Args:
        has_roots: Whether the source always proves lists of logs by receipts; if not, no loss is made that only receipts show.

    Attributes:
        limit: The number of blocks that a log query may cover, if it is limited.
        widths: How many blocks each log query that was answered has covered.
    """

    def __init__(self, recording: Recording, draws: Draws, *, has_roots: bool = True) -> None:
        self._has_roots = has_roots
        self._draws = draws
        self._chance: random.Random = draws.random
        self._active = frozenset(draws.active)
        self._turns = Turns(recording, draws)
        self._inside = 0
        self._batch = self._chance.choice([1, 1, 2, 3, 3, 5])
        self.limit = self._chance.choice([1, 2, 3, 4, 7])
        self.widths: list[int] = []
        self._logs = self._chance.choice([3, 6, 10])
        self._at_once = self._chance.choice([1, 2, 3])
        is_unknown = "unknown words" in self._active
        self.wording = unknown_words(self._chance) if is_unknown else self._chance.choice(WORDINGS)
        known = ["Batch of more than 3 requests are not allowed on free tier", "batch too large", "too many", "no"]
        self._batch_words = self._chance.choice([*known, *(unknown_words(self._chance).text for _ in known)])
        self._results_words = unknown_words(self._chance)
        self._batch_form = self._chance.choice(BATCH_FORMS)
        self._batch_status = self._chance.choice([200, 500, 503])
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def truth(self) -> Branch:
        """The chain that it ends on."""
        return self._turns.truth

    def calm(self) -> None:
        """Ends the temporary misbehaviours: from now on the node does not change."""
        self._draws.calm()
        self._turns.calm()

    async def __aenter__(self) -> Relay:
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def _count(self, kind: str) -> None:
        self._draws.drawn[kind] += 1

    # An HTTP request as a whole.

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        calls = json.loads(await request.read())
        self._turns.ask()
        self._inside += 1
        try:
            return await self._answered(request, calls)
        finally:
            self._inside -= 1

    async def _answered(self, request: web.Request, calls: Any) -> web.StreamResponse:
        if refusal := self._refused_as_a_whole(request, calls):
            return refusal
        listed = calls if isinstance(calls, list) else [calls]
        answers = [self._answer(call) for call in listed]
        pages = [answer["_page"] for answer in answers if "_page" in answer]
        if pages:
            status, body = pages[0]
            return web.Response(status=status, text=body if isinstance(body, str) else json.dumps(body))
        answers = self._reordered(answers)
        body = json.dumps(answers if isinstance(calls, list) else answers[0]).encode()
        if self._draws.strikes("cut body"):
            body = body[: len(body) // 2]
        if self._draws.strikes("slow bytes"):
            return await _dribble(request, body)
        return web.Response(body=body, content_type="application/json")

    def _refused_as_a_whole(self, request: web.Request, calls: Any) -> web.Response | None:
        strikes = self._draws.strikes
        if strikes("closed socket"):
            return self._closed(request)
        if strikes("a page"):
            return web.Response(
                status=self._chance.choice([200, 502]), text="<html>Bad gateway</html>", content_type="text/html"
            )
        if strikes("429"):
            return web.Response(status=429, text="slow down", headers={"Retry-After": "0.01"})
        if strikes("503"):
            return web.Response(status=503, text="no")
        if "few requests at a time" in self._active and self._inside > self._at_once:
            self._count("few requests at a time")
            return web.Response(status=429, text="too many requests at once")
        if "few requests a batch" in self._active and isinstance(calls, list) and len(calls) > self._batch:
            self._count("few requests a batch")
            return refused_batch(self._batch_form, self._batch_status, self._batch_words, calls) or self._closed(
                request
            )
        return None

    def _closed(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _reordered(self, answers: list[Any]) -> list[Any]:
        strikes = self._draws.strikes
        if strikes("neither result nor error"):
            answers = [{"jsonrpc": "2.0", "id": answers[0]["id"]}, *answers[1:]]
        if strikes("ids as texts"):
            answers = [{**answer, "id": str(answer["id"])} for answer in answers]
        if strikes("wrong ids"):
            answers = [{**answer, "id": answer["id"] + 7 if isinstance(answer["id"], int) else 7} for answer in answers]
        if len(answers) > 1:
            if strikes("answers out of order"):
                self._chance.shuffle(answers)
            if strikes("an answer left out"):
                answers = answers[1:]
            if strikes("an answer twice"):
                answers = [*answers, answers[0]]
        return answers

    # One call.

    def _answer(self, call: Call) -> dict[str, Any]:
        base = {"jsonrpc": "2.0", "id": call["id"]}
        method, params = call["method"], call.get("params") or []
        try:
            found = self._result(method, params)
            for kind, (_, methods, change) in PASSING.items():
                is_verifying = method == BLOCK and params[0] in ("0x0", "latest")
                if method in methods and not is_verifying and kind in self._active and self._draws.strikes(kind):
                    changed = change(self._chance, params, found)
                    if self._has_roots or kind not in TAKES_LOGS_AWAY or not hides_its_loss(found, changed):
                        found = changed
            return {**base, "result": found}
        except Refusal as refusal:
            return refusal.answer(base)

    def _result(self, method: str, params: list[Any]) -> Any:
        """The honest answer, of the chain as this replica sees it, in this node's shape."""
        branch = self._turns.now
        head = branch.head()
        if self._draws.strikes("replica on another branch"):
            branch = self._turns.other(branch)
            head = branch.head()
        if self._draws.strikes("replica that lags"):
            head -= self._chance.randint(1, 6)
        if (
            method == BLOCK
            and params[0].startswith("0x")
            and int(params[0], 16)
            and self._draws.strikes("the block above")
        ):
            params = [hex(int(params[0], 16) + 1), *params[1:]]
        return reshaped(self._active, self._shaped(method, self._honest(branch, head, method, params)))

    def _shaped(self, method: str, found: Any) -> Any:
        for kind in ("other casing", "more members", "fewer members", "numbers as numbers", "no bloom"):
            if kind in self._active and found:
                self._count(kind)
        if "zero bloom" in self._active and method == BLOCK and found:
            self._count("zero bloom")
            return {**found, "logsBloom": ZERO_BLOOM}
        return found

    def _honest(self, branch: Branch, head: int, method: str, params: list[Any]) -> Any:
        match method:
            case "eth_chainId":
                return "0x7a69"
            case "web3_clientVersion":
                return "relay/1"
            case "eth_blockNumber":
                return hex(head)
            case "eth_getBlockByNumber":
                return self._block(branch, head, params)
            case "eth_getBlockReceipts":
                return self._receipts(branch, head, params)
            case "eth_getTransactionReceipt":
                return branch.receipt(params[0], head)
            case "eth_getLogs":
                return self._logs_answer(branch, head, params[0])
            case "debug_traceBlockByHash" if "struct logs" in self._active and self._at(branch, head, params[0]):
                self._count("struct logs")  # as Besu makes them whatever tracer is asked for
                block = self._at(branch, head, params[0])
                return struct_logs(block.full["transactions"] if block else [])
            case "trace_block":
                block = self._at(branch, head, params[0])
                return None if block is None else block.traces
        raise Refusal({"code": -32601, "message": f"the method {method} does not exist/is not available"})

    def _at(self, branch: Branch, head: int, text: str) -> Block | None:
        if len(text) == 66:
            found = branch.by_hash(text)
            return found if found is not None and found.number <= head else None
        number = int(text, 16)
        return branch.blocks[number] if number <= head else None

    def _block(self, branch: Branch, head: int, params: list[Any]) -> Any:
        tag = params[0]
        if tag in ("safe", "finalized"):
            if "no tags" in self._active:
                self._count("no tags")
                code = random.Random(f"refusal:{self._draws.seed}").choice([-32602, -32603, -32000])
                raise Refusal({"code": code, "message": f"invalid block tag {tag}"})
            return branch.block(max(0, head - 1), params[1])
        number = head if tag == "latest" else int(tag, 16)
        if tag != "latest":
            self._turns.show(number)
        return branch.block(number, params[1]) if number <= head else None

    def _receipts(self, branch: Branch, head: int, params: list[Any]) -> Any:
        if "no block receipts" in self._active:
            self._count("no block receipts")
            raise Refusal(
                {"code": -32601, "message": "the method eth_getBlockReceipts does not exist/is not available"}
            )
        if "receipts by number only" in self._active and len(params[0]) == 66:
            self._count("receipts by number only")
            raise Refusal({"code": -32602, "message": "invalid argument 0: hex number > 64 bits"})
        block = self._at(branch, head, params[0])
        return None if block is None else block.receipts

    def _logs_answer(self, branch: Branch, head: int, query: Call) -> Any:
        if "an address is demanded" in self._active and "address" not in query:
            self._count("an address is demanded")
            raise Refusal({"code": -32701, "message": "Please specify an address in your request"})
        if "blockHash" in query:
            block = self._at(branch, head, query["blockHash"])
            if block is None:
                raise Refusal({"code": -32000, "message": "unknown block"})
            return self._few_enough(block.logs)
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        if last > head:
            raise Refusal({"code": -32602, "message": "block range extends beyond current head block"})
        asked = last - first + 1
        if "few blocks a log query" in self._active and asked > self.limit:
            self._count("few blocks a log query")
            raise self._too_wide(first, asked)
        found = [log for block in branch.blocks[first : last + 1] for log in block.logs]
        if "few logs a log query" in self._active and len(found) > self._logs:
            self._count("few logs a log query")
            raise Refusal({"code": -32005, "message": f"query returned more than {self._logs} results"})
        self.widths.append(asked)
        return self._few_enough(found)

    def _few_enough(self, found: list[Any]) -> list[Any]:
        """However they are asked for, even of one block."""
        if "few logs, in unknown words" in self._active and len(found) > self._logs:
            self._count("few logs, in unknown words")
            words = self._results_words
            raise Refusal(None, words.status, partial(words.body, limit=self._logs, asked=len(found)))
        return found

    def _too_wide(self, first: int, asked: int) -> Refusal:
        wording = self.wording
        if isinstance(wording, Wording):
            return Refusal(wording.error(self.limit, first, asked), wording.status)
        self._count("unknown words")
        return Refusal(None, wording.status, partial(wording.body, limit=self.limit, asked=asked))


async def _dribble(request: web.Request, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(body))})
    await response.prepare(request)
    with suppress(ConnectionError):  # who asked may have gone
        for place in range(4):
            await response.write(body[place * len(body) // 4 : (place + 1) * len(body) // 4])
            await asyncio.sleep(0.005)
    return response
