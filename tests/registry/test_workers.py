"""Workers on both databases: heard of, listed with their job, drained, forgotten; and what follows for jobs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from planner.domain.job import ELSEWHERE_SECONDS, LEASE_SECONDS, Failure, FailureReason, JobKind, JobState
from planner.domain.job_worker import KEPT_SECONDS, RECENT_SECONDS, WorkerState
from planner.errors import Conflict, InvalidInput, LeaseLost, NotFound
from planner.registry import jobs, workers

LONG = timedelta(seconds=LEASE_SECONDS + 1)
CRASH = Failure(reason=FailureReason.CRASHED, message="ended by SIGSEGV")


def _hear(tx, name="w", *, now, capabilities=("cpu",), kinds=()):
    return workers.hear(tx, name, capabilities=capabilities, kinds=kinds, now=now)


def _try(tx, make, worker, failure, *, now=None, capabilities=frozenset()):
    lease = jobs.lease(tx, worker=worker, capabilities=capabilities, now=now or make.now)
    assert lease is not None
    return jobs.fail(tx, lease.job.id, token=lease.token, failure=failure, now=now or make.now)


def test_a_worker_is_known_by_what_it_said_last(registry, make):
    soon, later = make.now + timedelta(seconds=5), make.now + timedelta(seconds=60)
    with registry.write() as tx:
        first = _hear(tx, now=make.now)
        assert (first.first_seen_at, first.last_seen_at) == (make.now, make.now)
        assert _hear(tx, now=soon) == first, "nothing new is not written at every question"
        changed = _hear(tx, now=soon, capabilities=("cuda", "cpu"), kinds=(JobKind.BUILD,))
        assert changed.capabilities == ("cpu", "cuda")
        assert changed.last_seen_at == soon
        assert (
            _hear(tx, now=later, capabilities=("cuda", "cpu"), kinds=(JobKind.BUILD,)).last_seen_at == later
        )
    with registry.read() as tx:
        (row,) = workers.page(tx, now=later).items
    assert row.worker.first_seen_at == make.now
    assert row.worker.kinds == (JobKind.BUILD,)
    assert row.state is WorkerState.IDLE


def test_workers_are_listed_by_name_with_the_job_they_run(registry, make, all_pages):
    with registry.write() as tx:
        for name in ("c", "a", "b"):
            _hear(tx, name, now=make.now)
        jobs.create(tx, make.job())
        jobs.lease(tx, worker="b", capabilities=frozenset(), now=make.now)
        rows = all_pages(lambda **kw: workers.page(tx, now=make.now, limit=2, **kw))
        assert [(row.worker.name, row.state.value, row.job_id) for row in rows] == [
            ("a", "idle", None),
            ("b", "working", "job-1"),
            ("c", "idle", None),
        ]
        away = make.now + timedelta(seconds=RECENT_SECONDS + 1)
        assert workers.page(tx, now=away).items[0].state is WorkerState.AWAY
        assert {worker.name for worker in workers.recent(tx, make.now)} == {"a", "b", "c"}
        assert workers.recent(tx, away) == ()


def test_a_heartbeat_is_a_sign_of_life_and_says_that_the_worker_drains(registry, make):
    later = make.now + timedelta(seconds=30)
    with registry.write() as tx:
        _hear(tx, now=make.now)
        jobs.create(tx, make.job())
        lease = jobs.lease(tx, worker="w", capabilities=frozenset(), now=make.now)
        assert lease is not None
        job = jobs.heartbeat(tx, "job-1", token=lease.token, draining=True, now=later)
        assert job.attempts[-1].draining
        (row,) = workers.page(tx, now=later).items
        assert (row.worker.last_seen_at, row.state, row.job_id) == (later, WorkerState.DRAINING, "job-1")
        assert not _hear(tx, now=later).draining, "one that asks for jobs again takes them"


def test_draining_is_asked_for_by_name_and_lasts_until_it_is_resumed(registry, make):
    with registry.write() as tx:
        _hear(tx, "gpu-1", now=make.now)
        assert not workers.is_told_to_drain(tx, "gpu-1")
        assert workers.ask_to_drain(tx, "gpu-1", drain=True).drain_asked
        _hear(tx, "gpu-1", now=make.now + LONG, capabilities=("cuda",))
        assert workers.is_told_to_drain(tx, "gpu-1")
        assert not workers.ask_to_drain(tx, "gpu-1", drain=False).drain_asked
        assert not workers.is_told_to_drain(tx, "gpu-1")
        with pytest.raises(NotFound, match="gpu-1"):
            workers.ask_to_drain(tx, "gpu1", drain=True)


def test_workers_that_are_long_gone_are_forgotten(registry, make):
    with registry.write() as tx:
        _hear(tx, "old", now=make.now)
        _hear(tx, "new", now=make.now + timedelta(seconds=KEPT_SECONDS + 1))
        names = [row.worker.name for row in workers.page(tx, now=make.now).items]
    assert names == ["new"]


@pytest.mark.parametrize(
    ("name", "capabilities", "field"),
    [
        ("", (), "worker"),
        ("a\0", (), "worker"),
        ("w", ("",), "capabilities"),
        ("w", ("x\n",), "capabilities"),
    ],
)
def test_hostile_workers_are_refused_by_field(registry, make, name, capabilities, field):
    with registry.write() as tx, pytest.raises(InvalidInput, match=field):
        _hear(tx, name, now=make.now, capabilities=capabilities)


def test_a_job_that_ends_two_workers_alike_is_parked_until_it_is_released(registry, make):
    with registry.write() as tx:
        jobs.create(tx, make.job())
        assert _try(tx, make, "a", CRASH).state is JobState.QUEUED
        parked = _try(tx, make, "b", CRASH)
        assert parked.state is JobState.PARKED
        assert jobs.lease(tx, worker="c", capabilities=frozenset(), now=make.now) is None
        assert [job.id for job in jobs.page(tx, state=JobState.PARKED).items] == ["job-1"]
        assert jobs.expire(tx, make.now + LONG) == 0
        released = jobs.release(tx, "job-1")
        assert released.state is JobState.QUEUED
        assert released.attempts == parked.attempts
        with pytest.raises(Conflict, match="queued, not parked"):
            jobs.release(tx, "job-1")
        assert jobs.lease(tx, worker="b", capabilities=frozenset(), now=make.now) is not None
        with pytest.raises(NotFound):
            jobs.release(tx, "job-2")


def test_a_parked_job_can_be_cancelled(registry, make):
    with registry.write() as tx:
        jobs.create(tx, make.job())
        _try(tx, make, "a", CRASH)
        _try(tx, make, "b", CRASH)
        assert jobs.cancel(tx, "job-1", make.now).state is JobState.CANCELLED


def test_two_lost_workers_park_a_job(registry, make):
    with registry.write() as tx:
        jobs.create(tx, make.job())
        jobs.lease(tx, worker="a", capabilities=frozenset(), now=make.now)
        second = jobs.lease(tx, worker="b", capabilities=frozenset(), now=make.now + LONG)
        assert second is not None
        assert jobs.lease(tx, worker="c", capabilities=frozenset(), now=make.now + 2 * LONG) is None
        job = jobs.get(tx, "job-1")
        assert job.state is JobState.PARKED
        with pytest.raises(LeaseLost, match="parked"):
            jobs.complete(tx, "job-1", token=second.token, result={}, now=make.now)


def test_a_failed_job_goes_to_another_worker_first(registry, make):
    network = Failure(reason=FailureReason.NETWORK, message="away")
    with registry.write() as tx:
        jobs.create(tx, make.job("first"))
        jobs.create(tx, make.job("second"))
        assert _try(tx, make, "a", network).state is JobState.QUEUED
        mine = jobs.lease(tx, worker="a", capabilities=frozenset(), now=make.now)
        assert mine is not None
        assert mine.job.id == "second", (
            "the job that failed here waits for others, not the worker for the job"
        )
        assert jobs.lease(tx, worker="a", capabilities=frozenset(), now=make.now) is None
        patient = make.now + timedelta(seconds=ELSEWHERE_SECONDS)
        again = jobs.lease(tx, worker="a", capabilities=frozenset(), now=patient)
        assert again is not None
        assert again.job.id == "first"


def test_what_a_kind_of_device_cannot_do_is_tried_on_another_kind(registry, make):
    oom = Failure(reason=FailureReason.OOM_DEVICE, message="out of memory")
    small, large = frozenset({"cuda", "device:t4"}), frozenset({"cuda", "device:h200-sxm"})
    with registry.write() as tx:
        _hear(tx, "small", now=make.now, capabilities=small)
        jobs.create(tx, make.job("alone", requires=("cuda",)))
        assert _try(tx, make, "small", oom, capabilities=small).state is JobState.FAILED
        _hear(tx, "large", now=make.now, capabilities=large, kinds=(JobKind.EVALUATE,))
        jobs.create(tx, make.job("still-alone", requires=("cuda",)))
        assert _try(tx, make, "small", oom, capabilities=small).state is JobState.FAILED
        _hear(tx, "large", now=make.now, capabilities=large)
        jobs.create(tx, make.job("not-alone", requires=("cuda",)))
        assert _try(tx, make, "small", oom, capabilities=small).state is JobState.QUEUED
        late = make.now + timedelta(seconds=ELSEWHERE_SECONDS)
        assert jobs.lease(tx, worker="another-small", capabilities=small, now=late) is None
        lease = jobs.lease(tx, worker="large", capabilities=large, now=make.now)
        assert lease is not None
        assert lease.job.id == "not-alone"
        assert lease.job.requires == ("cuda",)


def test_quantities_decide_who_gets_a_job(registry, make):
    with registry.write() as tx:
        jobs.create(tx, make.job("large", requires=("vram>=80GiB", "cc>=8.9")))
        jobs.create(tx, make.job("small", requires=("vram>=8GiB",)))
        card = frozenset({"cuda", "vram:23.5GiB", "cc:8.9"})
        lease = jobs.lease(tx, worker="a", capabilities=card, now=make.now)
        assert lease is not None
        assert lease.job.id == "small"
        assert jobs.lease(tx, worker="a", capabilities=card, now=make.now) is None
        big = frozenset({"cuda", "vram:139.8GiB", "cc:9.0"})
        lease = jobs.lease(tx, worker="b", capabilities=big, now=make.now)
        assert lease is not None
        assert lease.job.id == "large"
