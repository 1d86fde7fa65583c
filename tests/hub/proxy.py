"""A network between client and server that can be slow, cut connections, and lead to another server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit

PIECE = 64 * 1024


class Network:
    """Carries every connection to `target`. The first `cuts` answers that grow past `limit` bytes end there.

    So do the first `request_cuts` connections on which a client sends more than `request_limit` bytes. The first `wrongs`
    pieces of answers past `limit`, and `request_wrongs` pieces of requests past `request_limit`, arrive with a byte changed.
    `carried` and `sent` count what servers and clients have sent.
    """

    def __init__(
        self,
        target: str,
        *,
        limit: int = 0,
        cuts: int = 0,
        pause: float = 0.0,
        request_limit: int = 0,
        request_cuts: int = 0,
        request_pause: float = 0.0,
        wrongs: int = 0,
        request_wrongs: int = 0,
    ) -> None:
        self.target = target
        self.limit, self.cuts, self.pause = limit, cuts, pause
        self.request_limit, self.request_cuts, self.request_pause = request_limit, request_cuts, request_pause
        self.wrongs, self.request_wrongs = wrongs, request_wrongs
        self.carried = 0
        self.sent = 0
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
        sent, cut = 0, False
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE):
                if self._cuts(sent + len(piece), answers):
                    cut = True
                    break
                if self._changes(sent + len(piece), answers):
                    piece = piece[:-1] + bytes([piece[-1] ^ 1])
                sink.sendall(piece)
                sent += len(piece)
                if answers:
                    self.carried += len(piece)
                else:
                    self.sent += len(piece)
                time.sleep(self.pause if answers else self.request_pause)
        for end in (sink, source):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if cut:  # only a closed end refuses what is still being sent to it
            source.close()

    def _cuts(self, size: int, answers: bool) -> bool:
        with self._lock:
            if answers and self.cuts > 0 and size > self.limit:
                self.cuts -= 1
                return True
            if not answers and self.request_cuts > 0 and size > self.request_limit:
                self.request_cuts -= 1
                return True
        return False

    def _changes(self, size: int, answers: bool) -> bool:
        with self._lock:
            if answers and self.wrongs > 0 and size > self.limit:
                self.wrongs -= 1
                return True
            if not answers and self.request_wrongs > 0 and size > self.request_limit:
                self.request_wrongs -= 1
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
def network(target: str, **options: float) -> Generator[Network]:
    opened = Network(target, **options)  # type: ignore[arg-type]
    try:
        yield opened
    finally:
        opened.close()
