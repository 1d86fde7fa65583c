"""Jobs: the lease protocol step by step; a state machine and races are in their own files."""

from __future__ import annotations

from datetime import timedelta

import pytest

from planner.domain.job import LEASE_SECONDS, Failure, FailureReason, JobKind, JobState
from planner.errors import Conflict, InvalidInput, LeaseLost, NotFound
from planner.registry import jobs

LONG = timedelta(seconds=LEASE_SECONDS + 1)
LOST = Failure(reason=FailureReason.CRASHED, message="segmentation fault", log_tail="…")
NONE: frozenset[str] = frozenset()


def _lease(tx, make, *, worker="w1", capabilities=NONE, now=None, kinds=None):
    return jobs.lease(tx, worker=worker, capabilities=capabilities, kinds=kinds, now=now or make.now)


def test_create_get_and_repeat(registry, make):
    job = make.job()
    with registry.write() as tx:
        assert jobs.create(tx, job) is True
        assert jobs.create(tx, make.job(created_at=None)) is False
        assert jobs.get(tx, job.id) == job
        with pytest.raises(Conflict, match="another kind, spec"):
            jobs.create(tx, make.job(spec={"variant": "y"}))
        with pytest.raises(NotFound, match="no job `job-2`"):
            jobs.get(tx, "job-2")
    assert registry.revision() == 0, "jobs change no answer"


def test_leases_go_to_the_oldest_job_first(registry, make):
    with registry.write() as tx:
        for n in range(3):
            jobs.create(tx, make.job(f"j{2 - n}"))
        leases = [_lease(tx, make) for _ in range(4)]
    assert [lease and lease.job.id for lease in leases] == ["j2", "j1", "j0", None]
    tokens = [lease.token for lease in leases if lease]
    assert tokens == sorted(set(tokens))
    assert leases[0].expires_at == make.now + timedelta(seconds=LEASE_SECONDS)
    assert leases[0].job.state is JobState.LEASED
    assert leases[0].job.attempts[0].worker == "w1"


def test_capabilities_and_kinds_decide_who_gets_what(registry, make):
    with registry.write() as tx:
        jobs.create(tx, make.job("needs-both", requires=("cuda", "device:h200")))
        jobs.create(tx, make.job("needs-cuda", requires=("cuda",)))
        jobs.create(tx, make.job("build", kind=JobKind.BUILD))
        assert _lease(tx, make, capabilities={"cpu"}, kinds={JobKind.EVALUATE}) is None
        assert _lease(tx, make, capabilities={"cpu"}).job.id == "build"
        assert _lease(tx, make, capabilities={"cpu"}) is None
        assert _lease(tx, make, capabilities={"cuda"}).job.id == "needs-cuda"
        assert _lease(tx, make, capabilities={"cuda", "device:h200", "x"}).job.id == "needs-both"


def test_heartbeats_extend_the_lease_and_note_progress(registry, make):
    later = make.now + timedelta(seconds=40)
    with registry.write() as tx:
        jobs.create(tx, make.job())
        lease = _lease(tx, make)
        job = jobs.heartbeat(tx, "job-1", token=lease.token, progress=0.5, message="half", now=later)
        assert job.lease_expires_at == later + timedelta(seconds=LEASE_SECONDS)
        assert job.attempts[-1].progress == 0.5
        assert jobs.expire(tx, make.now + LONG) == 0
        assert jobs.get(tx, "job-1") == job
        for progress in (-0.1, 1.1, float("nan")):
            with pytest.raises(InvalidInput, match="progress"):
                jobs.heartbeat(tx, "job-1", token=lease.token, progress=progress, now=later)
        with pytest.raises(InvalidInput, match=r"heartbeat\.message"):
            jobs.heartbeat(tx, "job-1", token=lease.token, message="a\0", now=later)


def test_an_expired_lease_is_fenced_off(registry, make):
    late = make.now + LONG
    with registry.write() as tx:
        jobs.create(tx, make.job())
        first = _lease(tx, make)
        second = _lease(tx, make, worker="w2", now=late)
        assert second.job.id == "job-1"
        assert second.token > first.token
        assert [attempt.worker for attempt in second.job.attempts] == ["w1", "w2"]
        assert second.job.attempts[0].failure.reason is FailureReason.WORKER_LOST
        for write in (
            lambda: jobs.heartbeat(tx, "job-1", token=first.token, now=late),
            lambda: jobs.complete(tx, "job-1", token=first.token, result={}, now=late),
            lambda: jobs.fail(tx, "job-1", token=first.token, failure=LOST, now=late),
        ):
            with pytest.raises(LeaseLost, match="token"):
                write()
        done = jobs.complete(tx, "job-1", token=second.token, result={"profile": "p1"}, now=late)
    assert done.state is JobState.SUCCEEDED
    assert done.result == {"profile": "p1"}


