"""The signs of life against a server in this process: what each carries, and when a lease counts as lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import worker.heartbeat
from planner.domain.job import Job, JobKind, JobState, Lease
from planner.errors import LeaseLost, Unavailable
from planner.settings import load_settings
from planner.wire.requests import JobRequest
from planner.workspace import Workspace
from worker.heartbeat import Heartbeat

pytestmark = pytest.mark.worker


class _Flaky:
    """The server, which can be away."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.away = False
        self.beats = 0

    def heartbeat(self, job_id: str, **more: Any) -> Job:
        if self.away:
            raise Unavailable("no server answers")
        self.beats += 1
        return self.workspace.heartbeat(job_id, **more)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with Workspace(load_settings({}, data_dir=tmp_path_factory.mktemp("data"))) as opened:
        yield opened


@pytest.fixture
def server(workspace: Workspace) -> _Flaky:
    return _Flaky(workspace)


@pytest.fixture
def lease(workspace: Workspace) -> Iterator[Lease]:
    job = workspace.create_job(JobRequest(kind=JobKind.MEASURE, spec={"variant": {"from": "reference"}}))
    leased = workspace.lease(worker="w")
    assert leased is not None
    assert leased.job.id == job.id
    yield msgspec.structs.replace(leased, heartbeat_seconds=0.05, lease_seconds=0.2)
    workspace.cancel(job.id)


@pytest.fixture
def heart(server: _Flaky, lease: Lease, tmp_path: Path) -> Iterator[Heartbeat]:
    made: Any = server
    started = Heartbeat(made, lease, threading.Event(), tmp_path / "job.log", draining=threading.Event())
    started.start()
    yield started
    started.end()


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_progress_and_log_go_along(heart, lease, workspace, tmp_path):
    (tmp_path / "job.log").write_text("words\n")
    heart.progress(1.5, "x" * 900)
    _wait(lambda: workspace.job_log(lease.job.id).text == "words\n")
    current = workspace.job(lease.job.id).current
    assert current is not None
    assert (current.progress, current.message) == (1.0, "x" * 500)


def test_what_is_left_of_the_log_is_sent_at_the_end(server, lease, workspace, tmp_path):
    quiet = msgspec.structs.replace(lease, heartbeat_seconds=60)
    heart = Heartbeat(server, quiet, threading.Event(), tmp_path / "job.log", draining=threading.Event())
    (tmp_path / "job.log").write_bytes(b"y" * 99_999 + b"\n")
    heart.flush()
    assert workspace.job_log(lease.job.id).next_offset == 100_000
    assert server.beats == 4


def test_a_server_that_is_away_does_not_end_the_job(heart, server, lease):
    _wait(lambda: server.beats > 0)
    server.away = True
    time.sleep(0.5)  # longer than the lease
    assert heart.lost is None
    assert heart.is_held()
    server.away = False
    beats = server.beats
    _wait(lambda: server.beats > beats)
    assert heart.check()


def test_a_server_that_stays_away_does(heart, server, monkeypatch):
    monkeypatch.setattr(worker.heartbeat, "AWAY_SECONDS", 0.2)
    server.away = True
    _wait(lambda: heart.lost is not None)
    assert "no server answered" in heart.lost
    assert heart._stop.is_set()


def test_a_job_that_is_no_longer_ours_is_stopped(heart, lease, workspace):
    workspace.cancel(lease.job.id)
    _wait(lambda: heart.lost is not None)
    assert "cancelled" in heart.lost
    assert heart._stop.is_set()
    assert not heart.check()


def test_draining_is_told_at_once(server, lease, workspace, tmp_path):
    draining = threading.Event()
    quiet = msgspec.structs.replace(lease, heartbeat_seconds=60)
    heart = Heartbeat(server, quiet, threading.Event(), tmp_path / "job.log", draining=draining)
    heart.start()
    draining.set()
    heart.beat_soon()
    _wait(lambda: workspace.workers().items[0].worker.draining)
    assert workspace.job(lease.job.id).state is JobState.LEASED
    heart.end()
    with pytest.raises(LeaseLost):
        workspace.heartbeat(lease.job.id, token=lease.token + 1)
