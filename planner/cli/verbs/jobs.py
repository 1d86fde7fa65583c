"""`planner jobs`: what workers are asked to do, and how it goes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import rich_click as click

from planner.cli.render.tables import jobs_table, print_page, record
from planner.cli.session import Session, console, page_options, session_options
from planner.domain.job import JobKind, JobState
from planner.errors import InvalidInput
from planner.wire.requests import JobRequest


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
@click.option("--cancel", is_flag=True, help="Cancel the job JOB_ID.")
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
    cancel: bool,
    state: str | None,
    kind: str | None,
    limit: int,
    cursor: str | None,
) -> None:
    """List jobs, show the job JOB_ID, or queue or cancel one."""
    if cancel and job_id is None:
        raise InvalidInput("JOB_ID", "is missing", allowed="the id of the job to cancel")
    if create is not None and job_id is not None:
        raise InvalidInput("--create", "does not go with JOB_ID", allowed="one of the two")
    with session.service() as service:
        if create is not None or job_id is not None:
            if create is not None:
                job = service.create_job(load_request(create))
            else:
                assert job_id is not None
                job = service.cancel(job_id) if cancel else service.job(job_id)
            if session.json:
                session.print_json(job)
            else:
                console().print(record(job))
            return
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
