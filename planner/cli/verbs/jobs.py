"""`planner jobs`: what workers are asked to do, and how it goes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import rich_click as click

from planner.cli.render.jobs import follow as follow_job
from planner.cli.render.jobs import jobs_table, print_job, whole_log, workers_table
from planner.cli.render.tables import print_page
from planner.cli.session import Session, console, page_options, session_options
from planner.domain.job import Job, JobKind, JobState
from planner.domain.job_log import JobLog
from planner.domain.job_worker import WorkerRow
from planner.domain.listing import Page
from planner.errors import InvalidInput
from planner.wire.requests import JobRequest
from planner.wire.service import Working


def load_request(path: Path) -> JobRequest:
    """Return the job in a JSON file: a worker's job file, or a request with kind, spec and requires.

    Raises InvalidInput naming the field.
    """
    try:
        document = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
        if "spec" not in document:
            document = {"kind": document.get("kind"), "spec": document}
        return msgspec.convert(document, JobRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(str(path), str(error), allowed="a job as a JSON object") from error


@click.command("jobs")
@click.argument("job_id", required=False)
@click.option(
    "--create",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Queue the job in this JSON file for a worker.",
)
@click.option(
    "--require",
    "requires",
    multiple=True,
    metavar="WHAT",
    help="With --create: what the worker must state, such as cuda, device:h200, vram>=24GiB or cc>=8.9; repeatable.",
)
@click.option("--cancel", is_flag=True, help="Cancel the job JOB_ID.")
@click.option("--release", metavar="JOB_ID", help="Queue a parked job again.")
@click.option("--log", "show_log", is_flag=True, help="Print what the job JOB_ID printed.")
@click.option(
    "--attempt", type=click.IntRange(min=1), help="With --log: of this attempt instead of the last one."
)
@click.option(
    "--follow", is_flag=True, help="Print the log of the job JOB_ID, new or --create'd, until it ends."
)
@click.option("--workers", "list_workers", is_flag=True, help="List the workers that ask for jobs.")
@click.option("--drain", metavar="WORKER", help="Tell a worker to finish its job and take no more.")
@click.option("--resume", metavar="WORKER", help="Let a drained worker take jobs again.")
@click.option(
    "--state", type=click.Choice([state.value for state in JobState]), help="Only jobs in this state."
)
@click.option("--kind", type=click.Choice([kind.value for kind in JobKind]), help="Only jobs of this kind.")
@page_options
@session_options
def command(
    *,
    session: Session,
    job_id: str | None,
    create: Path | None,
    requires: tuple[str, ...],
    cancel: bool,
    release: str | None,
    show_log: bool,
    attempt: int | None,
    follow: bool,
    list_workers: bool,
    drain: str | None,
    resume: str | None,
    state: str | None,
    kind: str | None,
    limit: int,
    cursor: str | None,
) -> int:
    """List jobs, show the job JOB_ID, or queue, follow, cancel or release one; list or drain workers.

    Exit codes: 0 done, 1 with --follow when the job did not succeed, 2 usage.
    """
    chosen = {
        "--create": create,
        "--cancel": cancel,
        "--release": release,
        "--log": show_log,
        "--workers": list_workers,
        "--drain": drain,
        "--resume": resume,
    }
    _check(chosen, job_id=job_id, follow=follow, attempt=attempt, requires=requires)
    with session.service() as service:
        if create is not None:
            request = load_request(create)
            wanted = (*request.requires, *requires)
            job = service.create_job(msgspec.structs.replace(request, requires=wanted))
            return _follow(session, service, job.id) if follow else _show(session, job)
        if release is not None:
            return _show(session, service.release(release))
        if drain is not None or resume is not None:
            row = service.drain(drain or resume or "", resume=resume is not None)
            return _show_workers(session, Page(items=(row,), next_cursor=None), one=True)
        if list_workers:
            return _show_workers(session, service.workers(limit=limit, cursor=cursor))
        if job_id is not None:
            if follow:
                return _follow(session, service, job_id)
            if show_log:
                return _show_log(session, whole_log(service, job_id, attempt))
            return _show(session, service.cancel(job_id) if cancel else service.job(job_id))
        page = service.jobs(
            state=JobState(state) if state else None,
            kind=JobKind(kind) if kind else None,
            limit=limit,
            cursor=cursor,
        )
    if session.json:
        session.print_json(page)
    else:
        print_page(console(), jobs_table(page.items), next_cursor=page.next_cursor, empty="no job matches")
    return 0


def _check(
    chosen: Mapping[str, object],
    *,
    job_id: str | None,
    follow: bool,
    attempt: int | None,
    requires: tuple[str, ...],
) -> None:
    """Raise InvalidInput unless the options go together."""
    given = [name for name, value in chosen.items() if value not in {None, False}]
    if len(given) > 1:
        raise InvalidInput(given[1], f"does not go with {given[0]}", allowed="one of the two")
    action = given[0] if given else None
    if action in {"--cancel", "--log"} and job_id is None:
        raise InvalidInput("JOB_ID", "is missing", allowed="the id of the job")
    if action in {"--create", "--release", "--workers", "--drain", "--resume"} and job_id is not None:
        raise InvalidInput(action, "does not go with JOB_ID", allowed="one of the two")
    if follow and action not in {None, "--create", "--log"}:
        raise InvalidInput("--follow", f"does not go with {action}", allowed="JOB_ID or --create")
    if follow and action != "--create" and job_id is None:
        raise InvalidInput("JOB_ID", "is missing", allowed="the id of the job to follow")
    if attempt is not None and (action != "--log" or follow):
        raise InvalidInput("--attempt", "is for --log", allowed="with --log and without --follow")
    if requires and action != "--create":
        raise InvalidInput("--require", "is for --create", allowed="with --create")


def _show(session: Session, job: Job) -> int:
    if session.json:
        session.print_json(job)
    else:
        print_job(console(), job)
    return 0


def _show_log(session: Session, log: JobLog) -> int:
    if session.json:
        session.print_json(log)
    elif log.text:
        sys.stdout.write(log.text if log.text.endswith("\n") else log.text + "\n")
    else:
        console(stderr=True).print("nothing was printed" if log.attempt else "the job was not tried yet")
    return 0


def _follow(session: Session, service: Working, job_id: str) -> int:
    job = follow_job(service, job_id, out=console(stderr=session.json), quiet=session.json)
    if session.json:
        session.print_json(job)
    else:
        console(stderr=True).print(jobs_table([job]))
    return 0 if job.state is JobState.SUCCEEDED else 1


def _show_workers(session: Session, page: Page[WorkerRow], *, one: bool = False) -> int:
    if session.json:
        session.print_json(page.items[0] if one else page)
    else:
        print_page(
            console(),
            workers_table(page.items),
            next_cursor=page.next_cursor,
            empty="no worker has asked for a job; start one with `worker run --server URL`",
        )
    return 0
