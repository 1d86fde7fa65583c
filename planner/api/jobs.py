"""Jobs, and the leases workers hold on them."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, Router, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, QueryParameter

from planner.api.parameters import Cursor, JobPage, Limit, Name, ServiceParameter
from planner.domain.job import Job, JobKind, JobState, Lease
from planner.domain.job_log import JobLog
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.requests import Completion, FailureReport, Heartbeat, JobRequest, LeaseRequest


@get("/jobs", operation_id="listJobs", summary="List jobs, newest first", sync_to_thread=True)
def list_jobs(
    service: ServiceParameter,
    in_state: Annotated[
        JobState | None, QueryParameter(name="state", description="Only jobs in this state.")
    ] = None,
    kind: Annotated[JobKind | None, QueryParameter(description="Only jobs of this kind.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> JobPage:
    """Return a page of jobs."""
    return service.jobs(state=in_state, kind=kind, limit=limit, cursor=cursor)


@post("/jobs", operation_id="createJob", summary="Queue a job", sync_to_thread=True)
def create_job(service: ServiceParameter, data: JSONBody[JobRequest]) -> Job:
    """Queue a job for a worker."""
    return service.create_job(data)


@get(
    "/jobs/{job_id:str}",
    operation_id="getJob",
    summary="Return one job with its attempts",
    sync_to_thread=True,
)
def get_job(service: ServiceParameter, job_id: Name) -> Job:
    """Return a job."""
    return service.job(job_id)


@get(
    "/jobs/{job_id:str}/log",
    operation_id="readJobLog",
    summary="Read what an attempt printed",
    description=(
        "From byte `offset` on: ask again from `next_offset` until `ended`. The end of a long log is kept; a line says "
        "where bytes are missing."
    ),
    sync_to_thread=True,
)
def read_job_log(
    service: ServiceParameter,
    job_id: Name,
    attempt: Annotated[
        int | None, QueryParameter(ge=1, description="Number of the attempt; the last one unless given.")
    ] = None,
    offset: Annotated[int, QueryParameter(ge=0, description="Byte of the log to begin at.")] = 0,
) -> JobLog:
    """Return a stretch of a log."""
    return service.job_log(job_id, attempt=attempt, offset=offset)


@post(
    "/jobs/lease",
    operation_id="leaseJob",
    summary="Take the oldest job that a worker can do",
    description=(
        "Leases that ran out are taken back first. 204 when there is nothing to do, 409 `draining` when the worker was "
        "told to take no more."
    ),
    status_code=200,
    responses={204: ResponseSpec(None, description="No job for this worker")},
    sync_to_thread=True,
)
def lease_job(service: ServiceParameter, data: JSONBody[LeaseRequest]) -> Response[Lease | None]:
    """Lease a job."""
    lease = service.lease(worker=data.worker, capabilities=frozenset(data.capabilities), kinds=data.kinds)
    return Response(lease, status_code=204 if lease is None else 200)


@post(
    "/jobs/{job_id:str}/heartbeat",
    operation_id="heartbeatJob",
    summary="Keep a lease alive and report progress",
    status_code=200,
    sync_to_thread=True,
)
def heartbeat_job(service: ServiceParameter, job_id: Name, data: JSONBody[Heartbeat]) -> Job:
    """Extend a lease."""
    return service.heartbeat(
        job_id,
        token=data.token,
        progress=data.progress,
        message=data.message,
        log=data.log,
        draining=data.draining,
    )


@post(
    "/jobs/{job_id:str}/complete",
    operation_id="completeJob",
    summary="Hand in the result of a job",
    status_code=200,
    sync_to_thread=True,
)
def complete_job(service: ServiceParameter, job_id: Name, data: JSONBody[Completion]) -> Job:
    """End a job with its result."""
    return service.complete(job_id, token=data.token, result=data.result)


@post(
    "/jobs/{job_id:str}/fail",
    operation_id="failJob",
    summary="Report that an attempt failed",
    description=(
        "The job is queued again when another attempt can end differently and attempts are left, and parked when two "
        "workers ended in the same way."
    ),
    status_code=200,
    sync_to_thread=True,
)
def fail_job(service: ServiceParameter, job_id: Name, data: JSONBody[FailureReport]) -> Job:
    """End an attempt without a result."""
    return service.fail(job_id, token=data.token, failure=data.failure)


@post(
    "/jobs/{job_id:str}/cancel",
    operation_id="cancelJob",
    summary="Cancel a job",
    status_code=200,
    sync_to_thread=True,
)
def cancel_job(service: ServiceParameter, job_id: Name) -> Job:
    """Cancel a job that is not final."""
    return service.cancel(job_id)


@post(
    "/jobs/{job_id:str}/release",
    operation_id="releaseJob",
    summary="Queue a parked job again",
    description="Its attempts are kept and count no more.",
    status_code=200,
    sync_to_thread=True,
)
def release_job(service: ServiceParameter, job_id: Name) -> Job:
    """Release a parked job."""
    return service.release(job_id)


router = Router(
    "/",
    route_handlers=[
        list_jobs,
        create_job,
        get_job,
        read_job_log,
        lease_job,
        heartbeat_job,
        complete_job,
        fail_job,
        cancel_job,
        release_job,
    ],
    tags=["Jobs"],
)
