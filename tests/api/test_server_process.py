from __future__ import annotations

import hashlib
import http.client
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from planner.artifacts.fetch import fetch
from planner.client import Client
from planner.errors import Unavailable
from tests.api.process import running_server
from tests.workspace.folders import write_llama

BIG = os.urandom(1 << 20) * 24
DIGEST = hashlib.sha256(BIG).hexdigest()


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def half_an_upload(url: str, body: bytes) -> socket.socket:
    """Send the first half of an upload and leave the connection open."""
    connection = socket.create_connection(address(url), timeout=30)
    digest = hashlib.sha256(body).hexdigest()
    head = (
        f"PUT /api/v1/artifacts/{digest} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body[: len(body) // 2])
    return connection


def staged(data_dir: Path) -> list[Path]:
    return [path for path in (data_dir / "blobs").rglob("*") if path.is_file()]


def wait_for(condition: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def test_killed_during_an_upload_leaves_nothing_half_visible(data_dir: Path) -> None:
    with running_server(data_dir) as server:
        connection = half_an_upload(server.url, BIG)
        wait_for(lambda: any(path.stat().st_size > 1 << 20 for path in staged(data_dir)))
        server.kill()
        connection.close()
    with running_server(data_dir) as server, Client(server.url) as client:
        assert client.missing([DIGEST]) == (DIGEST,)
        assert client.health().ok
        sent = client.upload(iter([BIG[:100], BIG[100:]]), sha256=DIGEST, size=len(BIG))
        assert sent.created
        assert b"".join(client.open_artifact(DIGEST)) == BIG


def test_a_client_that_goes_away_leaves_nothing(data_dir: Path) -> None:
    with running_server(data_dir) as server, Client(server.url) as client:
        half_an_upload(server.url, BIG).close()
        wait_for(lambda: not staged(data_dir))
        assert client.missing([DIGEST]) == (DIGEST,)


def test_killed_during_registration_then_resumed(data_dir: Path, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "tiny", hidden=512, layers=8)
    with running_server(data_dir) as server, Client(server.url) as client:
        killer = threading.Timer(0.0, server.kill)

        def progress(done: int, total: int) -> None:
            if done > total * 0.6 and server.process.poll() is None:
                killer.run()

        with pytest.raises(Unavailable):
            client.register(folder, model="tiny", progress=progress)
    with running_server(data_dir) as server, Client(server.url) as client:
        done = client.register(folder, model="tiny")
        assert done.created
        again = client.register(folder, model="tiny")
        assert (again.created, again.bytes_new) == (False, 0)
        assert done.variant is not None
        report = fetch(client, done.variant.artifacts, tmp_path / "copy")
        assert report.bytes_total == done.bytes_total
        for file in folder.iterdir():
            assert (tmp_path / "copy" / file.name).read_bytes() == file.read_bytes()


def test_head_over_a_socket(data_dir: Path) -> None:
    with running_server(data_dir) as server:
        with Client(server.url) as client:
            client.upload(iter([BIG]), sha256=DIGEST, size=len(BIG))
        connection = http.client.HTTPConnection(*address(server.url), timeout=30)
        for headers, status, length in (({}, 200, len(BIG)), ({"Range": "bytes=-5"}, 206, 5)):
            connection.request("HEAD", f"/api/v1/artifacts/{DIGEST}", headers=headers)
            answer = connection.getresponse()
            assert (answer.status, answer.getheader("content-length"), answer.read()) == (
                status,
                str(length),
                b"",
            )
        connection.close()


def test_many_clients_at_once(data_dir: Path, tmp_path: Path) -> None:
    """The same variant registered by eight clients at once is one variant, and all of them can ask meanwhile."""
    folder = write_llama(tmp_path / "tiny")
    with running_server(data_dir) as server:

        def work(number: int) -> tuple[str, bool, int]:
            with Client(server.url) as client:
                done = client.register(folder, model="tiny", name=f"name-{number}")
                plan = client.recommend(query="7B on 24GB")
                assert client.replay(plan.id).identical
                return done.digest, done.created, plan.revision

        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(work, range(8)))
        assert len({digest for digest, _, _ in results}) == 1
        assert sum(created for _, created, _ in results) == 1
        with Client(server.url) as client:
            assert len({row.id for row in client.plans(limit=200).items}) == 8


def test_a_job_is_leased_once(data_dir: Path) -> None:
    from planner.domain.job import JobKind
    from planner.wire.requests import JobRequest

    with running_server(data_dir) as server, Client(server.url) as client:
        spec = {"base": {"from": "reference"}, "recipe": {"recipe": "bf16"}}
        jobs = {client.create_job(JobRequest(kind=JobKind.BUILD, spec=spec)).id for _ in range(12)}

        def worker(number: int) -> list[str]:
            taken: list[str] = []
            with Client(server.url) as mine:
                while lease := mine.lease(worker=f"w{number}"):
                    mine.heartbeat(lease.job.id, token=lease.token, progress=0.5)
                    mine.complete(lease.job.id, token=lease.token, result={"worker": number})
                    taken.append(lease.job.id)
            return taken

        with ThreadPoolExecutor(4) as pool:
            taken = [job for done in pool.map(worker, range(4)) for job in done]
        assert sorted(taken) == sorted(jobs)


def test_stops_gracefully_and_answers_what_it_has(data_dir: Path) -> None:
    with running_server(data_dir) as server:
        connection = half_an_upload(server.url, BIG)
        wait_for(lambda: bool(staged(data_dir)))
        server.process.terminate()
        time.sleep(0.3)
        connection.sendall(BIG[len(BIG) // 2 :])
        assert connection.recv(100).startswith(b"HTTP/1.1 201")
        connection.close()
        assert server.process.wait(timeout=30) == 0
        assert server.process.stdout is not None
        assert server.process.stderr is not None
        assert server.process.stdout.read() == ""
        assert server.process.stderr.read() == ""


def test_stops_although_an_upload_stalls(data_dir: Path) -> None:
    with running_server(data_dir) as server:
        connection = half_an_upload(server.url, BIG)
        wait_for(lambda: bool(staged(data_dir)))
        server.process.terminate()
        assert server.process.wait(timeout=20) == 0
        connection.close()
    assert staged(data_dir) == []


def test_slow_uploads_do_not_hold_up_the_rest(data_dir: Path) -> None:
    with running_server(data_dir) as server, Client(server.url) as client:
        bodies = [BIG[: 2 << 20] + bytes([number]) for number in range(24)]
        connections = [half_an_upload(server.url, body) for body in bodies]
        start = time.monotonic()
        for _ in range(5):
            assert client.recommend(query="7B on 24GB").id
        assert time.monotonic() - start < 10
        for connection, body in zip(connections, bodies, strict=True):
            connection.sendall(body[len(body) // 2 :])
        for connection in connections:
            assert connection.recv(100).startswith(b"HTTP/1.1 201")
            connection.close()


def test_a_taken_port_is_an_error_with_a_hint(data_dir: Path) -> None:
    from planner.api.serve import serve
    from planner.settings import load_settings

    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = load_settings({}, data_dir=data_dir, port=taken.getsockname()[1])
        with pytest.raises(Unavailable, match="cannot listen") as caught:
            serve(settings)
    assert "--port" in caught.value.details["hint"]


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /api/v1/health HTTP/1.1\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"\x16\x03\x01\x00\xa5",
        b"GET /api/v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_hardly_http(data_dir: Path, raw: bytes) -> None:
    with running_server(data_dir) as server:
        with socket.create_connection(address(server.url), timeout=10) as connection:
            answer = b""
            try:  # a server that has seen enough may hang up at any moment
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
                while part := connection.recv(65536):
                    answer += part
            except OSError:
                pass
        assert b" 500 " not in answer.split(b"\r\n")[0]
        with Client(server.url) as client:
            assert client.health().ok