def test_expire_counts_and_gives_up_after_the_last_attempt(registry, make):
    with registry.write() as tx:
        jobs.create(tx, make.job("once", max_attempts=1))
        jobs.create(tx, make.job("thrice"))
        _lease(tx, make)
        _lease(tx, make)
        assert jobs.expire(tx, make.now) == 0
        assert jobs.expire(tx, make.now + LONG) == 2
        assert jobs.expire(tx, make.now + LONG) == 0
        assert jobs.get(tx, "once").state is JobState.FAILED
        assert jobs.get(tx, "thrice").state is JobState.QUEUED


def test_failures_are_retried_when_that_can_help(registry, make):
    with registry.write() as tx:
        jobs.create(tx, make.job("a"))
        jobs.create(tx, make.job("b"))
        a, b = _lease(tx, make), _lease(tx, make)
        assert jobs.fail(tx, "a", token=a.token, failure=LOST, now=make.now).state is JobState.QUEUED
        oom = Failure(reason=FailureReason.OOM_DEVICE, message="out of memory")
        assert jobs.fail(tx, "b", token=b.token, failure=oom, now=make.now).state is JobState.FAILED


def test_saying_the_end_twice_is_harmless(registry, make):
    with registry.write() as tx:
        jobs.create(tx, make.job("a"))
        jobs.create(tx, make.job("b"))
        a, b = _lease(tx, make), _lease(tx, make)
        done = jobs.complete(tx, "a", token=a.token, result={"x": 1}, now=make.now)
        assert jobs.complete(tx, "a", token=a.token, result={"x": 1}, now=make.now + LONG) == done
        with pytest.raises(LeaseLost):
            jobs.complete(tx, "a", token=a.token, result={"x": 2}, now=make.now)
        failed = jobs.fail(tx, "b", token=b.token, failure=LOST, now=make.now)
        assert jobs.fail(tx, "b", token=b.token, failure=LOST, now=make.now) == failed


def test_cancel(registry, make):
    with registry.write() as tx:
        jobs.create(tx, make.job("queued"))
        jobs.create(tx, make.job("leased"))
        jobs.cancel(tx, "queued", make.now)
        lease = _lease(tx, make)
        assert lease.job.id == "leased"
        cancelled = jobs.cancel(tx, "leased", make.now)
        assert cancelled.state is JobState.CANCELLED
        assert jobs.cancel(tx, "leased", make.now + LONG) == cancelled
        with pytest.raises(LeaseLost, match="cancelled"):
            jobs.heartbeat(tx, "leased", token=lease.token, now=make.now)
        with pytest.raises(NotFound):
            jobs.cancel(tx, "nothing", make.now)


def test_pages_newest_first(registry, make, all_pages):
    with registry.write() as tx:
        for n in range(5):
            jobs.create(tx, make.job(f"j{n}", kind=JobKind.BUILD if n % 2 else JobKind.MEASURE))
        _lease(tx, make)
        ids = [job.id for job in all_pages(lambda **kw: jobs.page(tx, limit=2, **kw))]
        assert ids == ["j4", "j3", "j2", "j1", "j0"]
        assert [job.id for job in jobs.page(tx, kind=JobKind.BUILD).items] == ["j3", "j1"]
        assert [job.id for job in jobs.page(tx, state=JobState.LEASED).items] == ["j0"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": "a\0"}, "job.id"),
        ({"state": JobState.LEASED}, "job.state"),
        ({"max_attempts": 0}, "job.max_attempts"),
        ({"requires": ("a b",)}, "job.requires"),
        ({"requires": tuple(f"c{n}" for n in range(17))}, "job.requires"),
        ({"requires": ("vram>=24",)}, "job.requires: `24` has no unit"),
        ({"requires": ("bandwidth>=1TB",)}, "job.requires"),
        ({"spec": {"a": {"b": [1, "x\0"]}}}, r"job.spec.a.b\[1\]"),
        ({"spec": {"a": float("nan")}}, "job.spec.a"),
        ({"spec": {"a": 2**64}}, "job"),
        ({"spec": {"a": "x" * 100_000}}, "job.spec.a"),
        ({"spec": {"a": ["x" * 60_000] * 300}}, "takes"),
    ],
)
def test_hostile_jobs_are_refused_by_field(registry, make, changes, field):
    with registry.write() as tx, pytest.raises(InvalidInput, match=field):
        jobs.create(tx, make.job(**changes))


def test_nesting_is_bounded(registry, make):
    nested: dict[str, object] = {}
    for _ in range(60):
        nested = {"a": nested}
    with registry.write() as tx, pytest.raises(InvalidInput, match="nested too deeply"):
        jobs.create(tx, make.job(spec=nested))
