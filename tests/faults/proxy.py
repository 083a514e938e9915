"""A network that fails: a TCP proxy in front of Redis."""

import contextlib
import selectors
import socket
import threading
from typing import Literal

Mode = Literal["pass", "refuse", "swallow"]
CHUNK = 65_536
LOOK_SECONDS = 0.2


class Proxy:
    """Forwards to a port of loopback; `refuse` closes whatever comes, `swallow` keeps connections open and drops every byte."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._mode: Mode = "pass"
        self._closing = threading.Event()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def set_mode(self, mode: Mode) -> None:
        """`refuse` cuts what is connected too; coming back from `swallow` cuts it, as a firewall's forgotten state would."""
        before, self._mode = self._mode, mode
        if mode == "refuse" or (before == "swallow" and mode == "pass"):
            self.cut()

    def cut(self) -> None:
        """End every connection now."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            for side in pair:
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closing.set()
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self._mode == "refuse":
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        pair = (client, server)
        with self._lock:
            self._pairs.add(pair)
        with contextlib.suppress(OSError):
            self._forward(client, server)
        with self._lock:
            self._pairs.discard(pair)
        client.close()
        server.close()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while not self._closing.is_set():
                for key, _ in ready.select(LOOK_SECONDS):
                    data = key.fileobj.recv(CHUNK)  # type: ignore[union-attr]
                    if not data:
                        return
                    if self._mode == "pass":
                        key.data.sendall(data)
