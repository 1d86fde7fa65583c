"""Speed over a real socket: answers per second, and bytes registered and fetched against a plain copy of the same bytes.

    python -m pytest tests/bench/bench_server.py -m bench -s

Client and server share the machine, so the figures are what one machine does for itself.
"""

from __future__ import annotations

import http.client
import os
import shutil
import statistics
import struct
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from planner.artifacts.fetch import fetch
from planner.client import Client
from planner.domain.variant import Artifact
from planner.settings import load_settings
from planner.workspace import Workspace
from tests.api.process import Server, running_server
from tests.workspace.folders import write_llama

pytestmark = pytest.mark.bench

QUERIES = {
    "answered": "13B on 24GB, <=1% loss",
    "infeasible": "70B on 8GB, <=1% loss",
    "any model": "most accurate on 24GB, <=2% loss",
}
SECONDS = 4.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("bench") / "data"
    Workspace(load_settings({}, data_dir=folder)).close()
    with running_server(folder) as running:
        yield running


def load(url: str, path: str, clients: int) -> tuple[list[float], float]:
    """Return the seconds each request took and the seconds in all, with `clients` closed loops."""
    parts = urlsplit(url)
    times: list[list[float]] = [[] for _ in range(clients)]
    end = time.perf_counter() + SECONDS

    def work(mine: list[float]) -> None:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        while (start := time.perf_counter()) < end:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            mine.append(time.perf_counter() - start)
        connection.close()

    threads = [threading.Thread(target=work, args=(mine,)) for mine in times]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [seconds for mine in times for seconds in mine], time.perf_counter() - start


def cpu_seconds(server: Server) -> float:
    """Return the processor time the server has used, which a busy machine does not inflate as it does latency."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(server: Server, label: str, path: str, clients: int) -> None:
    before = cpu_seconds(server)
    times, seconds = load(server.url, path, clients)
    report(f"{label}, {clients} clients", times, seconds, (cpu_seconds(server) - before) / len(times))


def report(label: str, times: list[float], seconds: float, cpu: float) -> None:
    ordered = sorted(times)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(
        f"{label:<34} p50 {statistics.median(ordered) * 1e3:7.2f} ms   p99 {p99 * 1e3:7.2f} ms   "
        f"{len(times) / seconds:7.0f} req/s   {cpu * 1e3:6.2f} ms CPU each   ({len(times)} requests)"
    )


@pytest.mark.parametrize("clients", [1, 4])
def test_recommend(server: Server, clients: int) -> None:
    print()
    load(server.url, "/api/v1/health", 1)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    measure(server, "health", "/api/v1/health", clients)
    for label, query in QUERIES.items():
        measure(server, f"recommend {label}", f"/api/v1/recommend?q={quote(query)}", clients)
    measure(server, "variants page", "/api/v1/variants?limit=50", clients)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def plain_copy(source: Path, target: Path) -> None:
    """Copy a folder and make it durable, as registering and fetching do."""
    shutil.copytree(source, target)
    for file in target.iterdir():
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


ROUNDS = 3


def renewed(folder: Path, number: int) -> Path:
    """Give the weights bytes that were never seen before."""
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-8, os.SEEK_END)
        file.write(struct.pack("<ff", 0.001 * number, 0.002))
    return folder


def test_bytes(server: Server, tmp_path: Path) -> None:
    """A variant of about 320 MB; the best of three rounds, since others use the machine too."""
    print()
    folder = write_llama(tmp_path / "model", dtype="F32", hidden=2048, layers=6)
    size = sum(path.stat().st_size for path in folder.iterdir())
    seconds: dict[str, list[float]] = {}

    def time_it(label: str, work: Callable[[], object]) -> None:
        seconds.setdefault(label, []).append(timed(work))

    with Client(server.url) as client, Workspace(load_settings({}, data_dir=tmp_path / "data")) as workspace:
        for number in range(ROUNDS):
            renewed(folder, number)
            time_it("plain copy with fsync", partial(plain_copy, folder, tmp_path / "copy"))
            time_it("register in process, first", partial(workspace.register, folder, model="bench"))
            time_it("register in process, again", partial(workspace.register, folder))
            time_it("register over HTTP, first", partial(client.register, folder, model="bench"))
            time_it("register over HTTP, again", partial(client.register, folder))
            artifacts = client.variant(client.register(folder).digest).artifacts
            time_it("read over HTTP, not written", partial(read_all, client, artifacts))
            for workers in (1, 4):
                target = tmp_path / "fetched"
                time_it(
                    f"fetch over HTTP, {workers} workers",
                    partial(fetch, client, artifacts, target, workers=workers),
                )
                shutil.rmtree(target)
            shutil.rmtree(tmp_path / "copy")
    copied = min(seconds["plain copy with fsync"])
    print(
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {size / 1e6:.0f} MB, best of {ROUNDS}"
    )
    for label, each in seconds.items():
        print(
            f"{label:<34} {min(each):6.2f} s  {size / min(each) / 1e6:6.0f} MB/s  {copied / min(each):5.2f} of the copy"
        )


def read_all(client: Client, artifacts: tuple[Artifact, ...]) -> None:
    """Receive every byte and drop it."""
    for artifact in artifacts:
        for _ in client.read(artifact, 0):
            pass
