"""A runner that carries nothing: the same contract as `connector-runner`, and misbehaviour on demand.

What it does is in the query of the connector's `config.url`, such as `ws://null?run=exit-78&ready=never`:
  discover  ok (default), hang, exit-1, exit-78, garbled (the log's line is cut), without-NAME (exits 1 until NAME is among
            the mounted Secrets)
  streams   how many more streams there are besides ticker and matches
  twice     a stream that is listed twice
  run       forever (default), exit-0, exit-1, exit-78, crash-below-N (exits 1 in runs below N)
  after     seconds until `run` exits
  ready     yes (default), never
  tell      seconds between two lines of progress, each with more rows than the one before (default: none is written)
  term      143 (default), ignore, or how many seconds it takes to leave
  lock      a folder: a file there, named after the connector, is held while it runs; a process that finds it held writes so into `overlaps`
  needs     a file that must be among the mounted Secrets, else exit 78

Only the standard library's fast parts, so that a thousand of them can start on two cores.
"""

import hashlib
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, NoReturn


def parse_behaviour(manifest: Any) -> dict[str, str]:
    _, _, query = str(manifest.get("config", {}).get("url", "")).partition("?")
    return dict(part.split("=", 1) for part in query.split("&") if "=" in part)


def end(code: int, reason: str, message: str) -> NoReturn:
    with open(os.environ["CONNECTOR_TERMINATION_LOG"], "w") as file:  # noqa: PTH123 - pathlib costs 10 ms
        file.write(json.dumps({"reason": reason, "message": message}))
    sys.exit(code)


def has_secret(name: str) -> bool:
    folder = os.environ.get("CONNECTOR_CONFIG_DIR", "")
    return bool(folder) and any(name in os.listdir(f"{folder}/{part}") for part in os.listdir(folder))  # noqa: PTH208


def exit_as_told(how: str, run: int) -> None:
    if how == "exit-0":
        end(0, "Completed", "The stream has ended.")
    if how == "exit-1" or (how.startswith("crash-below-") and run < int(how.removeprefix("crash-below-"))):
        end(1, "Broken", "It broke, as it was told to.")
    if how == "exit-78":
        end(78, "BadCredentials", "The key is unknown to the exchange: put the right one into the Secret.")


def discover(behaviour: dict[str, str], selected: str, also: list[str]) -> None:
    how = behaviour.get("discover", "ok")
    while how == "hang":
        time.sleep(60)
    if how.startswith("without-") and not has_secret(how.removeprefix("without-")):
        exit_as_told("exit-1", 0)
    exit_as_told(how, 0)
    streams = ["ticker", "matches", *(f"table{i:05}" for i in range(int(behaviour.get("streams", "0"))))]
    streams += [behaviour["twice"]] if "twice" in behaviour else []
    if "lines" in sys.argv:
        for stream in streams:
            print(json.dumps({"id": stream, "key": ["id"], "modes": ["live"], "columns": 3}, separators=(",", ":")))
        print(json.dumps({"listed": len(streams), "total": len(streams)}, separators=(",", ":")))
        end(0, "", "")
    shown = streams[:500]
    if selected in streams and selected not in shown:
        shown[-1] = selected
    beyond = [stream for stream in also if stream in streams and stream not in shown]
    shown[len(shown) - 1 - len(beyond) : len(shown) - 1] = beyond
    listed = [{"id": stream, "key": ["id"], "modes": ["live"], "columns": 3} for stream in shown]
    line = json.dumps(
        {
            "streams": listed,
            "total": len(streams),
            "identity": "null",
            "notes": [],
            "missing": [stream for stream in also if stream not in streams],
        }
    ).encode()
    proof = {"total": len(streams), "bytes": len(line), "sha256": hashlib.sha256(line).hexdigest()}
    print("some other output")
    print(f"connector-catalogue: {(line[:-5] if how == 'garbled' else line).decode()}", flush=True)
    with open(os.environ["CONNECTOR_TERMINATION_LOG"], "w") as file:  # noqa: PTH123
        file.write(json.dumps(proof))


def hold(folder: str, name: str, number: int) -> int:
    """Holds the connector's lock while this process lives; two processes at the same time are recorded."""
    import fcntl

    file = os.open(f"{folder}/{name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with open(f"{folder}/overlaps", "a") as told:  # noqa: PTH123
            told.write(f"{name} run {number} at {time.time():.1f} beside {os.read(file, 100).decode()}\n")
        return file
    os.ftruncate(file, 0)
    os.write(file, f"run {number} since {time.time():.1f}".encode())
    return file


def leave(behaviour: dict[str, str]) -> NoReturn:
    time.sleep(float(behaviour.get("term", "0")))
    os._exit(143)


def run(behaviour: dict[str, str], number: int, name: str) -> None:
    if "lock" in behaviour:
        hold(behaviour["lock"], name, number)
    how = behaviour.get("run", "forever")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour.get("term") == "ignore" else lambda *_: leave(behaviour))
    if "after" not in behaviour:
        exit_as_told(how, number)
    until = time.monotonic() + float(behaviour.get("after", "1e9"))
    host, _, port = os.environ["CONNECTOR_PROBE_ADDRESS"].rpartition(":")
    server = socket.create_server((host, int(port)))
    print(f"run {number} serves {host}", flush=True)
    every, told, rows = float(behaviour.get("tell", "1e9")), time.monotonic(), 0
    while True:
        if select.select([server], [], [], max(0.0, min(5.0, until - time.monotonic())))[0]:
            answer(server, ready=behaviour.get("ready") != "never")
        if time.monotonic() - told >= every:
            told, rows = told + every, rows + 1
            progress = {"selected": 1, "following": 1, "lagSeconds": 1, "rows": rows}
            print(json.dumps({"level": "info", "message": "progress", "progress": progress}), flush=True)
        if time.monotonic() >= until:
            exit_as_told(how, number)


def answer(server: socket.socket, *, ready: bool) -> None:
    connection, _ = server.accept()
    with connection:
        asked = connection.recv(4096).split(b" ")[1:2]
        good = ready or asked == [b"/healthz"]
        connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % (b"200 OK" if good else b"503 Not Ready"))


def main() -> None:
    parts = [os.environ["CONNECTOR_MANIFEST"]]
    while f"CONNECTOR_MANIFEST_{len(parts)}" in os.environ:
        parts.append(os.environ[f"CONNECTOR_MANIFEST_{len(parts)}"])
    manifest = json.loads("".join(parts))
    behaviour = parse_behaviour(manifest)
    if "needs" in behaviour and not has_secret(behaviour["needs"]):
        end(78, "SecretMissing", f"The key {behaviour['needs']} is in none of the Secrets.")
    if sys.argv[1] == "discover":
        discover(behaviour, manifest.get("stream", ""), manifest.get("also", []))
    else:
        run(behaviour, manifest.get("run", 0), manifest.get("name", ""))


main()
