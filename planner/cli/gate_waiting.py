"""Waiting for a gate's verdict: its jobs are watched, and when one ends the gate is judged again on what is there then."""

from __future__ import annotations

import time
from typing import Final, Protocol

from planner.cli.render.progress import share_progress
from planner.domain.job import Job, JobState
from planner.errors import Unavailable
from planner.gate.report import CheckState, GateReport, GateVerdict, JobStanding
from planner.wire.gating import GateRequest, Gating

POLL_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = 120.0
"""How long a server that is away is waited for."""
_ACTIVE: Final = frozenset({JobState.QUEUED, JobState.LEASED})
"""A parked job waits for a person: it is not waited for here."""


class Waiting(Gating, Protocol):
    """What waiting asks of a service."""

    def job(self, job_id: str) -> Job:
        """Return a job. Raises NotFound."""
        ...


def wait_for_verdict(
    service: Waiting, request: GateRequest, report: GateReport, *, minutes: int | None, quiet: bool
) -> GateReport:
    """Return the first decided report, or the last one when no job is under way any more or time is up."""
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    with share_progress("waiting for a worker", quiet=quiet) as progress:
        known: set[str] = set()
        while report.verdict is GateVerdict.INCONCLUSIVE:
            watched = _watched(report)
            while True:
                jobs = _look(service, watched)
                ended = {job.id for job in jobs if job.state not in _ACTIVE}
                if ended - known:
                    break
                if len(ended) == len(jobs) or (deadline is not None and time.monotonic() > deadline):
                    return report
                progress(_share(jobs), _words(jobs, report))
                time.sleep(POLL_SECONDS)
            known |= ended
            before, report = report, service.gate(request)
            if _stale(before) & _stale(report):
                return report
    return report


def _stale(report: GateReport) -> set[str]:
    """Return what is stale: what workers measure anew and is stale again will not become fresh by waiting."""
    return {f"{check.field}" for check in report.checks if check.state is CheckState.STALE}


def _watched(report: GateReport) -> tuple[str, ...]:
    """Return the jobs under way."""
    active = {JobStanding.QUEUED, JobStanding.ALREADY}
    return tuple(dict.fromkeys(each.job_id for each in report.jobs if each.job_id and each.state in active))


def _look(service: Waiting, watched: tuple[str, ...]) -> list[Job]:
    """Return the jobs as they stand, waiting for a server that is away for a while."""
    heard = time.monotonic()
    while True:
        try:
            return [service.job(job_id) for job_id in watched]
        except Unavailable:
            if time.monotonic() - heard > PATIENCE_SECONDS:
                raise
            time.sleep(POLL_SECONDS)


def _share(jobs: list[Job]) -> float:
    shares = [
        1.0 if job.state not in _ACTIVE else (job.current.progress if job.current else 0.0) for job in jobs
    ]
    return sum(share or 0.0 for share in shares) / max(1, len(shares))


def _words(jobs: list[Job], report: GateReport) -> str:
    running = sum(job.state is JobState.LEASED for job in jobs)
    unmatched = next((job.unmatched.message for job in jobs if job.unmatched is not None), None)
    said = f"{running} of {len(jobs)} jobs run; {report.sentence}"
    return f"{unmatched}; {said}"[:200] if unmatched and not running else said[:200]
