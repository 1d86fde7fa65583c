from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from planner.domain.job import Job, JobKind, JobState, lease
from planner.domain.job_worker import RECENT_SECONDS, Worker, WorkerState, row, unmatched

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(seconds=RECENT_SECONDS + 1)


def worker(*capabilities: str, seen: datetime = NOW, kinds: tuple[JobKind, ...] = (), **more: bool) -> Worker:
    return Worker(
        name="w", capabilities=capabilities, kinds=kinds, first_seen_at=LONG_AGO, last_seen_at=seen, **more
    )


def job(*requires: str) -> Job:
    return Job(id="j", kind=JobKind.BUILD, spec={}, requires=requires)


@pytest.mark.parametrize(
    ("known", "job_id", "state"),
    [
        (worker(), None, WorkerState.IDLE),
        (worker(), "j", WorkerState.WORKING),
        (worker(seen=LONG_AGO), None, WorkerState.AWAY),
        (worker(seen=LONG_AGO), "j", WorkerState.WORKING),
        (worker(draining=True), "j", WorkerState.DRAINING),
        (worker(drain_asked=True), None, WorkerState.DRAINING),
        (worker(drain_asked=True, seen=LONG_AGO), None, WorkerState.AWAY),
    ],
)
def test_the_state_of_a_worker(known: Worker, job_id: str | None, state: WorkerState) -> None:
    assert row(known, job_id=job_id, now=NOW).state is state


def test_a_job_that_some_worker_can_take_waits_for_nothing() -> None:
    assert unmatched(job("cuda"), [worker("cpu"), worker("cuda")], now=NOW) is None
    assert unmatched(job(), [worker()], now=NOW) is None


def test_a_job_names_the_requirement_that_no_worker_meets() -> None:
    missing = unmatched(job("cuda", "vram>=80GiB"), [worker("cuda", "vram:23.5GiB"), worker("cpu")], now=NOW)
    assert missing is not None
    assert missing.requirements == ("vram>=80GiB",)
    assert missing.message == "no worker seen in the last 2 minutes meets vram>=80GiB"


def test_requirements_that_no_single_worker_meets_together() -> None:
    missing = unmatched(
        job("cuda", "ram>=500GiB", "library:vllm"),
        [worker("cuda", "library:vllm", "ram:60.0GiB"), worker("ram:1000.0GiB")],
        now=NOW,
    )
    assert missing is not None
    assert missing.requirements == ("ram>=500GiB",)
    assert "no single worker" in missing.message


@pytest.mark.parametrize(
    "absent",
    [worker("cuda", seen=LONG_AGO), worker("cuda", draining=True), worker("cuda", drain_asked=True)],
)
def test_workers_that_are_gone_or_draining_do_not_count(absent: Worker) -> None:
    missing = unmatched(job("cuda"), [absent], now=NOW)
    assert missing is not None
    assert "no worker was seen" in missing.message


def test_workers_that_take_other_kinds_do_not_count() -> None:
    missing = unmatched(job(), [worker(kinds=(JobKind.MEASURE,))], now=NOW)
    assert missing is not None
    assert "takes build jobs" in missing.message


def test_only_a_queued_job_waits() -> None:
    leased = lease(job("cuda"), worker="w", token=1, now=NOW)
    assert leased.state is JobState.LEASED
    assert unmatched(leased, [], now=NOW) is None
