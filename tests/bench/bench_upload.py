"""Uploading a large file in one stream, against nginx (WebDAV PUT) with the same bytes and the same client.

python -m pytest tests/bench/bench_upload.py -m bench -s; PLANNER_BENCH_MIB sets the file's size. nginx neither hashes nor
syncs; the registry does both before it answers. The three ways take turns and each one's median counts, since a machine
that does other things too is no faster for one of them. The server's own processor time is printed beside.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import httpx
import pytest

from tests.api.process import Server, running_server
from tests.hub.by_hand import Pusher
from tests.workspace.fixtures import data_template

__all__ = ["data_template"]

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

MIB = int(os.environ.get("PLANNER_BENCH_MIB", "256"))
ROUNDS = 5

NGINX = """
{user} daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  sendfile on; access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; client_max_body_size 0; root {folder}/files;
            location / {{ dav_methods PUT; create_full_put_path on; }} }}
}}
"""


class Slice:
    """A part of an open file, as http.client reads it."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file, self._left = file, length

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(min(self._left, max(size, 1 << 20)))
        self._left -= len(piece)
        return piece


def put(url: str, file: BinaryIO, length: int) -> str | None:
    """Send the next `length` bytes of a file in one request; return the entity tag of the answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    try:
        connection.request(
            "PUT", parts.path, body=Slice(file, length), headers={"Content-Length": str(length)}
        )
        answer = connection.getresponse()
        assert answer.status < 300, answer.read()
        answer.read()
        return answer.getheader("etag")
    finally:
        connection.close()


def processor_seconds(server: Server) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[str]:
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).exists():
        pytest.skip("nginx is not installed")
    folder = tmp_path / "nginx"
    (folder / "files").mkdir(parents=True)
    user = "user root;" if os.geteuid() == 0 else ""  # its workers would give up the right to this folder
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "conf").write_text(NGINX.format(folder=folder, port=port, user=user))
    with subprocess.Popen([program, "-c", str(folder / "conf"), "-p", str(folder)]) as process:
        try:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                try:
                    httpx.get(f"http://127.0.0.1:{port}/")
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=20)


def renew(source: Path) -> str:
    """Write other bytes, so that no side has seen them; return their hash."""
    hasher = hashlib.sha256()
    with source.open("wb") as file:
        for _ in range(MIB):
            piece = os.urandom(1 << 20)
            hasher.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return hasher.hexdigest()


def test_one_stream(nginx: str, data_template: Path, tmp_path: Path) -> None:
    source, data_dir = tmp_path / "source", Path(shutil.copytree(data_template, tmp_path / "data"))
    size = MIB << 20
    seconds: dict[str, list[float]] = {"nginx": [], "whole": [], "in parts": []}
    processor: dict[str, float] = dict.fromkeys(seconds, 0.0)
    with running_server(data_dir) as server:
        pusher = Pusher(server.url)

        def to_nginx(_: str) -> None:
            with source.open("rb") as file:
                put(f"{nginx}/file", file, size)

        def asked(oid: str, *transfers: str) -> dict[str, Any]:
            wanted = {"operation": "upload", "transfers": transfers, "objects": [{"oid": oid, "size": size}]}
            answer = pusher.http.post("/acme/by-hand.git/info/lfs/objects/batch", json=wanted).json()
            return dict(answer["objects"][0]["actions"]["upload"])

        def whole(oid: str) -> None:
            with source.open("rb") as file:
                put(asked(oid, "basic")["href"], file, size)

        def in_parts(oid: str) -> None:
            upload = asked(oid, "basic", "multipart")
            length = int(upload["header"].pop("chunk_size"))
            parts: list[dict[str, object]] = []
            with source.open("rb") as file:
                for number in range(1, len(upload["header"]) + 1):
                    etag = put(upload["header"][str(number)], file, min(length, size - file.tell()))
                    parts.append({"partNumber": number, "etag": etag})
            done = pusher.http.post(upload["href"], json={"oid": oid, "parts": parts}, timeout=60)
            done.raise_for_status()

        for _ in range(ROUNDS):
            for name, send in (("nginx", to_nginx), ("whole", whole), ("in parts", in_parts)):
                oid = renew(source)
                before, started = processor_seconds(server), time.perf_counter()
                send(oid)
                seconds[name].append(time.perf_counter() - started)
                processor[name] += processor_seconds(server) - before
    Pusher.close_all()
    theirs = statistics.median(seconds["nginx"])
    print()
    for name, each in seconds.items():
        median = statistics.median(each)
        print(
            f"{name}: {MIB / median:.0f} MiB/s ({MIB / max(each):.0f} to {MIB / min(each):.0f}), "
            f"{theirs / median:.2f} of nginx, {processor[name] / ROUNDS / MIB * 1024:.2f} s of processor a GiB"
        )
