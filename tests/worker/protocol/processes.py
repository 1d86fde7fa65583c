"""Real processes for fault tests: a server with short leases, workers, and a proxy whose network can be cut."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from planner.client import Client
from planner.domain.job import Job, JobKind
from planner.wire.requests import JobRequest

ROOT = Path(__file__).resolve().parents[3]
LEASE_SECONDS = 1.5

_SERVE = """
import resource, sys
from pathlib import Path
from planner.domain import job
job.LEASE_SECONDS, job.HEARTBEAT_SECONDS, job.ELSEWHERE_SECONDS = float(sys.argv[3]), 0.2, 0.3
if int(sys.argv[4]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
from planner.api.serve import serve
from planner.settings import load_settings
serve(load_settings({}, data_dir=Path(sys.argv[1]), port=int(sys.argv[2])), ready=lambda url: print(url, flush=True), grace_seconds=1)
"""


class Server:
    """A server process that can be killed and started again on the same port and data."""

    def __init__(
        self, data_dir: Path, *, lease_seconds: float = LEASE_SECONDS, largest_file: int = 0
    ) -> None:
        self.data_dir = data_dir
        self._arguments = (str(lease_seconds), str(largest_file))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, "-c", _SERVE, str(self.data_dir), str(self.port), *self._arguments]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == self.url

    def kill(self) -> None:
        """End it as a power failure would."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()
        self._process = None

    def close(self) -> None:
        if self._process is not None:
            self.kill()


class Worker:
    """A worker process; see `lab_worker` for what its jobs do."""

    def __init__(self, url: str, work: Path, *, name: str, log: Path) -> None:
        self.work = work
        self.log = log
        command = [sys.executable, "-m", "tests.worker.protocol.lab_worker", url, str(work), name]
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stderr=file, stdout=file, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def said(self) -> str:
        return self.log.read_text()


class Proxy:
    """A TCP proxy: `cut` drops every connection and takes no new one; `hold` stops where the client sends `marker`."""

    def __init__(self, port: int) -> None:
        self._upstream = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_cut = False
        self._marker: bytes | None = None
        self.held = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def heal(self) -> None:
        self._is_cut = False

    def hold(self, marker: bytes) -> None:
        self._marker = marker

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                client.close()
                continue
            try:
                server = socket.create_connection(self._upstream)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_request: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_request and self._marker is not None and self._marker in data:
                    target.sendall(data[: data.index(self._marker) + len(self._marker)])
                    self.held.set()
                    threading.Event().wait()  # the rest never comes: the daemon thread ends with the test
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def lab(folder: Path, **server: float) -> Iterator[Lab]:
    """A running server with what it takes to work for it; everything is ended afterwards."""
    opened = Lab(folder, Server(folder / "data", **server))  # type: ignore[arg-type]  # the server's own options
    try:
        yield opened
    finally:
        opened.close()


class Lab:
    """One server, its client, and the workers and proxies that a test starts."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self.server = server
        server.start()
        self.client = Client(server.url)
        self._workers: list[Worker] = []
        self._proxies: list[Proxy] = []

    def worker(self, name: str, *, url: str | None = None, work: Path | None = None) -> Worker:
        started = Worker(
            url or self.server.url, work or self.folder / name, name=name, log=self.folder / f"{name}.log"
        )
        self._workers.append(started)
        return started

    def proxy(self) -> Proxy:
        started = Proxy(self.server.port)
        self._proxies.append(started)
        return started

    def queue(self, behaviour: str, *, attempts: int = 3) -> Job:
        """Queue a job that does what `lab_worker` calls `behaviour`."""
        spec = {"base": {"from": "reference"}, "recipe": {"recipe": "bf16"}, "name": behaviour}
        return self.client.create_job(JobRequest(kind=JobKind.BUILD, spec=spec, max_attempts=attempts))

    def wait(self, condition: Callable[[], bool], *, seconds: float = 90.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"it took too long:\n{self._logs()}")
            time.sleep(0.05)

    def wait_until(self, job: Job, is_so: Callable[[Job], bool]) -> Job:
        """Return the job once `is_so` of it."""
        self.wait(lambda: is_so(self.client.job(job.id)))
        return self.client.job(job.id)

    def runs(self, job: Job, worker: str) -> Job:
        """Return the job once this worker runs it and has said so."""
        return self.wait_until(
            job,
            lambda now: (
                now.current is not None and now.current.worker == worker and now.current.message is not None
            ),
        )

    def _logs(self) -> str:
        return "\n".join(f"--- {each.log.name}\n{each.said()[-3000:]}" for each in self._workers)

    def end_workers(self) -> None:
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.kill()
        self._workers.clear()

    def close(self) -> None:
        self.end_workers()
        for proxy in self._proxies:
            proxy.close()
        self.client.close()
        self.server.close()
