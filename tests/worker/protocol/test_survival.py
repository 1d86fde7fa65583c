"""The protocol when things break: real workers and servers killed, networks cut, disks full, memory gone."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.domain.job import FailureReason, Job, JobState
from planner.domain.job_worker import WorkerState
from planner.errors import OutOfSpace

pytestmark = pytest.mark.worker
pytest.importorskip("torch")

from tests.worker.protocol.lab_worker import UPLOAD, UPLOAD_SHA256  # noqa: E402
from tests.worker.protocol.processes import LEASE_SECONDS, Lab, lab  # noqa: E402


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _clean(here: Lab) -> Iterator[None]:
    """Every test starts without the workers and jobs of others."""
    (here.folder / "hung").unlink(missing_ok=True)
    yield
    here.end_workers()
    for state in (JobState.QUEUED, JobState.LEASED, JobState.PARKED):
        for job in here.client.jobs(state=state).items:
            here.client.cancel(job.id)


def _reasons(job: Job) -> list[FailureReason | None]:
    return [attempt.failure.reason if attempt.failure else None for attempt in job.attempts]


def _ended(job: Job) -> bool:
    return job.state not in {JobState.QUEUED, JobState.LEASED}


def test_a_worker_killed_in_the_middle_leaves_a_job_that_another_one_finishes(here: Lab) -> None:
    first = here.worker("a")
    job = here.queue("hang_first")
    here.runs(job, "a")
    here.wait(lambda: "hanging words" in here.client.job_log(job.id).text)
    child = int((here.folder / "hung").read_text())
    first.kill()
    here.worker("b")
    done = here.wait_until(job, _ended)
    assert done.state is JobState.SUCCEEDED
    assert done.result == {"value": "done", "name": "hang_first", "worker": "b"}
    assert _reasons(done) == [FailureReason.WORKER_LOST, None]
    failure = done.attempts[0].failure
    assert failure is not None
    assert failure.log_tail == "hanging words"
    assert here.client.job_log(job.id, attempt=1).text == "hanging words\n"
    assert here.client.job_log(job.id, attempt=2).text == "quick words\n"
    assert not Path(f"/proc/{child}").exists(), "the child ends with its worker"
    # what the killed worker left on its disk goes when it comes back
    assert list((here.folder / "a" / "jobs").iterdir())
    here.worker("a")
    here.wait(lambda: not list((here.folder / "a" / "jobs").iterdir()))


@pytest.mark.parametrize(
    ("behaviour", "moment"),
    [("upload", f"PUT /api/v1/artifacts/{UPLOAD_SHA256}".encode()), ("quick", b"/complete")],
    ids=["while uploading", "before completing"],
)
def test_a_worker_killed_while_it_hands_in(here: Lab, behaviour: str, moment: bytes) -> None:
    proxy = here.proxy()
    proxy.hold(moment)
    first = here.worker("a", url=proxy.url)
    job = here.queue(behaviour)
    assert proxy.held.wait(30)
    first.kill()
    proxy.cut()
    if behaviour == "upload":
        assert here.client.missing([UPLOAD_SHA256]) == (UPLOAD_SHA256,), "nothing is half written"
    here.worker("b")
    done = here.wait_until(job, _ended)
    assert done.state is JobState.SUCCEEDED
    assert done.result is not None
    assert done.result["worker"] == "b"
    assert _reasons(done) == [FailureReason.WORKER_LOST, None]
    if behaviour == "upload":
        assert here.client.artifact_size(UPLOAD_SHA256) == len(UPLOAD)
        here.wait(lambda: not list((here.server.data_dir / "blobs" / "staging").iterdir()))


def test_a_server_killed_and_started_again_loses_nothing(here: Lab) -> None:
    here.worker("a")
    job = here.queue("slow")
    here.runs(job, "a")
    here.server.kill()
    time.sleep(LEASE_SECONDS + 0.3)  # longer than a lease lasts
    here.server.start()
    done = here.wait_until(job, _ended)
    assert done.state is JobState.SUCCEEDED
    assert _reasons(done) == [None], "nobody else asked meanwhile: the first attempt goes on"
    assert here.client.job_log(job.id).text == "".join(f"step {step}\n" for step in range(30))


def test_a_server_that_comes_back_waits_for_those_it_could_not_hear(here: Lab) -> None:
    here.worker("a")
    job = here.queue("slow")
    here.runs(job, "a")
    here.worker("idle")
    here.wait(lambda: len(here.client.workers().items) >= 2)
    here.server.kill()
    time.sleep(LEASE_SECONDS + 0.3)
    here.server.start()  # both ask at once, the idle one perhaps first
    done = here.wait_until(job, _ended)
    assert done.state is JobState.SUCCEEDED
    assert _reasons(done) == [None]


def test_a_job_whose_worker_died_does_not_look_alive_for_ever(here: Lab) -> None:
    only = here.worker("a")
    job = here.queue("hang_first")
    here.runs(job, "a")
    only.kill()
    lost = here.wait_until(job, lambda now: now.state is JobState.QUEUED)
    assert _reasons(lost) == [FailureReason.WORKER_LOST], "although no worker asks for jobs"


def test_a_short_cut_of_the_network_is_bridged(here: Lab) -> None:
    proxy = here.proxy()
    here.worker("a", url=proxy.url)
    job = here.queue("slow")
    here.runs(job, "a")
    proxy.cut()
    time.sleep(0.5)
    proxy.heal()
    done = here.wait_until(job, _ended)
    assert done.state is JobState.SUCCEEDED
    assert _reasons(done) == [None]


def test_a_worker_cut_off_for_long_cannot_write_over_its_successor(here: Lab) -> None:
    proxy = here.proxy()
    late = here.worker("a", url=proxy.url)
    job = here.queue("hang_first")
    here.runs(job, "a")
    proxy.cut()
    here.worker("b")
    done = here.wait_until(job, _ended)
    assert done.result is not None
    assert done.result["worker"] == "b"
    proxy.heal()
    here.wait(lambda: "stopped" in late.said())
    assert "does not hold job" in late.said()
    assert here.client.job(job.id) == done
    child = int((here.folder / "hung").read_text())
    here.wait(lambda: not Path(f"/proc/{child}").exists())
    quick = here.queue("quick")
    assert here.wait_until(quick, _ended).state is JobState.SUCCEEDED


def test_memory_and_disk_that_are_gone_end_the_job_and_not_the_worker(here: Lab) -> None:
    only = here.worker("a")
    expected = {
        "out_of_device_memory": FailureReason.OOM_DEVICE,
        "out_of_host_memory": FailureReason.OOM_HOST,
        "killed": FailureReason.CRASHED,
        "disk_full": FailureReason.DISK_FULL,
        "file_too_large": FailureReason.DISK_FULL,
    }
    jobs = {name: here.queue(name, attempts=1) for name in expected}
    after = here.queue("quick")
    assert here.wait_until(after, _ended).state is JobState.SUCCEEDED
    for name, reason in expected.items():
        job = here.client.job(jobs[name].id)
        assert (name, job.state, _reasons(job)) == (name, JobState.FAILED, [reason])
    log = here.client.job(jobs["killed"].id).attempts[0].failure
    assert log is not None
    assert log.log_tail == "last words"
    assert only.process.poll() is None


def test_a_full_disk_of_the_worker_is_named_and_passes(here: Lab, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(small)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small disk can be made by root only")
    try:
        filler = small / "filler"
        work = small / "work"
        work.mkdir()
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        assert os.statvfs(small).f_bavail == 0
        here.worker("a", work=work)
        job = here.queue("quick")
        failed = here.wait_until(job, lambda now: bool(now.attempts) and now.attempts[0].failure is not None)
        assert _reasons(failed)[0] is FailureReason.DISK_FULL
        filler.unlink()
        assert here.wait_until(here.queue("quick"), _ended).state is JobState.SUCCEEDED
    finally:
        here.end_workers()
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_job_that_kills_its_workers_is_parked_with_its_evidence(here: Lab) -> None:
    workers = [here.worker("a"), here.worker("b")]
    job = here.queue("kill_worker", attempts=5)
    for each in workers:
        each.process.wait(timeout=30)
    survivor = here.worker("c")  # whoever asks next takes lost leases back
    parked = here.wait_until(job, _ended)
    assert parked.state is JobState.PARKED
    assert _reasons(parked) == [FailureReason.WORKER_LOST] * 2
    assert {attempt.worker for attempt in parked.attempts} == {"a", "b"}
    assert "ended alike" in str(parked.parked_because)
    assert all(
        "poisonous words" in str(attempt.failure and attempt.failure.log_tail) for attempt in parked.attempts
    )
    other = here.queue("quick")
    assert here.wait_until(other, _ended).state is JobState.SUCCEEDED
    assert survivor.process.poll() is None
    here.client.release(job.id)
    assert survivor.process.wait(timeout=20) == -signal.SIGKILL, "a released job is given out again"


def test_a_worker_asked_to_end_finishes_its_job_and_takes_no_more(here: Lab) -> None:
    draining = here.worker("a")
    job = here.queue("slow")
    here.runs(job, "a")
    next_one = here.queue("quick")
    draining.signal()
    here.wait(lambda: here.client.workers().items[0].state is WorkerState.DRAINING)
    assert draining.process.wait(timeout=20) == 0
    assert here.client.job(job.id).state is JobState.SUCCEEDED
    assert here.client.job(next_one.id).state is JobState.QUEUED


def test_a_worker_asked_twice_gives_its_job_back(here: Lab) -> None:
    ending = here.worker("a")
    job = here.queue("hang_first")
    here.runs(job, "a")
    ending.signal()
    here.wait(lambda: "finishing" in ending.said())
    ending.signal(signal.SIGINT)
    assert ending.process.wait(timeout=20) == 0
    returned = here.client.job(job.id)
    assert returned.state is JobState.QUEUED
    assert _reasons(returned) == [FailureReason.GIVEN_BACK]
    here.worker("b")
    assert here.wait_until(job, _ended).state is JobState.SUCCEEDED


def test_a_worker_drained_by_name_ends(here: Lab) -> None:
    named = here.worker("named")
    here.wait(lambda: any(row.worker.name == "named" for row in here.client.workers().items))
    here.client.drain("named")
    assert named.process.wait(timeout=20) == 0
    assert "told to take no more jobs" in named.said()
    here.client.drain("named", resume=True)


def test_a_cancelled_job_is_stopped_and_the_worker_goes_on(here: Lab) -> None:
    here.worker("a")
    job = here.queue("hang_first")
    here.runs(job, "a")
    child = int((here.folder / "hung").read_text())
    here.client.cancel(job.id)
    here.wait(lambda: not Path(f"/proc/{child}").exists())
    assert here.wait_until(here.queue("quick"), _ended).state is JobState.SUCCEEDED
    assert here.client.job(job.id).state is JobState.CANCELLED


def test_two_workers_never_run_the_same_attempt(here: Lab) -> None:
    for name in ("a", "b"):
        here.worker(name)
    jobs = [here.queue("quick") for _ in range(4)]
    done = [here.wait_until(job, _ended) for job in jobs]
    assert all(len(job.attempts) == 1 for job in done)
    tokens = [job.attempts[0].token for job in done]
    assert len(set(tokens)) == len(tokens)


def test_a_full_disk_of_the_server_keeps_nothing_half_written(tmp_path: Path) -> None:
    with lab(tmp_path, largest_file=40 * 2**20) as small:
        large = os.urandom(2**20) * 48
        digest = hashlib.sha256(large).hexdigest()
        with pytest.raises(OutOfSpace, match="disk full"):
            small.client.upload([large], sha256=digest, size=len(large))
        assert small.client.missing([digest]) == (digest,)
        staging = small.server.data_dir / "blobs" / "staging"
        small.wait(lambda: not list(staging.iterdir()))
        little = large[: 2**20]
        stored = small.client.upload([little], sha256=hashlib.sha256(little).hexdigest(), size=len(little))
        assert stored.created
