"""Fetching a large file, in one stream and in four, against nginx (sendfile) with the same bytes and the same client.

    python -m pytest tests/bench/bench_fetch.py -m bench -s

Three clients: one that reads and drops (what the server can do), the project's own
fetch, which hashes and writes to disk and syncs, and a stock huggingface_hub where it is installed (against nginx: its own
download over HTTP of the same address). The two servers take turns, and the median of the ratios of the pairs counts, since
a machine that does other things too is no faster for one of them. The server's own processor time is printed beside.
"""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import socket
import statistics
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from planner.artifacts.fetch import fetch
from planner.client import Client
from planner.domain.variant import Artifact
from planner.settings import load_settings
from planner.workspace import Workspace
from tests.api.process import Server, running_server
from tests.bench.bench_register import write_large
from tests.bench.bench_upload import nginx, processor_seconds
from tests.workspace.fixtures import data_template

__all__ = ["data_template", "nginx"]

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

ROUNDS = int(os.environ.get("PLANNER_BENCH_ROUNDS", "9"))
GIB = 1 << 30


def read_and_drop(url: str, path: str, size: int, *, headers: str = "") -> None:
    """Read one answer into one buffer, as fast as sockets allow."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 80), timeout=120) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\n{headers}\r\n".encode())
        buffer = memoryview(bytearray(1 << 20))
        count = stream.recv_into(buffer)
        head = bytes(buffer[:count])
        assert b" 200 " in head[:16] or b" 206 " in head[:16], head[:200]
        left = size - (count - head.index(b"\r\n\r\n") - 4)
        while left:
            count = stream.recv_into(buffer)
            assert count, "the answer ended early"
            left -= count


def in_streams(count: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def fetched(url: str, artifact: Artifact, folder: Path) -> None:
    with Client(url) as client:
        fetch(client, [artifact], folder, workers=1)
    shutil.rmtree(folder)


def by_huggingface_hub(url: str, path: str, size: int, target: Path) -> None:
    http_get: Any = importlib.import_module("huggingface_hub.file_download").http_get
    with target.open("wb", buffering=io.DEFAULT_BUFFER_SIZE) as file:
        http_get(f"{url}{path}", file, expected_size=size, displayed_filename="file")
    target.unlink()


def compare(label: str, server: Server, nginx: str, total: int, work: Callable[[str], None]) -> None:
    """Let both servers take turns, print medians and the median of the ratios of the pairs."""
    for url in (nginx, server.url):  # warm
        work(url)
    theirs: list[float] = []
    ours: list[float] = []
    before = processor_seconds(server)
    for number in range(ROUNDS):
        pair = [(nginx, theirs), (server.url, ours)]
        for url, times in pair if number % 2 else reversed(pair):
            started = time.perf_counter()
            work(url)
            times.append(time.perf_counter() - started)
    spent = (processor_seconds(server) - before) / ROUNDS / total * GIB
    ratios = sorted(mine / other for mine, other in zip(theirs, ours, strict=True))
    print(
        f"{label:<34} nginx {total / statistics.median(theirs) / 1e6:6.0f} MB/s, "
        f"registry {total / statistics.median(ours) / 1e6:6.0f} MB/s: "
        f"{statistics.median(ratios):.2f} of nginx ({ratios[0]:.2f} to {ratios[-1]:.2f}), "
        f"{spent:.2f} s of processor a GiB"
    )


def test_fetching(nginx: str, data_template: Path, tmp_path: Path) -> None:
    data_dir = Path(shutil.copytree(data_template, tmp_path / "data"))
    with Workspace(load_settings({}, data_dir=data_dir)) as workspace:
        variant = workspace.register(write_large(tmp_path / "made"), model="bench", name="bench").variant
        assert variant is not None
    artifact = max(variant.artifacts, key=lambda each: each.size)
    (blob,) = [each for each in (data_dir / "blobs").rglob(artifact.sha256) if each.is_file()]
    path = f"/api/v1/artifacts/{artifact.sha256}"
    place = tmp_path / "nginx" / "files" / path.lstrip("/")
    place.parent.mkdir(parents=True)
    place.hardlink_to(blob)
    size = artifact.size
    print()
    with running_server(data_dir) as server:
        print(
            f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {size / 1e6:.0f} MB, {ROUNDS} pairs"
        )
        compare(
            "read and dropped, one stream", server, nginx, size, partial(read_and_drop, path=path, size=size)
        )
        compare(
            "read and dropped, four streams",
            server,
            nginx,
            4 * size,
            lambda url: in_streams(4, partial(read_and_drop, url, path, size)),
        )
        compare(
            "planner fetch: hashed, on disk",
            server,
            nginx,
            size,
            partial(fetched, artifact=artifact, folder=tmp_path / "out"),
        )
        if importlib.util.find_spec("huggingface_hub") is None:
            print("huggingface_hub is not installed: its download is not measured")
            return
        compare(
            "huggingface_hub: to disk",
            server,
            nginx,
            size,
            partial(by_huggingface_hub, path=path, size=size, target=tmp_path / "file"),
        )
