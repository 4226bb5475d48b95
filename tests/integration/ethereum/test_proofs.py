"""Nothing is left out in silence: blooms that do not hold their logs, and replicas that leave out the last of a list."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connector_runner.protocols.source import WriteMode
from connector_runner.sources.ethereum.chain import RING_BLOCKS
from connector_runner.sources.ethereum.verify.roots import withdrawals_root
from tests.integration.ethereum.running import Dataset, Lines, running, sqlite_dataset, until, until_head
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.chains import EVENTS, EXPECTED, canonical, comparable
from tests.simulators.ethereum.contracts import Actors, erc20
from tests.simulators.ethereum.proxy import CutError, FaultProxy, result

BLOCK, RECEIPTS, LOGS = "eth_getBlockByNumber", "eth_getBlockReceipts", "eth_getLogs"
NO_BLOOM = "0x" + "00" * 256
QUIET, BUSY = 60, 40


@pytest.fixture(scope="module")
def chain() -> Iterator[tuple[AnvilServer, Actors]]:
    """Transfers in every block, between a few parties: a block's last log has nothing of its own."""
    with AnvilServer() as node:
        actors = Actors(node)
        one, two = actors.account, actors.other
        for _ in range(BUSY):
            for amount in range(2):
                actors.emit(erc20(one, two, amount), erc20(two, one, amount))
            actors.pay(1)
            node.mine()
        node.mine(QUIET)
        for _ in range(BUSY):
            actors.emit(erc20(one, two, 7), erc20(one, two, 7))
            node.mine()
        node.mine(RING_BLOCKS - 20)
        yield node, actors


def rows(dataset: Dataset, stream: str) -> Any:
    return comparable(dataset.query(f"SELECT {EXPECTED[stream][0]} FROM chain"))


def incidents(dataset: Dataset) -> list[tuple[str, str]]:
    return [
        (kind, message) for kind, message in dataset.query("SELECT kind, message FROM chain_incidents ORDER BY rowid")
    ]


def lacking_bloom(is_wrong: Callable[[int], bool]) -> Any:
    def change(_params: list[Any], found: Any) -> Any:
        return {**found, "logsBloom": NO_BLOOM} if found and is_wrong(int(found["number"], 16)) else found

    return result(change)


CHAINS: dict[str, Callable[[int], bool]] = {
    "all": lambda _number: True,
    "one of five": lambda number: number % 5 == 0,
    "later ones": lambda number: number > BUSY + QUIET,
}


@pytest.mark.parametrize("proves", [True, False])
@pytest.mark.parametrize("wrong", CHAINS)
@pytest.mark.parametrize("stream", ["logs", "token_transfers", "events.Transfer"])
async def test_a_chain_whose_blooms_do_not_hold_its_logs(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, stream: str, wrong: str, proves: bool, tmp_path: Path
) -> None:
    node, actors = chain
    proxy.inject(BLOCK, change=lacking_bloom(CHAINS[wrong]))
    dataset = sqlite_dataset(tmp_path)
    config = {"url": proxy.url, "startBlock": 1, "maxBlockRange": 8, "events": EVENTS, "addresses": [actors.emitter]}
    async with running({**config, "proveBackfill": proves}, stream, dataset) as task:
        await until_head(dataset, node, task)
    assert rows(dataset, stream) == canonical(node, stream, 1)
    assert [kind for kind, _ in incidents(dataset)] == ["bloom"]


@pytest.mark.parametrize("mode", WriteMode)
async def test_what_a_bloom_left_out_is_read_again_when_it_fails(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, mode: WriteMode, tmp_path: Path
) -> None:
    """By a kill in between, too."""
    node, actors = chain
    lacking, is_killed = lacking_bloom(lambda number: number > BUSY + QUIET), False

    def change(params: list[Any], answer: Any) -> Any:
        """The first run gets no further than where blooms leave something out, so that it is killed there."""
        if not is_killed and params[0].startswith("0x") and int(params[0], 16) > BUSY + QUIET:
            raise CutError
        return lacking(params, answer)

    proxy.inject(BLOCK, change=change)
    dataset = sqlite_dataset(tmp_path)
    addresses = [actors.emitter]
    config = {"url": proxy.url, "startBlock": 1, "maxBlockRange": 4, "addresses": addresses, "proveBackfill": False}
    async with running(config, "token_transfers", dataset, mode=mode, run=1) as task:
        await until(lambda: "_left_out" in dataset.position(), "a bloom leaves something out", task)
        task.cancel()
    is_killed = True
    async with running(config, "token_transfers", dataset, mode=mode, run=2) as task:
        await until_head(dataset, node, task)
    if mode is WriteMode.UPSERT:
        assert rows(dataset, "token_transfers") == canonical(node, "token_transfers", 1)
    else:
        kept = dataset.query(f"SELECT {EXPECTED['token_transfers'][0]} FROM chain WHERE _op <> 'delete'")
        gone = dataset.query(f"SELECT {EXPECTED['token_transfers'][0]} FROM chain WHERE _op = 'delete'")
        left = comparable(kept)
        for row in comparable(gone):
            left.remove(row)
        assert left == canonical(node, "token_transfers", 1)
    ((kind, message),) = incidents(dataset)
    assert kind == "bloom"
    assert "are read again" in message


