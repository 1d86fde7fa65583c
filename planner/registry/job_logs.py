"""What attempts printed: appended by the holder of the lease, bounded per attempt, read in stretches."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, and_, delete, func, select

from planner.domain.job import Job
from planner.domain.job_log import MAX_CHUNK_BYTES, MAX_LOG_BYTES, MAX_READ_BYTES, JobLog, LogChunk, render
from planner.errors import InvalidInput
from planner.registry.checks import MAX_INTEGER, check_document
from planner.registry.tables import JobLogChunks
from planner.registry.transaction import Transaction, WriteTransaction

TAIL_CHARACTERS: Final = 4000
_READ_CHUNKS: Final = 64


def append(tx: WriteTransaction, job_id: str, attempt: int, chunk: LogChunk) -> None:
    """Add a stretch of an attempt's log; what is there already is skipped. The caller has checked the lease.

    Raises InvalidInput.
    """
    if not 0 <= chunk.start <= chunk.end <= MAX_INTEGER:
        raise InvalidInput("log", f"{chunk.start} to {chunk.end} is no stretch", allowed="0 ≤ start ≤ end")
    if chunk.end - chunk.start > MAX_CHUNK_BYTES or len(chunk.text) > MAX_CHUNK_BYTES:
        raise InvalidInput("log", "is too long", allowed=f"at most {MAX_CHUNK_BYTES} bytes at once")
    text = chunk.text.replace("\x00", "�")
    check_document("log", {"text": text})
    here = _of(job_id, attempt)
    stored = select(func.max(JobLogChunks.end_byte)).where(here)
    end = tx.connection.execute(stored).scalar_one_or_none() or 0
    if chunk.end <= end:
        return
    if chunk.start < end:
        text = text.encode()[end - chunk.start :].decode("utf-8", errors="replace")
    row = {
        "job_id": job_id,
        "attempt": attempt,
        "start_byte": max(chunk.start, end),
        "end_byte": chunk.end,
        "text": text,
    }
    tx.insert_new(JobLogChunks, row)
    tx.connection.execute(
        delete(JobLogChunks).where(here, JobLogChunks.end_byte <= chunk.end - MAX_LOG_BYTES)
    )


def read(tx: Transaction, job: Job, *, attempt: int | None = None, offset: int = 0) -> JobLog:
    """Return the log of one attempt, the last one unless given, from `offset` on. Raises InvalidInput."""
    if not 0 <= offset <= MAX_INTEGER:
        raise InvalidInput("offset", f"{offset} is out of range", allowed="0 or more")
    number = len(job.attempts) if attempt is None else attempt
    if attempt is not None and not 1 <= attempt <= len(job.attempts):
        allowed = f"1 to {len(job.attempts)}" if job.attempts else "none, the job was not tried yet"
        raise InvalidInput("attempt", f"{attempt} does not exist", allowed=allowed)
    statement = (
        select(JobLogChunks.start_byte, JobLogChunks.end_byte, JobLogChunks.text)
        .where(_of(job.id, number), JobLogChunks.end_byte > offset)
        .order_by(JobLogChunks.start_byte)
        .limit(_READ_CHUNKS + 1)
    )
    rows = tx.connection.execute(statement).all()
    chunks: list[LogChunk] = []
    size = 0
    for row in rows[:_READ_CHUNKS]:
        if chunks and size + row.end_byte - row.start_byte > MAX_READ_BYTES:
            break
        size += row.end_byte - row.start_byte
        chunks.append(LogChunk(start=row.start_byte, end=row.end_byte, text=row.text))
    text, next_offset, truncated = render(chunks, offset)
    over = job.attempts[number - 1].ended_at is not None if number else job.state.is_final
    return JobLog(
        job_id=job.id,
        attempt=number,
        offset=offset,
        next_offset=next_offset,
        text=text,
        truncated=truncated,
        ended=over and len(chunks) == len(rows),
    )


def tail(tx: Transaction, job_id: str, attempt: int) -> str | None:
    """Return the end of an attempt's log; None when there is none."""
    statement = (
        select(JobLogChunks.text)
        .where(_of(job_id, attempt))
        .order_by(JobLogChunks.start_byte.desc())
        .limit(4)
    )
    last = tx.connection.execute(statement).scalars().all()
    return "".join(reversed(last))[-TAIL_CHARACTERS:].strip() or None


def _of(job_id: str, attempt: int) -> ColumnElement[bool]:
    return and_(JobLogChunks.job_id == job_id, JobLogChunks.attempt == attempt)
