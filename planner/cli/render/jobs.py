"""Jobs and workers as tables, one job in full, and a job followed while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from planner.cli.render.job_result import print_document, print_result
from planner.cli.render.progress import share_progress
from planner.cli.render.tables import listing, record
from planner.domain.job import Attempt, Job, JobState
from planner.domain.job_log import JobLog
from planner.domain.job_worker import WorkerRow
from planner.errors import Unavailable
from planner.wire.service import Working

POLL_SECONDS = 1.0
"""How often a job that is followed is looked at."""
PATIENCE_SECONDS = 120.0
"""How long following waits for a server that is away."""


def jobs_table(jobs: Iterable[Job]) -> Table:
    """Return jobs with their state, attempts and the last word on each."""
    table = listing(("id", "kind", "state", "attempts", "worker", "progress", "last message"))
    for job in jobs:
        last = job.attempts[-1] if job.attempts else None
        table.add_row(
            job.id,
            job.kind.value,
            job.state.value,
            f"{len(job.attempts)} of {job.max_attempts}",
            last.worker if last else "",
            _share(last),
            Text(_last_word(job)),
        )
    return table


def workers_table(rows: Iterable[WorkerRow]) -> Table:
    """Return workers with what they state and do."""
    table = listing(("worker", "state", "job", "last seen", "takes", "states"))
    for row in rows:
        worker = row.worker
        table.add_row(
            worker.name,
            row.state.value,
            row.job_id or "",
            f"{worker.last_seen_at:%Y-%m-%d %H:%M:%S} UTC",
            ", ".join(kind.value for kind in worker.kinds) or "any job",
            Text(", ".join(worker.capabilities)),
        )
    return table


def print_job(console: Console, job: Job) -> None:
    """Print one job: its fields, its attempts, its result, and, when it is parked, the evidence and the way on."""
    skipped = {"attempts", "unmatched", "spec", "result"}
    if not job.forgiven:
        skipped.add("forgiven")
    console.print(record(job, skip=frozenset(skipped)))
    print_document(console, "asked for", {key: value for key, value in job.spec.items() if key != "kind"})
    if job.unmatched is not None:
        console.print(Text(f"waits: {job.unmatched.message}", style="yellow"))
    if job.attempts:
        console.print()
        table = listing(("attempt", "worker", "started", "ended", "progress", "how it ended"))
        for attempt in job.attempts:
            table.add_row(
                str(attempt.number),
                attempt.worker,
                f"{attempt.started_at:%Y-%m-%d %H:%M:%S} UTC",
                f"{attempt.ended_at:%H:%M:%S}" if attempt.ended_at else "",
                _share(attempt),
                Text(_end(job, attempt)),
            )
        console.print(table)
    if job.result is not None:
        print_result(console, job.result)
    if job.state in {JobState.PARKED, JobState.FAILED}:
        _print_log_tails(console, job)
    if job.state is JobState.PARKED:
        console.print(Text(f"try again: --release {job.id}   give up: {job.id} --cancel", style="dim"))


def follow(service: Working, job_id: str, *, out: Console, quiet: bool) -> Job:
    """Print a job's log as it grows, with a bar on stderr, until the job ends or is parked; return it then."""
    attempt, offset = 0, 0
    heard = time.monotonic()
    if not out.is_terminal:
        # The bar takes over sys.stdout where stderr is a terminal; a file or pipe must keep getting the log.
        out.file = out.file
    with share_progress("waiting for a worker", quiet=quiet) as progress:
        while True:
            try:
                job = service.job(job_id)
                attempt = attempt or len(job.attempts)
                log = service.job_log(job_id, attempt=attempt or None, offset=offset)
            except Unavailable as error:
                if time.monotonic() - heard > PATIENCE_SECONDS:
                    raise
                progress(0.0, error.message)
                time.sleep(POLL_SECONDS)
                continue
            heard = time.monotonic()
            if job.attempts:
                out.print(Text(log.text), end="", soft_wrap=True)
                offset = log.next_offset
                if log.ended and attempt < len(job.attempts):
                    attempt, offset = attempt + 1, 0
                    out.print(
                        Text(f"— attempt {attempt} on {job.attempts[attempt - 1].worker} —", style="dim")
                    )
                    continue
                if log.text:
                    continue
                share = job.attempts[-1].progress if job.state is JobState.LEASED else None
                progress(share or 0.0, _last_word(job))
            elif job.unmatched is not None:
                progress(0.0, job.unmatched.message)
            if job.state not in {JobState.QUEUED, JobState.LEASED}:
                return job
            time.sleep(POLL_SECONDS)


def whole_log(service: Working, job_id: str, attempt: int | None) -> JobLog:
    """Return all that is kept of an attempt's log, in one piece."""
    first = last = service.job_log(job_id, attempt=attempt)
    parts, truncated = [first.text], first.truncated
    while last.text:
        last = service.job_log(job_id, attempt=first.attempt or None, offset=last.next_offset)
        parts.append(last.text)
        truncated = truncated or last.truncated
    return JobLog(
        job_id=job_id,
        attempt=first.attempt,
        offset=0,
        next_offset=last.next_offset,
        text="".join(parts),
        truncated=truncated,
        ended=last.ended,
    )


def _print_log_tails(console: Console, job: Job) -> None:
    for attempt in job.attempts[job.forgiven :]:
        if attempt.failure is not None and attempt.failure.log_tail:
            console.print()
            console.print(Text(f"end of the log of attempt {attempt.number}", style="bold"))
            console.print(Text(attempt.failure.log_tail), soft_wrap=True)


def _last_word(job: Job) -> str:
    if job.unmatched is not None:
        return job.unmatched.message
    if job.parked_because is not None:
        return job.parked_because
    last = job.attempts[-1] if job.attempts else None
    return (last and (last.failure.message if last.failure else last.message)) or ""


def _share(attempt: Attempt | None) -> str:
    return f"{attempt.progress:.0%}" if attempt is not None and attempt.progress is not None else ""


def _end(job: Job, attempt: Attempt) -> str:
    if attempt.failure is not None:
        return f"{attempt.failure.reason.value}: {attempt.failure.message}"
    if attempt.ended_at is None:
        return attempt.message or "runs"
    return "succeeded" if job.state is JobState.SUCCEEDED else (attempt.message or "ended")