async def test_a_bloom_that_was_tried_leaves_out_what_it_excludes(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    node, _ = chain
    dataset = sqlite_dataset(tmp_path)
    config = {"url": proxy.url, "startBlock": 1, "maxBlockRange": 4, "addresses": ["0x" + "ab" * 20]}
    async with running(config, "logs", dataset) as task:
        await until_head(dataset, node, task)
    assert rows(dataset, "logs") == []
    assert proxy.requests.count(RECEIPTS) < 2 * BUSY
    assert incidents(dataset) == []


def without_last(name: str) -> Any:
    def change(_params: list[Any], found: Any) -> Any:
        return {**found, name: found[name][:-1]} if found and found.get(name) else found

    return change


def last_receipt_left_out(_params: list[Any], found: Any) -> Any:
    return found[:-1] if found else found


@pytest.mark.parametrize("first", [1, BUSY + QUIET + 1])
@pytest.mark.parametrize(
    ("stream", "method", "change"),
    [
        ("blocks", BLOCK, without_last("transactions")),
        ("transactions", BLOCK, without_last("transactions")),
        ("traces", BLOCK, without_last("transactions")),
        ("receipts", BLOCK, without_last("transactions")),
        ("logs", RECEIPTS, last_receipt_left_out),
        ("token_transfers", RECEIPTS, last_receipt_left_out),
        ("events.Transfer", RECEIPTS, last_receipt_left_out),
    ],
)
async def test_the_last_of_a_list_is_not_left_out(
    chain: tuple[AnvilServer, Actors],
    proxy: FaultProxy,
    stream: str,
    method: str,
    change: Any,
    first: int,
    tmp_path: Path,
) -> None:
    node, _ = chain
    fault = proxy.inject(method, change=result(change), times=6)
    dataset = sqlite_dataset(tmp_path)
    async with running({"url": proxy.url, "startBlock": first, "events": EVENTS}, stream, dataset) as task:
        await until_head(dataset, node, task)
    assert rows(dataset, stream) == canonical(node, stream, first)
    assert fault.hits == 6


async def test_a_replica_that_leaves_out_a_transaction_together_with_its_receipt(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    node, _ = chain
    proxy.inject(BLOCK, change=result(without_last("transactions")), times=8)
    proxy.inject(RECEIPTS, change=result(last_receipt_left_out), times=4)
    dataset = sqlite_dataset(tmp_path)
    async with running({"url": proxy.url, "startBlock": 1}, "receipts", dataset) as task:
        await until_head(dataset, node, task)
    assert rows(dataset, "receipts") == canonical(node, "receipts", 1)


@pytest.mark.parametrize("proves", [True, False])
async def test_the_last_withdrawal_is_not_left_out(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, proves: bool, tmp_path: Path
) -> None:
    node, _ = chain
    first = node.head() - 3

    def paid(_params: list[Any], found: Any) -> Any:
        each: list[Any] = [
            {"index": hex(place), "validatorIndex": "0x1", "address": f"0x{place:040x}", "amount": "0x5"}
            for place in range(3)
        ]
        return {**found, "withdrawalsRoot": withdrawals_root(each), "withdrawals": each}

    def cut(params: list[Any], found: Any) -> Any:
        return without_last("withdrawals")(params, paid(params, found))

    fault = proxy.inject(BLOCK, change=result(cut), times=4)
    proxy.inject(BLOCK, change=result(paid))
    dataset = sqlite_dataset(tmp_path)
    config = {"url": proxy.url, "startBlock": first, "proveBackfill": proves}
    async with running(config, "withdrawals", dataset) as task:
        await until_head(dataset, node, task)
    assert len(dataset.query("SELECT block_hash FROM chain")) == 3 * 4
    assert fault.hits == 4


async def test_a_chain_that_never_proves_says_what_to_do(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.inject(BLOCK, change=result(lambda _p, found: found and {**found, "receiptsRoot": "0x" + "ab" * 32}))
    dataset = sqlite_dataset(tmp_path)
    log = Lines()
    async with running({"url": proxy.url, "startBlock": 1}, "receipts", dataset, log=log) as task:
        await until(lambda: any("proofs: relaxed" in line for line in log.lines), "it is told", task)
    assert dataset.query("SELECT block_hash FROM chain") == []
