"""Logs of attempts on both databases: in order, once, bounded, and open about what is missing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from planner.domain.job import LEASE_SECONDS, Failure, FailureReason
from planner.domain.job_log import MAX_CHUNK_BYTES, MAX_LOG_BYTES, LogChunk, mark
from planner.errors import InvalidInput, LeaseLost
from planner.registry import job_logs, jobs

LONG = timedelta(seconds=LEASE_SECONDS + 1)


def _chunk(start: int, text: str) -> LogChunk:
    return LogChunk(start=start, end=start + len(text.encode()), text=text)


@pytest.fixture
def leased(registry, make):
    with registry.write() as tx:
        jobs.create(tx, make.job())
        return jobs.lease(tx, worker="w", capabilities=frozenset(), now=make.now)


def _read(registry, **more):
    with registry.read() as tx:
        return job_logs.read(tx, jobs.get(tx, "job-1"), **more)


def _send(registry, make, lease, *chunks):
    for chunk in chunks:
        with registry.write() as tx:
            jobs.heartbeat(tx, "job-1", token=lease.token, log=chunk, now=make.now)


def test_a_log_grows_and_is_read_from_anywhere(registry, make, leased):
    assert _read(registry).text == ""
    _send(registry, make, leased, _chunk(0, "one\n"), _chunk(4, "zwei ä\n"))
    log = _read(registry)
    assert (log.text, log.attempt, log.next_offset, log.ended, log.truncated) == (
        "one\nzwei ä\n",
        1,
        12,
        False,
        False,
    )
    _send(registry, make, leased, _chunk(12, "three\n"))
    assert _read(registry, offset=12).text == "three\n"
    assert _read(registry, offset=99).next_offset == 99
    with registry.write() as tx:
        jobs.complete(tx, "job-1", token=leased.token, result={}, now=make.now)
    assert _read(registry, offset=18).ended


def test_what_is_sent_again_is_kept_once(registry, make, leased):
    _send(
        registry,
        make,
        leased,
        _chunk(0, "one\n"),
        _chunk(0, "one\n"),
        _chunk(0, "one\ntwo\n"),
        _chunk(2, "e\n"),
    )
    assert _read(registry).text == "one\ntwo\n"


def test_what_is_skipped_is_marked(registry, make, leased):
    _send(registry, make, leased, _chunk(0, "begin\n"), _chunk(1006, "end\n"))
    log = _read(registry)
    assert log.text == f"begin\n{mark(1000)}\nend\n"
    assert log.truncated


def test_only_the_end_of_a_long_log_is_kept(registry, make, leased):
    size = MAX_CHUNK_BYTES
    for number in range(MAX_LOG_BYTES // size + 4):
        _send(registry, make, leased, _chunk(number * size, f"{number:<{size - 1}}\n"))
    parts, offset = [], 0
    while True:
        log = _read(registry, offset=offset)
        if not log.text:
            break
        parts.append(log)
        offset = log.next_offset
    assert parts[0].truncated
    assert parts[0].text.startswith(mark(4 * size))
    assert not any(part.truncated for part in parts[1:])
    assert sum(len(part.text) for part in parts) == MAX_LOG_BYTES + len(mark(4 * size)) + 1
    assert len(parts) > 1, "one answer is bounded"


def test_every_attempt_has_its_own_log_and_a_lost_one_leaves_its_end_as_evidence(registry, make, leased):
    _send(registry, make, leased, _chunk(0, "last words\n"))
    with registry.write() as tx:
        second = jobs.lease(tx, worker="w2", capabilities=frozenset(), now=make.now + LONG)
        assert second is not None
        assert second.job.attempts[0].failure == Failure(
            reason=FailureReason.WORKER_LOST,
            message="no heartbeat before the lease expired",
            log_tail="last words",
        )
        jobs.heartbeat(tx, "job-1", token=second.token, log=_chunk(0, "again\n"), now=make.now + LONG)
        with pytest.raises(LeaseLost):
            jobs.heartbeat(tx, "job-1", token=leased.token, log=_chunk(11, "late\n"), now=make.now + LONG)
    assert _read(registry).text == "again\n"
    first = _read(registry, attempt=1)
    assert (first.text, first.ended) == ("last words\n", True)


@pytest.mark.parametrize(
    ("chunk", "part"),
    [
        (LogChunk(start=-1, end=3, text="a"), "no stretch"),
        (LogChunk(start=5, end=3, text="a"), "no stretch"),
        (LogChunk(start=0, end=2**63, text="a"), "no stretch"),
        (LogChunk(start=0, end=MAX_CHUNK_BYTES + 1, text="a"), "too long"),
        (LogChunk(start=0, end=9, text="a" * (MAX_CHUNK_BYTES + 1)), "too long"),
        (LogChunk(start=0, end=9, text="\ud800"), "surrogate"),
    ],
)
def test_hostile_stretches_are_refused(registry, make, leased, chunk, part):
    with pytest.raises(InvalidInput, match=part):
        _send(registry, make, leased, chunk)
    assert _read(registry).text == ""


def test_nul_characters_are_replaced(registry, make, leased):
    _send(registry, make, leased, _chunk(0, "a\0b\n"))
    assert _read(registry).text == "a�b\n"


def test_attempts_that_do_not_exist_are_named(registry, make, leased):
    with pytest.raises(InvalidInput, match="attempt: 2 does not exist; allowed: 1 to 1"):
        _read(registry, attempt=2)
    with registry.write() as tx:
        jobs.create(tx, make.job("job-2"))
        untried = jobs.get(tx, "job-2")
        assert job_logs.read(tx, untried).attempt == 0
        with pytest.raises(InvalidInput, match="not tried yet"):
            job_logs.read(tx, untried, attempt=1)
    with pytest.raises(InvalidInput, match="offset"):
        _read(registry, offset=-1)
