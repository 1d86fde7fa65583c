"""serve(settings): the server as one process under uvicorn."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import uvicorn
from litestar import Litestar

from planner.api.app import create_app
from planner.api.authentication import check_exposure
from planner.errors import Unavailable
from planner.settings import Settings, load_settings

GRACE_SECONDS: Final = 10
"""How long requests may take to end after the server was asked to stop."""
BACKLOG: Final = 1024
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)


def serve(
    settings: Settings, *, ready: Callable[[str], None] | None = None, grace_seconds: int = GRACE_SECONDS
) -> None:
    """Serve until SIGINT or SIGTERM; `ready` gets the URL once requests are answered. Prints nothing itself.

    Port 0 picks a free one. Raises InvalidInput when others could reach a server that asks for no token, Unavailable when the address cannot be listened on, and whatever opening the
    workspace raises.
    """
    check_exposure(settings)
    with _listen(settings) as listener:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        server = _Server(_config(settings, grace_seconds), lambda: ready and ready(f"http://{shown}:{port}"))
        server.run(sockets=[listener])
        if not server.started:
            raise Unavailable("the server did not start; its log says why")


def application() -> Litestar:
    """Return the app of the environment's settings, for another ASGI server: `granian --factory planner.api.serve:application`."""
    settings = load_settings(os.environ)
    check_exposure(settings)
    return create_app(settings, freeze=True)


def _config(settings: Settings, grace_seconds: int) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(settings, freeze=True),
        log_level=settings.log_level if settings.log_level != "info" else "warning",
        access_log=settings.log_level == "debug",
        lifespan="on",
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=grace_seconds,
        h11_max_incomplete_event_size=64 * 1024,
    )


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named TCP, since asyncio turns Nagle's algorithm off for such sockets only; with it every answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        listener.close()
        raise Unavailable(
            f"cannot listen on {settings.host} port {settings.port}: {getattr(error, 'strerror', None) or error}",
            hint="another server may be using the port; choose one with --port, or 0 for a free one",
        ) from error
    return listener


class _Server(uvicorn.Server):
    """Tells when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop on SIGINT and SIGTERM, and return: uvicorn would raise the signal again, as if it had not been heeded."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _STOPPING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()
