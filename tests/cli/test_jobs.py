"""`planner jobs`: what waits, logs, following, parking and workers."""

from __future__ import annotations

import json
import threading
import time

import pytest

from planner.domain.job import Failure, FailureReason
from planner.domain.job_log import LogChunk
from planner.errors import Draining


@pytest.fixture
def job_file(tmp_path):
    path = tmp_path / "job.json"
    path.write_text(
        json.dumps({"kind": "build", "base": {"from": "reference"}, "recipe": {"recipe": "bf16"}})
    )
    return str(path)


@pytest.fixture
def service(data_dir):
    from planner.settings import load_settings
    from planner.workspace import Workspace

    with Workspace(load_settings({}, data_dir=data_dir)) as opened:
        yield opened
        for job in opened.jobs(limit=200).items:
            opened.cancel(job.id)


def _beat(service, lease, start, text, **more):
    chunk = LogChunk(start=start, end=start + len(text.encode()), text=text)
    service.heartbeat(lease.job.id, token=lease.token, log=chunk, **more)


def test_a_job_that_waits_says_for_what(run, service, job_file):
    made = json.loads(run("jobs", "--create", job_file, "--require", "vram>=80GiB", "--json")[1])
    assert made["requires"] == ["vram>=80GiB"]
    service.lease(worker="small", capabilities=frozenset({"vram:8.0GiB"}))
    assert "meets vram>=80GiB" in run("jobs", "--state", "queued")[1]
    assert "meets vram>=80GiB" in run("jobs", made["id"])[1]
    code, _, err = run("jobs", "--create", job_file, "--require", "vram>=80")
    assert code == 2
    assert "no unit" in err


def test_a_log_is_printed_for_each_attempt(run, service, job_file):
    made = json.loads(run("jobs", "--create", job_file, "--json")[1])
    assert "not tried yet" in run("jobs", made["id"], "--log")[2]
    lease = service.lease(worker="a")
    _beat(service, lease, 0, "first words\n")
    _beat(service, lease, 100, "after a gap")
    log = run("jobs", made["id"], "--log")[1]
    assert log == "first words\n[… 88 bytes truncated …]\nafter a gap\n"
    failure = Failure(reason=FailureReason.NETWORK, message="no server")
    service.fail(made["id"], token=lease.token, failure=failure)
    again = service.lease(worker="b")
    _beat(service, again, 0, "again\n")
    assert run("jobs", made["id"], "--log")[1] == "again\n"
    document = json.loads(run("jobs", made["id"], "--log", "--attempt", "1", "--json")[1])
    assert (document["attempt"], document["ended"], document["truncated"]) == (1, True, True)
    assert "network: no server" in run("jobs", made["id"])[1]


def test_a_job_is_followed_to_its_end_over_attempts(run, service, job_file, monkeypatch):
    monkeypatch.setattr("planner.cli.render.jobs.POLL_SECONDS", 0.05)
    made = json.loads(run("jobs", "--create", job_file, "--json")[1])
    first = service.lease(worker="a")
    _beat(service, first, 0, "one\n", progress=0.3, message="half")

    def work():
        time.sleep(0.3)
        failure = Failure(reason=FailureReason.NETWORK, message="no server")
        service.fail(made["id"], token=first.token, failure=failure)
        time.sleep(0.3)
        second = service.lease(worker="b")
        _beat(service, second, 0, "two\n")
        time.sleep(0.3)
        service.complete(made["id"], token=second.token, result={})

    worker = threading.Thread(target=work)
    worker.start()
    code, out, err = run("jobs", made["id"], "--follow")
    worker.join()
    assert code == 0
    assert out.splitlines() == ["one", "— attempt 2 on b —", "two"]
    assert "succeeded" in err


def test_following_a_job_that_does_not_succeed_is_a_failure(run, service, job_file):
    made = json.loads(run("jobs", "--create", job_file, "--json")[1])
    service.cancel(made["id"])
    code, out, _ = run("jobs", made["id"], "--follow", "--json")
    assert code == 1
    assert json.loads(out)["state"] == "cancelled"


def test_a_parked_job_is_shown_with_its_evidence_and_released(run, service, job_file):
    made = json.loads(run("jobs", "--create", job_file, "--json")[1])
    for worker in ("a", "b"):
        lease = service.lease(worker=worker)
        failure = Failure(
            reason=FailureReason.CRASHED, message="ended by SIGSEGV", log_tail=f"last words on {worker}"
        )
        service.fail(made["id"], token=lease.token, failure=failure)
    assert "ended alike" in run("jobs", "--state", "parked")[1]
    shown = run("jobs", made["id"])[1]
    for part in ("parked", "last words on a", "last words on b", "--release"):
        assert part in shown
    assert json.loads(run("jobs", "--release", made["id"], "--json")[1])["state"] == "queued"
    code, _, err = run("jobs", "--release", made["id"])
    assert code == 1
    assert "not parked" in err


def test_workers_are_listed_drained_and_resumed(run, service, job_file):
    service.lease(worker="gpu-7", capabilities=frozenset({"cuda", "vram:23.5GiB"}))
    listed = run("jobs", "--workers")[1]
    assert "gpu-7" in listed
    assert "vram:23.5GiB" in listed
    assert json.loads(run("jobs", "--drain", "gpu-7", "--json")[1])["state"] == "draining"
    with pytest.raises(Draining):
        service.lease(worker="gpu-7")
    assert "idle" in run("jobs", "--resume", "gpu-7")[1]
    code, _, err = run("jobs", "--drain", "gpu7")
    assert code == 2
    assert "gpu-7" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--cancel",),
        ("--log",),
        ("--follow",),
        ("x", "--workers"),
        ("x", "--release", "y"),
        ("x", "--attempt", "1"),
        ("--require", "cuda"),
        ("x", "--cancel", "--log"),
        ("--workers", "--follow"),
    ],
)
def test_options_that_do_not_go_together_are_usage_errors(run, arguments):
    code, _, err = run("jobs", *arguments)
    assert code == 2
    assert "allowed" in err
