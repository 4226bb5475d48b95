#!/usr/bin/env bash
# anvil 1.7.1: a subscriber to logs is never told that a reorganisation took logs back.
#
# The documentation of Ethereum's subscriptions says that logs of blocks that a reorganisation took back are sent again with
# removed: true, and geth does so. anvil_reorg announces the new blocks (newHeads), but sends no such log; anvil_rollback, which takes
# blocks off the chain, announces nothing at all, neither heads nor logs. Who tests a follower of logs with anvil tests less than it seems.
#
# Seen with anvil 1.7.1 (npm @foundry-rs/anvil-linux-amd64) and websockets 15.0.1. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
node_pid=
trap '[ -z "$node_pid" ] || kill "$node_pid" 2> /dev/null || true; rm -rf "$home"' EXIT
npm install --silent --no-audit --no-fund --force --prefix "$home" @foundry-rs/anvil-linux-amd64@1.7.1 > /dev/null
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check websockets==15.0.1
anvil="$home/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
"$anvil" --version | head -1
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$anvil" --no-mining --silent --port "$port" &
node_pid=$!
"$home/venv/bin/python" - "$port" << 'PYTHON'
import asyncio
import json
import sys

from websockets.asyncio.client import connect

EMITS_A_LOG = "0x60006000a0"  # code of a constructor: LOG0 of nothing


class Node:
    def __init__(self, socket):
        self.socket, self.last, self.notices = socket, 0, []

    async def call(self, method, *params):
        self.last += 1
        await self.socket.send(json.dumps({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params}))
        while True:
            message = json.loads(await self.socket.recv())
            if message.get("id") == self.last:
                assert "error" not in message, message
                return message["result"]
            self.notices.append(message["params"])

    async def settled(self):
        """What was announced until nothing came for three seconds."""
        try:
            while True:
                message = json.loads(await asyncio.wait_for(self.socket.recv(), 3))
                self.notices.append(message["params"])
        except TimeoutError:
            found, self.notices = self.notices, []
            return found


async def connected(port):
    for _ in range(100):
        try:
            return await connect(f"ws://127.0.0.1:{port}")
        except OSError:
            await asyncio.sleep(0.1)
    raise SystemExit("anvil did not start")


async def main(port):
    async with await connected(port) as socket:
        node = Node(socket)
        heads = await node.call("eth_subscribe", "newHeads")
        logs = await node.call("eth_subscribe", "logs", {})
        (account, *_) = await node.call("eth_accounts")

        async def mine():
            await node.call("eth_sendTransaction", {"from": account, "data": EMITS_A_LOG, "gas": "0x100000"})
            await node.call("evm_mine")
            return await node.settled()

        def split(notices):
            of = lambda own: [one["result"] for one in notices if one["subscription"] == own]
            return of(heads), of(logs)

        for number in (1, 2):
            new_heads, new_logs = split(await mine())
            assert [int(head["number"], 16) for head in new_heads] == [number], new_heads
            assert [log["removed"] for log in new_logs] == [False], new_logs
        before = (await node.call("eth_getBlockByNumber", "latest", False))["hash"]
        await node.call("anvil_reorg", 1, [])
        new_heads, new_logs = split(await node.settled())
        after = await node.call("eth_getBlockByNumber", "latest", False)
        left = await node.call("eth_getLogs", {"fromBlock": "0x2", "toBlock": "0x2"})
        print(f"anvil_reorg: block 2 is another one: {before != after['hash']}; logs in it: {len(left)}; announced heads: {len(new_heads)}, logs: {new_logs}")
        assert before != after["hash"] and not left, "the log was not taken back"
        assert len(new_heads) == 1, new_heads
        assert new_logs == [], f"this has changed: {new_logs}"
        await node.call("anvil_rollback", 2)
        found = await node.settled()
        print(f"anvil_rollback: the head is {await node.call('eth_blockNumber')}; announced: {found}")
        assert await node.call("eth_blockNumber") == "0x0"
        assert found == [], f"this has changed: {found}"
    print("as described: no log is announced as removed")


asyncio.run(main(sys.argv[1]))
PYTHON
