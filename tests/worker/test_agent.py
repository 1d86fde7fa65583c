"""The agent against a real server process: real leases, real uploads, real child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import worker.isolation
from planner.client import Client
from planner.domain.job import FailureReason, Job, JobKind, JobState
from planner.errors import Unavailable
from planner.wire.requests import JobRequest
from tests.api.process import Server, running_server
from worker.agent import Agent
from worker.runner import Runner

pytestmark = pytest.mark.worker
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


class _PathClient(Client):
    """A client of a server that does not check jobs, and hands out variants named by a path as paths."""

    def lease(self, **more: Any) -> Any:
        lease = super().lease(**more)
        if lease is None:
            return None
        spec = {field: self._as_path(value) for field, value in lease.job.spec.items()}
        return msgspec.structs.replace(lease, job=msgspec.structs.replace(lease.job, spec=spec))

    @staticmethod
    def _as_path(value: Any) -> Any:
        is_path = isinstance(value, dict) and str(value.get("variant", "")).startswith("/")
        return {"from": "path", "path": value["variant"]} if is_path else value


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with _PathClient(server.url) as opened:
        yield opened
        for job in opened.jobs(state=JobState.QUEUED).items:
            opened.cancel(job.id)


@pytest.fixture
def agent(client: Client, tmp_path: Path) -> Agent:
    return Agent(
        client,
        name="tester",
        capabilities=frozenset({"cpu"}),
        work=tmp_path / "work",
        idle_seconds=0.05,
        allow_paths=True,
    )


def _queue(client: Client, kind: JobKind, *, requires: tuple[str, ...] = (), **spec: Any) -> Job:
    return client.create_job(JobRequest(kind=kind, spec=spec, requires=requires))


def _build(client: Client, base: Path, recipe: str = "bf16", **more: Any) -> Job:
    source = {"from": "registry", "variant": str(base)}
    return _queue(client, JobKind.BUILD, base=source, recipe={"recipe": recipe}, device="cpu", **more)


def _run_until(condition: Any, *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def test_a_variant_is_built_measured_and_evaluated_through_the_server(client, agent, base, tmp_path):
    jobs = [_build(client, base, "bf16"), _build(client, base, "int8_weight_only")]
    assert [agent.run(once=True) for _ in jobs] == [1, 1]
    done = [client.job(job.id) for job in jobs]
    assert [job.state for job in done] == [JobState.SUCCEEDED] * 2
    baseline, variant = (str(job.result["variant_id"]) for job in done if job.result is not None)
    registered = client.variant(variant)
    assert registered.model_id == "tiny-llama"
    assert registered.provenance.recipe == "int8_weight_only"
    assert registered.scheme.name == "int8"
    source = {"from": "registry", "variant": variant}
    evidence = [
        _queue(
            client,
            JobKind.MEASURE,
            variant=source,
            conditions={
                "device": "cpu",
                "threads": 1,
                "workloads": [{"input_tokens": 8, "output_tokens": 4}],
                "repetition": {"budget_seconds": 0.1},
            },
        ),
        _queue(
            client,
            JobKind.EVALUATE,
            variant=source,
            baseline={"from": "registry", "variant": baseline[:20]},
            limit=4,
            device="cpu",
        ),
    ]
    assert [agent.run(once=True) for _ in evidence] == [1, 1]
    assert [client.job(job.id).state for job in evidence] == [JobState.SUCCEEDED] * 2
    (profile,) = client.profiles(variant=variant).items
    assert profile.environment.versions["torch"]
    assert client.device(profile.device_id).kind.value == "cpu"
    (evaluation,) = client.evaluations(variant=variant).items
    assert evaluation.baseline_variant_id == baseline
    assert evaluation.items == 4
    # fetched files stay in the cache, job folders do not
    assert list((tmp_path / "work" / "cache" / "variants").iterdir())
    assert not list((tmp_path / "work" / "jobs").iterdir())


def test_the_same_build_again_uploads_nothing_and_changes_nothing(client, agent, base):
    ids = set()
    for _ in range(2):
        job = _build(client, base, "fp32")
        assert agent.run(once=True) == 1
        result = client.job(job.id).result
        assert result is not None
        ids.add(result["variant_id"])
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("kind", "spec", "reason", "message"),
    [
        (JobKind.BUILD, {"base": {"from": "reference"}, "recipe": {"recipe": "none"}}, "invalid_job", "none"),
        (JobKind.MEASURE, {"variant": {"from": "registry", "variant": "absent"}}, "invalid_job", "absent"),
        (
            JobKind.EVALUATE,
            {"variant": {"from": "reference"}, "baseline": {"from": "registry", "variant": "/absent"}},
            "invalid_job",
            "baseline",
        ),
    ],
)
def test_a_job_that_cannot_be_done_fails_with_its_reason(client, agent, kind, spec, reason, message):
    job = _queue(client, kind, **spec)
    assert agent.run(once=True) == 0
    ended = client.job(job.id)
    assert ended.state is JobState.FAILED
    failure = ended.attempts[-1].failure
    assert failure is not None
    assert failure.reason == reason
    assert message in failure.message


def test_a_corrupt_base_fails_with_the_end_of_the_log(client, agent, base_copy):
    weights = base_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    job = _build(client, base_copy)
    agent.run(once=True)
    failure = client.job(job.id).attempts[-1].failure
    assert failure is not None
    assert failure.reason is FailureReason.ARTIFACT_CORRUPT
    assert str(failure.log_tail).endswith(f"error: {failure.message}")


def test_paths_of_this_machine_are_refused_by_default(client, base, tmp_path):
    job = _build(client, base)
    Agent(client, name="strict", capabilities=frozenset(), work=tmp_path).run(once=True)
    failure = client.job(job.id).attempts[-1].failure
    assert failure is not None
    assert "path of the worker's machine" in failure.message


def test_jobs_that_need_more_are_left_to_others(client, agent, base):
    job = _queue(
        client, JobKind.BUILD, requires=("cuda",), base={"from": "reference"}, recipe={"recipe": "bf16"}
    )
    assert agent.run(once=True) == 0
    assert client.job(job.id).state is JobState.QUEUED


def test_no_job_is_no_failure(agent):
    assert agent.run(once=True) == 0


def test_a_server_that_is_away_is_waited_for_unless_only_one_job_is_wanted(tmp_path):
    with Client("http://127.0.0.1:9") as client:
        agent = Agent(client, name="x", capabilities=frozenset(), work=tmp_path, idle_seconds=0.05)
        with pytest.raises(Unavailable):
            agent.run(once=True)
        threading.Timer(0.3, agent.end).start()
        assert agent.run() == 0


class _SlowRunner(Runner):
    """A runner whose job lasts until it is stopped, in a real child process."""

    def _dispatch(self, spec: Any, out: Path, report: Any) -> Any:
        from tests.worker import child_functions

        return self._child(
            child_functions.hang, str(out / "pid"), device="cpu", out=out, report=report, timeout=120
        )


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.agent.Runner", _SlowRunner)
    monkeypatch.setattr(worker.isolation, "GRACE_SECONDS", 0.2)


class _HastyClient(Client):
    """A client whose server asks for heartbeats every 50 ms."""

    def lease(self, **more: Any) -> Any:
        lease = super().lease(**more)
        return lease and msgspec.structs.replace(lease, heartbeat_seconds=0.05)


@pytest.fixture
def hasty(server: Server, tmp_path: Path) -> Iterator[Agent]:
    with _HastyClient(server.url) as client:
        yield Agent(client, name="hasty", capabilities=frozenset(), work=tmp_path / "work", idle_seconds=0.05)


def _start(agent: Agent) -> threading.Thread:
    thread = threading.Thread(target=agent.run, kwargs={"once": True})
    thread.start()
    return thread


def test_heartbeats_carry_progress_and_a_cancelled_job_is_stopped(client, hasty, slow):
    job = _queue(client, JobKind.BUILD, base={"from": "reference"}, recipe={"recipe": "bf16"})
    thread = _start(hasty)
    _run_until(lambda: (current := client.job(job.id).current) is not None and current.message == "hanging")
    current = client.job(job.id).current
    assert current is not None
    assert current.progress == pytest.approx(0.1)
    client.cancel(job.id)
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert client.job(job.id).state is JobState.CANCELLED


def test_a_worker_that_is_asked_to_end_gives_its_job_back(client, hasty, slow):
    job = _queue(client, JobKind.BUILD, base={"from": "reference"}, recipe={"recipe": "bf16"})
    thread = _start(hasty)
    _run_until(lambda: (current := client.job(job.id).current) is not None and current.message == "hanging")
    hasty.end()
    thread.join(timeout=20)
    assert not thread.is_alive()
    ended = client.job(job.id)
    assert ended.state is JobState.QUEUED
    assert ended.attempts[-1].failure is not None
    assert ended.attempts[-1].failure.reason is FailureReason.GIVEN_BACK


def test_the_command_works_off_a_job_and_ends_on_sigterm(server, client, tmp_path):
    job = _queue(client, JobKind.BUILD, base={"from": "reference"}, recipe={"recipe": "bf16"}, device="cpu")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "worker.cli",
            "run",
            "--server",
            server.url,
            "--work",
            str(tmp_path),
            "--idle",
            "0.1",
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
    )
    try:
        _run_until(lambda: client.job(job.id).state.is_final)
        assert client.job(job.id).state is JobState.SUCCEEDED
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        _, stderr = process.communicate()
    assert "completed" in stderr
