"""Jobs and leases, one rule at a time and then as a state machine against a plain model of what must hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from planner.domain.job import (
    ELSEWHERE_SECONDS,
    LEASE_SECONDS,
    MAX_ATTEMPTS,
    MAX_RETURNS,
    Failure,
    FailureReason,
    Job,
    JobKind,
    JobState,
    can_lease,
    cancel,
    complete,
    device_of,
    expire,
    fail,
    holds_lease,
    lease,
    release,
    renew,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job(id="j", kind=JobKind.BUILD, spec={"recipe": "int8"}, requires=("cuda",))


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def failed(reason: FailureReason = FailureReason.CRASHED) -> Failure:
    return Failure(reason=reason, message="it broke")


def test_a_worker_needs_every_capability():
    assert can_lease(JOB, frozenset({"cuda", "device:h200-sxm"}))
    assert not can_lease(JOB, frozenset({"cpu"}))
    assert not can_lease(lease(JOB, worker="w", token=1, now=NOW), frozenset({"cuda"}))


def test_a_lease_is_an_attempt_with_a_token_and_an_end():
    leased = lease(JOB, worker="w", token=7, now=NOW)
    assert leased.state is JobState.LEASED
    assert leased.lease_expires_at == later(LEASE_SECONDS)
    assert leased.current is not None
    assert (leased.current.number, leased.current.worker, leased.current.token) == (1, "w", 7)
    assert holds_lease(leased, 7)
    assert not holds_lease(leased, 6)
    assert not holds_lease(JOB, 7)


def test_a_heartbeat_extends_the_lease_and_notes_progress():
    renewed = renew(lease(JOB, worker="w", token=1, now=NOW), now=later(30), progress=0.5, message="layer 3")
    assert renewed.lease_expires_at == later(30 + LEASE_SECONDS)
    assert renewed.current is not None
    assert (renewed.current.progress, renewed.current.message) == (0.5, "layer 3")


def test_completion_ends_the_attempt_and_the_token():
    done = complete(lease(JOB, worker="w", token=1, now=NOW), result={"variant": "v"}, now=later(9))
    assert (done.state, done.result, done.lease_expires_at, done.current) == (
        JobState.SUCCEEDED,
        {"variant": "v"},
        None,
        None,
    )
    assert (done.attempts[-1].ended_at, done.attempts[-1].progress) == (later(9), 1.0)
    assert not holds_lease(done, 1)


@pytest.mark.parametrize("reason", FailureReason)
def test_only_failures_that_can_end_differently_are_tried_again(reason: FailureReason):
    job = fail(lease(JOB, worker="w", token=1, now=NOW), failure=failed(reason), now=later(1))
    assert job.state is (JobState.QUEUED if reason.is_retryable else JobState.FAILED)
    assert job.attempts[-1].failure == failed(reason)
    assert reason.is_retryable is (
        reason.value
        in {
            "worker_lost",
            "given_back",
            "oom_host",
            "disk_full",
            "tainted_measurement",
            "network",
            "crashed",
            "timeout",
        }
    )


def test_attempts_run_out():
    job = JOB
    for token in range(MAX_ATTEMPTS):
        assert can_lease(job, frozenset({"cuda"}))
        job = fail(lease(job, worker="w", token=token, now=NOW), failure=failed(), now=NOW)
    assert job.state is JobState.FAILED
    assert [attempt.number for attempt in job.attempts] == [1, 2, 3]


def test_a_lease_expires_only_after_its_end():
    leased = lease(JOB, worker="w", token=1, now=NOW)
    assert expire(leased, now=later(LEASE_SECONDS - 1)) is leased
    lost = expire(leased, now=later(LEASE_SECONDS))
    assert lost.state is JobState.QUEUED
    assert lost.attempts[-1].failure is not None
    assert lost.attempts[-1].failure.reason is FailureReason.WORKER_LOST
    assert expire(JOB, now=later(1e6)) is JOB


def test_cancelling_ends_a_running_attempt_and_leaves_final_jobs_alone():
    assert cancel(JOB, now=NOW).state is JobState.CANCELLED
    cancelled = cancel(lease(JOB, worker="w", token=1, now=NOW), now=later(2))
    assert (cancelled.state, cancelled.attempts[-1].ended_at, cancelled.lease_expires_at) == (
        JobState.CANCELLED,
        later(2),
        None,
    )
    done = complete(lease(JOB, worker="w", token=1, now=NOW), result={}, now=NOW)
    assert cancel(done, now=later(9)) is done


def tried(job: Job, worker: str, failure: Failure, *, device: str | None = None, **more: bool) -> Job:
    leased = lease(job, worker=worker, token=len(job.attempts) + 1, now=NOW, device=device)
    renewed = renew(leased, now=NOW, progress=None, message=None, **more)
    return fail(renewed, failure=failure, now=NOW)


SEGFAULT = Failure(reason=FailureReason.CRASHED, message="ended by SIGSEGV at 0x7f12", log_tail="boom")


@pytest.mark.parametrize("reason", [FailureReason.WORKER_LOST, FailureReason.CRASHED, FailureReason.OOM_HOST])
def test_a_job_that_ends_two_workers_alike_is_parked_with_its_evidence(reason: FailureReason):
    first = Failure(reason=reason, message="killed at 0x7f01 after 12.5 s", log_tail="first")
    second = Failure(reason=reason, message="killed at 0x7fff after 3 s", log_tail="second")
    job = tried(tried(JOB, "a", first), "b", second)
    assert job.state is JobState.PARKED
    assert not job.state.is_final
    assert job.parked_because is not None
    for part in ("attempts 1 on a", "2 on b", reason.value, "killed at"):
        assert part in job.parked_because
    assert [attempt.failure for attempt in job.attempts] == [first, second]
    assert not can_lease(job, frozenset({"cuda"}))


def test_one_worker_that_fails_twice_says_nothing_about_the_job():
    assert tried(tried(JOB, "a", SEGFAULT), "a", SEGFAULT).state is JobState.QUEUED


def test_two_workers_that_fail_differently_say_nothing_about_the_job():
    assert tried(tried(JOB, "a", SEGFAULT), "b", failed()).state is JobState.QUEUED
    network = Failure(reason=FailureReason.NETWORK, message="no server")
    assert tried(tried(JOB, "a", network), "b", network).state is JobState.QUEUED


def test_a_worker_that_was_asked_to_end_says_nothing_about_the_job():
    lost = Failure(reason=FailureReason.WORKER_LOST, message="silent")
    assert tried(tried(JOB, "a", lost, draining=True), "b", lost).state is JobState.QUEUED
    assert tried(tried(JOB, "a", lost), "b", lost, draining=True).state is JobState.QUEUED


def test_the_last_attempt_can_park_a_job_too():
    once_more = msgspec.structs.replace(JOB, max_attempts=2)
    assert tried(tried(once_more, "a", SEGFAULT), "b", SEGFAULT).state is JobState.PARKED


def test_a_released_job_keeps_its_attempts_and_starts_to_count_again():
    parked = tried(tried(JOB, "a", SEGFAULT), "b", SEGFAULT)
    job = release(parked)
    assert (job.state, job.parked_because, job.attempts) == (JobState.QUEUED, None, parked.attempts)
    assert can_lease(job, frozenset({"cuda"}), worker="b", now=NOW)
    for worker in ("a", "a", "a"):
        assert job.state is JobState.QUEUED
        job = tried(job, worker, SEGFAULT)
    assert job.state is JobState.FAILED
    assert [attempt.number for attempt in job.attempts] == [1, 2, 3, 4, 5]
    assert cancel(parked, now=NOW).state is JobState.CANCELLED


def test_giving_a_job_back_uses_up_no_attempt_and_keeps_it_from_nobody():
    returned = Failure(reason=FailureReason.GIVEN_BACK, message="the worker was asked to end")
    job = JOB
    for _ in range(MAX_RETURNS - 1):
        job = tried(job, "a", returned)
        assert can_lease(job, frozenset({"cuda"}), worker="a", now=NOW)
    assert job.judged == ()
    assert tried(job, "a", returned).state is JobState.FAILED, "but not for ever"


def test_a_failed_job_is_kept_for_other_workers_for_a_while():
    job = tried(JOB, "a", failed())
    assert not can_lease(job, frozenset({"cuda"}), worker="a", now=later(ELSEWHERE_SECONDS - 1))
    assert can_lease(job, frozenset({"cuda"}), worker="b", now=NOW)
    assert can_lease(job, frozenset({"cuda"}), worker="a", now=later(ELSEWHERE_SECONDS))


@pytest.mark.parametrize("reason", [FailureReason.OOM_DEVICE, FailureReason.KERNEL_UNSUPPORTED])
def test_what_lies_in_the_kind_of_device_is_tried_on_another_kind_only(reason: FailureReason):
    small, same, large = (frozenset({"cuda", f"device:{name}"}) for name in ("t4", "t4", "h200-sxm"))
    leased = lease(JOB, worker="a", token=1, now=NOW, device=device_of(small))
    assert fail(leased, failure=failed(reason), now=NOW, others=[same]).state is JobState.FAILED
    assert fail(leased, failure=failed(reason), now=NOW).state is JobState.FAILED
    job = fail(leased, failure=failed(reason), now=NOW, others=[same, large])
    assert job.state is JobState.QUEUED
    assert job.requirements == ("cuda", "!device:t4")
    assert not can_lease(job, same)
    assert can_lease(job, large)


def test_the_kind_of_device_is_the_gpus_where_there_is_one():
    assert device_of(frozenset({"device:cpu:amd-epyc", "device:h200-sxm", "device:h200"})) == "device:h200"
    assert device_of(frozenset({"device:cpu:amd-epyc", "cpu"})) == "device:cpu:amd-epyc"
    assert device_of(frozenset({"cuda"})) is None


class JobMachine(RuleBasedStateMachine):
    """Workers that lease, report, die and come back late, against one job."""

    def __init__(self) -> None:
        super().__init__()
        self.job = Job(id="j", kind=JobKind.MEASURE, spec={})
        self.now = NOW
        self.tokens = 0
        self.results: list[dict[str, int]] = []
        self.final: Job | None = None

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    @precondition(lambda self: can_lease(self.job, frozenset()))
    def lease(self) -> None:
        self.tokens += 1
        self.job = lease(self.job, worker=f"w{self.tokens % 3}", token=self.tokens, now=self.now)

    @rule(token=st.integers(0, 5), progress=st.none() | st.floats(0, 1))
    def heartbeat(self, token: int, progress: float | None) -> None:
        if holds_lease(self.job, token):
            self.job = renew(self.job, now=self.now, progress=progress, message=None)

    @rule(token=st.integers(0, 5))
    def complete(self, token: int) -> None:
        if holds_lease(self.job, token):
            self.results.append({"token": token})
            self.job = complete(self.job, result={"token": token}, now=self.now)

    @rule(token=st.integers(0, 5), reason=st.sampled_from(FailureReason))
    def fail(self, token: int, reason: FailureReason) -> None:
        if holds_lease(self.job, token):
            self.job = fail(self.job, failure=failed(reason), now=self.now)

    @rule()
    def expire(self) -> None:
        self.job = expire(self.job, now=self.now)

    @rule()
    @precondition(lambda self: self.job.state is JobState.PARKED)
    def release(self) -> None:
        self.job = release(self.job)

    @rule()
    def cancel(self) -> None:
        self.job = cancel(self.job, now=self.now)

    @invariant()
    def only_a_leased_job_has_a_lease(self) -> None:
        leased = self.job.state is JobState.LEASED
        assert (self.job.current is not None) is leased
        assert (self.job.lease_expires_at is not None) is leased

    @invariant()
    def ended_attempts_are_kept_and_at_most_one_is_open(self) -> None:
        still_open = [attempt for attempt in self.job.attempts if attempt.ended_at is None]
        assert len(still_open) == (1 if self.job.state is JobState.LEASED else 0)
        assert [attempt.number for attempt in self.job.attempts] == list(range(1, len(self.job.attempts) + 1))
        assert len(self.job.judged) <= self.job.max_attempts

    @invariant()
    def only_the_newest_token_holds(self) -> None:
        holders = [token for token in range(self.tokens + 1) if holds_lease(self.job, token)]
        assert holders == ([self.tokens] if self.job.state is JobState.LEASED else [])

    @invariant()
    def final_is_final_and_has_at_most_one_result(self) -> None:
        if self.final is not None:
            assert self.job == self.final
        if self.job.state.is_final:
            self.final = self.job
        assert len(self.results) <= 1
        assert (self.job.result is not None) is (self.job.state is JobState.SUCCEEDED)

    @invariant()
    def only_a_parked_job_says_why_it_is(self) -> None:
        assert (self.job.parked_because is not None) is (self.job.state is JobState.PARKED)


TestJobMachine = JobMachine.TestCase
TestJobMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
