"""A network between client and server that can be slow, cut connections, and lead to another server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

PIECE = 64 * 1024


class Network:
    """Carries every connection to `target`. The first `cuts` answers that grow past `limit` bytes end there."""

    def __init__(self, target: str, *, limit: int = 0, cuts: int = 0, pause: float = 0.0) -> None:
        self.target = target
        self.limit, self.cuts, self.pause = limit, cuts, pause
        self.carried = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        far = self._reach()
        with self._lock:
            self._ends += [near, far]
        threading.Thread(target=self._carry, args=(near, far, False), daemon=True).start()
        self._carry(far, near, True)

    def _reach(self) -> socket.socket:
        """Return a connection to the server, waiting for one that is just starting."""
        deadline = time.monotonic() + 20
        while True:
            parts = urlsplit(self.target)
            try:
                far = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=20)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                far.settimeout(None)
                return far

    def _carry(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        sent = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE):
                if answers and self._cuts(sent + len(piece)):
                    break
                sink.sendall(piece)
                sent += len(piece)
                if answers:
                    self.carried += len(piece)
                    time.sleep(self.pause)
        for end in (sink, source):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _cuts(self, size: int) -> bool:
        with self._lock:
            if self.cuts > 0 and size > self.limit:
                self.cuts -= 1
                return True
        return False

    def close(self) -> None:
        """Take no more connections, end those there are, and wait for their threads."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            ends = list(self._ends)
        for end in ends:
            end.close()


@contextmanager
def network(target: str, **options: float) -> Iterator[Network]:
    opened = Network(target, **options)  # type: ignore[arg-type]
    try:
        yield opened
    finally:
        opened.close()
