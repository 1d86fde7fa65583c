"""Every call of the API as data: method, path, parameters, body and the type of the answer. No I/O.

Both clients send these, so that what is asked and how it is read back is written once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import msgspec

from planner.client.multipart import multipart
from planner.deploy.checking import LockCheck
from planner.deploy.deployment import Deployment
from planner.deploy.lock import Lock
from planner.domain.alias import Alias
from planner.domain.device import Device
from planner.domain.evaluation import Evaluation
from planner.domain.fleet import Fleet, FleetAnswer
from planner.domain.job import Failure, Job, JobKind, JobState, Lease
from planner.domain.job_log import JobLog, LogChunk
from planner.domain.job_worker import WorkerRow
from planner.domain.lifecycle import LifecycleState
from planner.domain.listing import Page, VariantFilter, VariantRow, VariantSort
from planner.domain.model import Model
from planner.domain.outcome import Plan
from planner.domain.profile import Profile
from planner.domain.scenario import Preset, Scenario
from planner.domain.training import TrainingAnswer, TrainingRequest
from planner.domain.variant import Variant
from planner.errors import InvalidInput
from planner.wire.imports import ImportOptions, ImportReport, ResultFile
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.replies import Batch, Health, Registration, Replay, Submission, Understanding, Why
from planner.wire.requests import (
    Completion,
    DeployRequest,
    Digests,
    FailureReport,
    Heartbeat,
    JobRequest,
    LeaseRequest,
    LockRequest,
    Manifest,
    MoveAlias,
    Question,
)
from planner.wire.rows import AliasHistory, DownloadRow, PlanRow

T = TypeVar("T")
PREFIX: Final = "/api/v1"
BATCH_PATIENCE: Final = 300.0
"""A whole batch, or a fleet, may be worked on for minutes on a large catalogue."""
HEARTBEAT_PATIENCE: Final = 10.0
"""A lost connection must be noticed well before the lease runs out."""


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T]):
    """One request. `repeatable` says that sending it twice is harmless, so that it may be retried."""

    method: str
    path: str
    answer: Any
    """Type the body of the answer is decoded as."""
    parameters: Mapping[str, str]
    body: bytes | None = None
    repeatable: bool = True
    accepts: tuple[int, ...] = ()
    """Statuses from 400 on whose body is an answer all the same."""
    media_type: str = "application/json"
    """Of the body."""
    patience: float | None = None
    """Seconds to wait for an answer where that is less than for others."""


def _get(path: str, answer: Any, *, accepts: tuple[int, ...] = (), **parameters: object) -> Call[Any]:
    return Call(
        method="GET", path=PREFIX + path, answer=answer, parameters=_texts(parameters), accepts=accepts
    )


def _send(method: str, path: str, answer: Any, body: object | None, *, repeatable: bool) -> Call[Any]:
    return Call(
        method=method,
        path=PREFIX + path,
        answer=answer,
        parameters={},
        body=None if body is None else msgspec.json.encode(body),
        repeatable=repeatable,
    )


def _texts(parameters: Mapping[str, object]) -> dict[str, str]:
    return {name: _text(value) for name, value in parameters.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.value if isinstance(value, Enum) else value)


def segment(kind: str, name: str, *, slashes: bool = False) -> str:
    """Return `name` quoted for a path. Raises InvalidInput for an empty one."""
    if not name.strip():
        raise InvalidInput(kind, "is empty", allowed=f"the name or id of a {kind}")
    return quote(name, safe=":/" if slashes else ":")


def recommend(*, query: str | None = None, scenario: Scenario | None = None) -> Call[Plan]:
    """Ask a question. A repeated one is answered again and stored twice, which does no harm."""
    if (query is None) == (scenario is None):
        raise InvalidInput("query", "give a query or a scenario", allowed="exactly one of the two")
    body = scenario if query is None else Question(query=query)
    return _send("POST", "/recommend", Plan, body, repeatable=True)


def recommend_batch(questions: Sequence[str | Scenario]) -> Call[Batch]:
    """Ask several questions at once. A repeated batch is answered again and stored twice, which does no harm."""
    items = [Question(query=item) if isinstance(item, str) else item for item in questions]
    call = _send("POST", "/recommend/batch", Batch, {"questions": items}, repeatable=True)
    return replace(call, patience=BATCH_PATIENCE)


def fleet(fleet: Fleet) -> Call[FleetAnswer]:
    """Ask how a pool of devices serves several demands."""
    return replace(_send("POST", "/fleet", FleetAnswer, fleet, repeatable=True), patience=BATCH_PATIENCE)


def lock(plan_id: str, *, runtime: str | None = None) -> Call[Lock]:
    """Lock what a stored plan chose."""
    return _send("POST", "/lock", Lock, LockRequest(plan_id=plan_id, runtime=runtime), repeatable=True)


def check(locked: Lock) -> Call[LockCheck]:
    """Judge a lock again."""
    return _send("POST", "/check", LockCheck, locked, repeatable=True)


def deploy(request: DeployRequest) -> Call[Deployment]:
    """Ask for what serves a plan's answer or a lock."""
    return _send("POST", "/deploy", Deployment, request, repeatable=True)


