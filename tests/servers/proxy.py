"""A TCP proxy that cuts connections where a test wants it: before or after a number of pieces of traffic."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

PIECE = 1 << 16


class CuttingProxy:
    """Forwards to a server; `plan(n)` says after how many pieces from the client the n-th connection is cut.

    A piece is the result of one read. With `deliver` the last piece still reaches the server, but no response comes back: the
    client can't know its result. Every connection is cut by a reset.
    """

    def __init__(self, host: str, port: int, plan: Callable[[int], tuple[int, bool] | None]) -> None:
        self._target = (host, port)
        self._plan = plan
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.cuts = 0
        self._sockets: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            self._sockets |= {client, server}
            threading.Thread(target=self._upstream, args=(client, server, self._plan(number)), daemon=True).start()
            threading.Thread(target=self._downstream, args=(client, server), daemon=True).start()

    def _upstream(self, client: socket.socket, server: socket.socket, plan: tuple[int, bool] | None) -> None:
        left, deliver = plan if plan is not None else (-1, False)
        try:
            while piece := client.recv(PIECE):
                left -= 1
                if left == 0:
                    self.cuts += 1
                    self._reset(client)
                    if deliver:
                        server.sendall(piece)
                    server.shutdown(socket.SHUT_WR)
                    return
                server.sendall(piece)
            server.shutdown(socket.SHUT_WR)
        except OSError:
            self._reset(client)

    def _downstream(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while piece := server.recv(PIECE):
                client.sendall(piece)
        except OSError:
            pass
        self._reset(client)
        server.close()

    @staticmethod
    def _reset(client: socket.socket) -> None:
        try:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.shutdown(socket.SHUT_RDWR)
            client.close()
        except OSError:
            pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._sockets:
            self._reset(connection)
