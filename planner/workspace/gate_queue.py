"""Queueing what a gate lacks, once: gates are run again and again, by several pipelines at a time.

A job that is already waiting or running is taken as it is. A new one gets an id made of what it does and of the evidence there was,
so that two gates that see the same lack make the same job.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import msgspec

from planner.domain.job import Job, JobKind, JobState
from planner.domain.job_requirement import parse
from planner.domain.job_spec import check_spec
from planner.errors import NotFound
from planner.gate.report import GateJob, GateReport, JobStanding
from planner.registry import jobs
from planner.registry.transaction import Transaction, WriteTransaction
from planner.wire.page import MAX_LIMIT
from planner.workspace.opened import Opened

_ACTIVE: Final = (JobState.QUEUED, JobState.LEASED, JobState.PARKED)
MAX_TRIES: Final = 100
"""How often work that failed is queued again on the same evidence, over all gates."""


class GateQueue(Opened):
    """Queues the jobs of a gate's report."""

    def queue_gate_jobs(self, report: GateReport) -> tuple[GateJob, ...]:
        """Return the report's jobs with what became of each."""
        if not report.jobs:
            return ()
        evidence = {check.title: check.evidence for check in report.checks}
        with self.registry.write() as tx:
            active = _active(tx, {each.job.kind for each in report.jobs})
            return tuple(
                self._queue_one(tx, each, active, evidence.get(each.check, ())) for each in report.jobs
            )

    def _queue_one(
        self,
        tx: WriteTransaction,
        wanted: GateJob,
        active: dict[bytes, list[Job]],
        evidence: Iterable[str],
    ) -> GateJob:
        job = wanted.job
        if job.blocked is not None:
            return msgspec.structs.replace(wanted, state=JobStanding.BLOCKED, detail=job.blocked)
        waiting = active[_key(job.kind, job.spec)]
        if waiting:
            found = waiting.pop(0)
            return msgspec.structs.replace(
                wanted, state=JobStanding.ALREADY, job_id=found.id, detail=found.state.value
            )
        check_spec(job.kind, job.spec)
        requires = tuple(dict.fromkeys(str(parse(text)) for text in job.requires))
        for number in range(MAX_TRIES):
            identity = _identity(wanted, evidence, number)
            before = _find(tx, identity)
            if before is None:
                fresh = Job(
                    id=identity, kind=job.kind, spec=job.spec, requires=requires, created_at=self.now()
                )
                jobs.create(tx, fresh)
                return msgspec.structs.replace(wanted, state=JobStanding.QUEUED, job_id=identity)
            if before.state is JobState.SUCCEEDED:
                return msgspec.structs.replace(
                    wanted,
                    state=JobStanding.ENDED,
                    job_id=identity,
                    detail="it ran on this evidence, and its result does not count or adds nothing",
                )
        return msgspec.structs.replace(
            wanted, state=JobStanding.ENDED, detail=f"it failed or was cancelled {MAX_TRIES} times"
        )


def _active(tx: Transaction, kinds: Iterable[JobKind]) -> dict[bytes, list[Job]]:
    """Return the jobs that wait or run, by what they do."""
    found: defaultdict[bytes, list[Job]] = defaultdict(list)
    for kind in sorted(kinds):
        for state in _ACTIVE:
            cursor: str | None = None
            while True:
                page = jobs.page(tx, state=state, kind=kind, limit=MAX_LIMIT, cursor=cursor)
                for job in page.items:
                    found[_key(job.kind, job.spec)].append(job)
                cursor = page.next_cursor
                if cursor is None:
                    break
    return found


def _find(tx: Transaction, identity: str) -> Job | None:
    try:
        return jobs.get(tx, identity)
    except NotFound:
        return None


def _key(kind: JobKind, spec: object) -> bytes:
    return msgspec.json.encode([kind, spec], order="deterministic")


def _identity(wanted: GateJob, evidence: Iterable[str], number: int) -> str:
    job = wanted.job
    whole = msgspec.json.encode(
        [job.kind, job.spec, job.requires, job.note, sorted(evidence), number], order="deterministic"
    )
    return str(uuid.UUID(bytes=hashlib.sha256(whole).digest()[:16], version=5))