def training(request: TrainingRequest) -> Call[TrainingAnswer]:
    """Ask whether a training fits."""
    return _send("POST", "/training", TrainingAnswer, request, repeatable=True)


def understand(query: str) -> Call[Understanding]:
    """Ask how a question is read."""
    return _get("/understand", Understanding, q=query)


def plan(plan_id: str) -> Call[Plan]:
    """Return a stored plan."""
    return _get(f"/plans/{segment('plan', plan_id)}", Plan)


def plans(*, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Call[Page[PlanRow]]:
    """List stored plans."""
    return _get("/plans", Page[PlanRow], limit=limit, cursor=cursor)


def replay(plan_id: str) -> Call[Replay]:
    """Compute a plan again."""
    return _send("POST", f"/plans/{segment('plan', plan_id)}/replay", Replay, None, repeatable=True)


def why(variant: str, *, plan_id: str | None = None, query: str | None = None) -> Call[Why]:
    """Ask about one variant."""
    if (plan_id is None) == (query is None):
        raise InvalidInput("query", "give a plan or a query", allowed="exactly one of the two")
    if plan_id is not None:
        return _get(f"/plans/{segment('plan', plan_id)}/why", Why, variant=variant)
    return _get("/why", Why, q=query, variant=variant)


def models(
    *,
    search: str | None = None,
    family: str | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Call[Page[Model]]:
    """List base models."""
    return _get("/models", Page[Model], search=search, family=family, limit=limit, cursor=cursor)


def model(name: str) -> Call[Model]:
    """Return a base model."""
    return _get(f"/models/{segment('model', name, slashes=True)}", Model)


def variants(
    wanted: VariantFilter | None = None,
    *,
    sort: VariantSort = VariantSort.NAME,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Call[Page[VariantRow]]:
    """List variants."""
    filters: dict[str, Any] = msgspec.structs.asdict(wanted) if wanted is not None else {}
    return _get("/variants", Page[VariantRow], **filters, sort=sort, limit=limit, cursor=cursor)


def variant(name: str) -> Call[Variant]:
    """Return a variant."""
    return _get(f"/variants/{segment('variant', name, slashes=True)}", Variant)


def register_manifest(manifest: Manifest) -> Call[Registration]:
    """Register files that were uploaded."""
    return _send("POST", "/variants", Registration, manifest, repeatable=True)


def devices(
    *, search: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Call[Page[Device]]:
    """List device types."""
    return _get("/devices", Page[Device], search=search, limit=limit, cursor=cursor)


def device(name: str) -> Call[Device]:
    """Return a device type."""
    return _get(f"/devices/{segment('device', name)}", Device)


def put_device(device: Device) -> Call[Device]:
    """Add or update a device type."""
    return _send("PUT", f"/devices/{segment('device', device.id)}", Device, device, repeatable=True)


def presets() -> Call[tuple[Preset, ...]]:
    """List the named scenarios."""
    return _get("/presets", tuple[Preset, ...])


def profiles(
    *,
    variant: str | None = None,
    device: str | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Call[Page[Profile]]:
    """List speed and memory evidence."""
    return _get("/profiles", Page[Profile], variant=variant, device=device, limit=limit, cursor=cursor)


def submit_profile(profile: Profile) -> Call[Submission]:
    """Hand in speed and memory evidence."""
    return _send("POST", "/profiles", Submission, profile, repeatable=True)


def evaluations(
    *,
    variant: str | None = None,
    task: str | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Call[Page[Evaluation]]:
    """List accuracy evidence."""
    return _get("/evaluations", Page[Evaluation], variant=variant, task=task, limit=limit, cursor=cursor)


def submit_evaluation(evaluation: Evaluation) -> Call[Submission]:
    """Hand in accuracy evidence."""
    return _send("POST", "/evaluations", Submission, evaluation, repeatable=True)


def import_results(files: Sequence[ResultFile], options: ImportOptions) -> Call[ImportReport]:
    """Hand in result files of other tools. They are all read before anything is stored, so it may be repeated."""
    media_type, body = multipart(
        [("baseline_file" if file.of_baseline else "file", file.name, file.content) for file in files]
    )
    return Call(
        method="POST",
        path=f"{PREFIX}/imports",
        answer=ImportReport,
        parameters=_texts(msgspec.structs.asdict(options)),
        body=body,
        media_type=media_type,
    )


def aliases(*, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Call[Page[Alias]]:
    """List aliases."""
    return _get("/aliases", Page[Alias], limit=limit, cursor=cursor)


def alias(name: str) -> Call[AliasHistory]:
    """Return an alias and its moves."""
    return _get(f"/aliases/{segment('alias', name)}", AliasHistory)


def move_alias(
    name: str,
    variant: str,
    *,
    expected: str | msgspec.UnsetType | None = msgspec.UNSET,
    actor: str | None = None,
) -> Call[Alias]:
    """Point an alias at a variant. With `expected` it is not retried: the first try may have done it."""
    body = MoveAlias(variant=variant, expected=expected, actor=actor)
    return _send(
        "PUT", f"/aliases/{segment('alias', name)}", Alias, body, repeatable=expected is msgspec.UNSET
    )


def downloads(
    *,
    variant: str | None = None,
    state: LifecycleState | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Call[Page[DownloadRow]]:
    """List downloads."""
    return _get("/downloads", Page[DownloadRow], variant=variant, state=state, limit=limit, cursor=cursor)


def health() -> Call[Health]:
    """Ask whether the server works."""
    return _get("/health", Health, accepts=(503,))


def missing(sha256: Sequence[str]) -> Call[Digests]:
    """Ask which files are still to be uploaded."""
    return _send("POST", "/artifacts/missing", Digests, Digests(sha256=tuple(sha256)), repeatable=True)


def create_job(request: JobRequest) -> Call[Job]:
    """Queue a job; not repeated, since each try would queue another one."""
    return _send("POST", "/jobs", Job, request, repeatable=False)


def jobs(
    *,
    state: JobState | None = None,
    kind: JobKind | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Call[Page[Job]]:
    """List jobs."""
    return _get("/jobs", Page[Job], state=state, kind=kind, limit=limit, cursor=cursor)


def job(job_id: str) -> Call[Job]:
    """Return a job."""
    return _get(f"/jobs/{segment('job', job_id)}", Job)


def job_log(job_id: str, *, attempt: int | None = None, offset: int = 0) -> Call[JobLog]:
    """Return what an attempt printed."""
    return _get(f"/jobs/{segment('job', job_id)}/log", JobLog, attempt=attempt, offset=offset)


def lease(
    *, worker: str, capabilities: frozenset[str] = frozenset(), kinds: tuple[JobKind, ...] = ()
) -> Call[Lease | None]:
    """Take a job; not repeated, since a lost answer would leave a job leased to nobody until its lease runs out."""
    body = LeaseRequest(worker=worker, capabilities=tuple(sorted(capabilities)), kinds=kinds)
    return _send("POST", "/jobs/lease", Lease, body, repeatable=False)


def heartbeat(
    job_id: str,
    *,
    token: int,
    progress: float | None = None,
    message: str | None = None,
    log: LogChunk | None = None,
    draining: bool = False,
) -> Call[Job]:
    """Keep a lease alive, and hand over what was printed."""
    body = Heartbeat(token=token, progress=progress, message=message, log=log, draining=draining)
    call = _send("POST", f"/jobs/{segment('job', job_id)}/heartbeat", Job, body, repeatable=True)
    return replace(call, patience=HEARTBEAT_PATIENCE)


def complete(job_id: str, *, token: int, result: dict[str, Any]) -> Call[Job]:
    """Hand in a result."""
    body = Completion(token=token, result=result)
    return _send("POST", f"/jobs/{segment('job', job_id)}/complete", Job, body, repeatable=True)


def fail(job_id: str, *, token: int, failure: Failure) -> Call[Job]:
    """Report a failure."""
    body = FailureReport(token=token, failure=failure)
    return _send("POST", f"/jobs/{segment('job', job_id)}/fail", Job, body, repeatable=True)


def cancel(job_id: str) -> Call[Job]:
    """Cancel a job."""
    return _send("POST", f"/jobs/{segment('job', job_id)}/cancel", Job, None, repeatable=True)


def release(job_id: str) -> Call[Job]:
    """Queue a parked job again; not repeated, since the second time would find it queued."""
    return _send("POST", f"/jobs/{segment('job', job_id)}/release", Job, None, repeatable=False)


def workers(*, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Call[Page[WorkerRow]]:
    """List workers."""
    return _get("/workers", Page[WorkerRow], limit=limit, cursor=cursor)


def drain(worker: str, *, resume: bool = False) -> Call[WorkerRow]:
    """Tell a worker to take no more jobs, or to take jobs again."""
    action = "resume" if resume else "drain"
    return _send("POST", f"/workers/{segment('worker', worker)}/{action}", WorkerRow, None, repeatable=True)
