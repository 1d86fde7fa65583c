"""Workers: which ones ask for jobs, what each states and does, and telling one to take no more."""

from __future__ import annotations

from litestar import Router, get, post

from planner.api.parameters import Cursor, Limit, Name, ServiceParameter, WorkerPage
from planner.domain.job_worker import WorkerRow
from planner.wire.page import DEFAULT_LIMIT


@get("/workers", operation_id="listWorkers", summary="List workers by name", sync_to_thread=True)
def list_workers(
    service: ServiceParameter, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> WorkerPage:
    """Return a page of workers."""
    return service.workers(limit=limit, cursor=cursor)


@post(
    "/workers/{worker:str}/drain",
    operation_id="drainWorker",
    summary="Tell a worker to finish its job and take no more",
    status_code=200,
    sync_to_thread=True,
)
def drain_worker(service: ServiceParameter, worker: Name) -> WorkerRow:
    """Drain a worker."""
    return service.drain(worker)


@post(
    "/workers/{worker:str}/resume",
    operation_id="resumeWorker",
    summary="Let a drained worker take jobs again",
    status_code=200,
    sync_to_thread=True,
)
def resume_worker(service: ServiceParameter, worker: Name) -> WorkerRow:
    """Undo a drain."""
    return service.drain(worker, resume=True)


router = Router("/", route_handlers=[list_workers, drain_worker, resume_worker], tags=["Workers"])
