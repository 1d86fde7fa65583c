"""Lease invariants under any order of requests, as a state machine against a model in memory."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete

from planner.domain.job import LEASE_SECONDS, Failure, FailureReason, Job, JobKind, JobState
from planner.errors import Conflict, LeaseLost
from planner.registry import Registry, jobs
from planner.registry.tables import Jobs


class LeaseMachine(RuleBasedStateMachine):
    registry: Registry
    start: datetime

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.now = self.start
        self.count = 0
        self.holder: dict[str, int] = {}
        """Token that may write to each leased job."""
        self.last_token = 0
        with self.registry.write() as tx:
            tx.connection.execute(delete(Jobs))

    @rule(attempts=st.integers(1, 3), cuda=st.booleans())
    def create(self, attempts, cuda):
        self.count += 1
        job = Job(
            id=f"j{self.count}",
            kind=JobKind.BUILD,
            spec={},
            max_attempts=attempts,
            requires=("cuda",) if cuda else (),
        )
        with self.registry.write() as tx:
            jobs.create(tx, job)

    @rule(seconds=st.integers(1, int(LEASE_SECONDS) + 5))
    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)

    @rule(target=leases, cuda=st.booleans(), worker=st.sampled_from(["a", "b"]))
    def lease(self, cuda, worker):
        capabilities = frozenset({"cuda"}) if cuda else frozenset()
        with self.registry.write() as tx:
            lease = jobs.lease(tx, worker=worker, capabilities=capabilities, now=self.now)
            self._drop_expired(tx)
        if lease is None:
            return ("", 0)
        assert lease.token > self.last_token
        assert lease.job.id not in self.holder, "a job is leased once at a time"
        assert set(lease.job.requires) <= capabilities
        self.last_token = lease.token
        self.holder[lease.job.id] = lease.token
        return (lease.job.id, lease.token)

    def _drop_expired(self, tx):
        for id_ in list(self.holder):
            job = jobs.get(tx, id_)
            if job.current is None or job.current.token != self.holder[id_]:
                assert job.attempts[-1].failure or job.attempts[-2].failure
                del self.holder[id_]

    @rule(lease=leases, action=st.sampled_from(["heartbeat", "complete", "fail", "oom"]))
    def write(self, lease, action):
        id_, token = lease
        if not id_:
            return
        with self.registry.write() as tx:
            held = self.holder.get(id_) == token
            before = jobs.get(tx, id_)
            try:
                if action == "heartbeat":
                    jobs.heartbeat(tx, id_, token=token, progress=0.5, now=self.now)
                elif action == "complete":
                    jobs.complete(tx, id_, token=token, result={"token": token}, now=self.now)
                else:
                    reason = FailureReason.OOM_HOST if action == "oom" else FailureReason.CRASHED
                    failure = Failure(reason=reason, message=action)
                    jobs.fail(tx, id_, token=token, failure=failure, now=self.now)
            except LeaseLost:
                assert not held
                assert jobs.get(tx, id_) == before
                return
            if held:
                if action != "heartbeat":
                    del self.holder[id_]
            else:
                assert jobs.get(tx, id_) == before, (
                    "only a repeated ending is accepted, and it changes nothing"
                )

    @rule(lease=leases)
    def release(self, lease):
        if lease[0]:
            with self.registry.write() as tx:
                parked = jobs.get(tx, lease[0]).state is JobState.PARKED
                try:
                    assert jobs.release(tx, lease[0]).state is JobState.QUEUED
                except Conflict:
                    assert not parked
                else:
                    assert parked

    @rule(lease=leases)
    def cancel(self, lease):
        if lease[0]:
            with self.registry.write() as tx:
                job = jobs.cancel(tx, lease[0], self.now)
                assert job.state.is_final
            self.holder.pop(lease[0], None)

    @invariant()
    def what_is_stored_is_consistent(self):
        with self.registry.read() as tx:
            for job in jobs.page(tx, limit=200).items:
                assert len(job.judged) <= job.max_attempts
                tokens = [attempt.token for attempt in job.attempts]
                assert tokens == sorted(set(tokens))
                assert (job.state is JobState.LEASED) == (job.id in self.holder)
                assert (job.lease_expires_at is not None) == (job.state is JobState.LEASED)
                if job.state.is_final and job.attempts:
                    assert job.attempts[-1].ended_at is not None


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_leases_keep_their_promises(registry, make):
    machine = type("Machine", (LeaseMachine,), {"registry": registry, "start": make.now})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        ),
    )
