"""Client: the use cases over HTTP, with the methods of `planner.wire.service.Service`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec

import planner
from planner.artifacts.hash_cache import HashCache
from planner.client import answering, calls, transfer
from planner.client.aliasing import Aliasing
from planner.client.calls import Call
from planner.client.credentials import authorization
from planner.client.explaining import Explaining
from planner.client.gating import Gating
from planner.client.identity import Identity
from planner.client.lifecycle import Lifecycle
from planner.client.registering import register_folder
from planner.client.retention import Retention
from planner.client.webhooks import Webhooks
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
from planner.domain.variant import Artifact, Provenance, Variant
from planner.wire.imports import ImportOptions, ImportReport, ResultFile
from planner.wire.lease import HEADER as LEASE_HEADER
from planner.wire.lease import header_value
from planner.wire.page import DEFAULT_LIMIT
from planner.wire.replies import (
    BatchAnswer,
    Health,
    Received,
    Registration,
    Replay,
    Submission,
    Understanding,
    Upload,
    Why,
)
from planner.wire.requests import DeployRequest, JobRequest, Manifest, RegisterReference
from planner.wire.rows import AliasHistory, DownloadRow, PlanRow

T = TypeVar("T")


class Client(Explaining, Lifecycle, Aliasing, Retention, Webhooks, Identity, Gating):
    """A server's use cases. Thread-safe. Calls that can be repeated harmlessly are retried when the server is away.

    Errors are those of `planner.errors` that the server raised; one that cannot be reached is Unavailable. The token is
    `token`, else that of PLANNER_TOKEN; an empty one shows none.
    """

    def __init__(
        self,
        base_url: str,
        *,
        transport: httpx.BaseTransport | None = None,
        lease: str | None = None,
        token: str | None = None,
    ) -> None:
        self.base_url = answering.check_base_url(base_url)
        self._transport = transport
        self._token = token
        headers = {"User-Agent": f"variant-planner/{planner.__version__}", **authorization(token)}
        if lease is not None:
            headers[LEASE_HEADER] = lease
        self._http = httpx.Client(
            base_url=self.base_url,
            transport=transport,
            timeout=answering.TIMEOUT,
            limits=answering.LIMITS,
            trust_env=not answering.is_local(self.base_url),
            headers=headers,
        )

    def under_lease(self, job_id: str, *, token: int) -> Self:
        """Return another client of the server, whose writes are refused once `token` no longer holds the job."""
        return type(self)(
            self.base_url, transport=self._transport, lease=header_value(job_id, token), token=self._token
        )

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, call: Call[T]) -> T:
        """Send `call` and return its answer."""
        headers = {"Content-Type": call.media_type} if call.body is not None else {}
        attempt = 0
        while True:
            attempt += 1
            try:
                response = self._http.request(
                    call.method,
                    call.path,
                    params=call.parameters,
                    content=call.body,
                    headers=headers,
                    timeout=answering.timeout(call),
                )
            except httpx.TransportError as reason:
                if not answering.retries_after(call, reason, attempt):
                    raise answering.unreachable(self.base_url, reason) from reason
                time.sleep(answering.pause(attempt))
                continue
            if not answering.retries(call, response.status_code, attempt):
                media_type = response.headers.get("content-type", "")
                return answering.read(call, response.status_code, media_type, response.content)
            time.sleep(answering.pause(attempt, response.headers.get("retry-after")))

    # -- questions ------------------------------------------------------------------------------------------------

    def recommend(self, *, query: str | None = None, scenario: Scenario | None = None) -> Plan:
        """Return the stored answer to exactly one of `query` or `scenario`."""
        return self.send(calls.recommend(query=query, scenario=scenario))

    def recommend_batch(self, questions: Sequence[str | Scenario]) -> tuple[BatchAnswer, ...]:
        """Return the answers to several questions in their order, each a stored plan or what is wrong with it."""
        return self.send(calls.recommend_batch(questions)).answers

    def fleet(self, fleet: Fleet) -> FleetAnswer:
        """Return the best assignment of a pool's devices to demands, or why there is none."""
        return self.send(calls.fleet(fleet))

    def training(self, request: TrainingRequest) -> TrainingAnswer:
        """Return whether a training fits its hardware, and what it takes."""
        return self.send(calls.training(request))

    def understand(self, query: str) -> Understanding:
        """Return how `query` is read."""
        return self.send(calls.understand(query))

    def plan(self, plan_id: str) -> Plan:
        """Return a stored plan."""
        return self.send(calls.plan(plan_id))

    def plans(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[PlanRow]:
        """Return stored plans, newest first."""
        return self.send(calls.plans(limit=limit, cursor=cursor))

    def replay(self, plan_id: str) -> Replay:
        """Have a stored plan computed again and compared."""
        return self.send(calls.replay(plan_id))

    def why(self, variant: str, *, plan_id: str | None = None, query: str | None = None) -> Why:
        """Return why `variant` is or is not the answer."""
        return self.send(calls.why(variant, plan_id=plan_id, query=query))

    def lock(self, plan_id: str, *, runtime: str | None = None) -> Lock:
        """Return the lock of what a stored plan chose."""
        return self.send(calls.lock(plan_id, runtime=runtime))

    def check(self, lock: Lock) -> LockCheck:
        """Return how a lock stands now."""
        return self.send(calls.check(lock))

    def deploy(self, request: DeployRequest) -> Deployment:
        """Return what serves a plan's answer or a lock."""
        return self.send(calls.deploy(request))

    # -- browsing -------------------------------------------------------------------------------------------------

    def models(
        self,
        *,
        search: str | None = None,
        family: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Model]:
        """Return base models."""
        return self.send(calls.models(search=search, family=family, limit=limit, cursor=cursor))

    def model(self, name: str) -> Model:
        """Return a base model."""
        return self.send(calls.model(name))

    def variants(
        self,
        wanted: VariantFilter | None = None,
        *,
        sort: VariantSort = VariantSort.NAME,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[VariantRow]:
        """Return variants."""
        return self.send(calls.variants(wanted, sort=sort, limit=limit, cursor=cursor))

    def variant(self, name: str) -> Variant:
        """Return a variant."""
        return self.send(calls.variant(name))

    def devices(
        self, *, search: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[Device]:
        """Return device types."""
        return self.send(calls.devices(search=search, limit=limit, cursor=cursor))

    def device(self, name: str) -> Device:
        """Return a device type."""
        return self.send(calls.device(name))

    def presets(self) -> tuple[Preset, ...]:
        """Return the named scenarios."""
        return self.send(calls.presets())

    def profiles(
        self,
        *,
        variant: str | None = None,
        device: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Profile]:
        """Return speed and memory evidence."""
        return self.send(calls.profiles(variant=variant, device=device, limit=limit, cursor=cursor))

    def evaluations(
        self,
        *,
        variant: str | None = None,
        task: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Evaluation]:
        """Return accuracy evidence."""
        return self.send(calls.evaluations(variant=variant, task=task, limit=limit, cursor=cursor))

    def aliases(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Alias]:
        """Return aliases."""
        return self.send(calls.aliases(limit=limit, cursor=cursor))

    def alias(self, name: str) -> AliasHistory:
        """Return an alias and its moves."""
        return self.send(calls.alias(name))

    def downloads(
        self,
        *,
        variant: str | None = None,
        state: LifecycleState | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[DownloadRow]:
        """Return downloads through the Hugging Face endpoint."""
        return self.send(calls.downloads(variant=variant, state=state, limit=limit, cursor=cursor))

    def health(self) -> Health:
        """Return whether the server works."""
        return self.send(calls.health())

    # -- recording ------------------------------------------------------------------------------------------------

    def register(
        self,
        directory: Path,
        *,
        model: str | None = None,
        name: str | None = None,
        scheme: str | None = None,
        provenance: Provenance | None = None,
        runtimes: tuple[str, ...] = (),
        dry_run: bool = False,
        progress: Callable[[int, int], None] | None = None,
        hash_cache: Path | None = None,
    ) -> Registration:
        """Register a folder of files: hash them here, upload those the server lacks, then send the manifest."""

        def manifest(artifacts: tuple[Artifact, ...]) -> Manifest:
            return Manifest(
                artifacts=artifacts,
                model=model,
                name=name,
                scheme=scheme,
                provenance=provenance or Provenance(),
                runtimes=runtimes,
                dry_run=dry_run,
            )

        cache = HashCache(hash_cache, directory) if hash_cache is not None else None
        return register_folder(self, directory, manifest, progress=progress, cache=cache)

    def register_reference(
        self, request: RegisterReference, *, progress: Callable[[int, int], None] | None = None
    ) -> Registration:
        """Have the server register files that it reads itself."""
        return transfer.register_reference(self._http, request, progress=progress)

    def register_manifest(self, manifest: Manifest) -> Registration:
        """Register files that were uploaded."""
        return self.send(calls.register_manifest(manifest))

    def submit_profile(self, profile: Profile) -> Submission:
        """Hand in speed and memory evidence."""
        return self.send(calls.submit_profile(profile))

    def submit_evaluation(self, evaluation: Evaluation) -> Submission:
        """Hand in accuracy evidence."""
        return self.send(calls.submit_evaluation(evaluation))

    def import_results(self, files: Sequence[ResultFile], options: ImportOptions) -> ImportReport:
        """Hand in result files of other tools."""
        return self.send(calls.import_results(files, options))

    def put_device(self, device: Device) -> Device:
        """Add or update a device type."""
        return self.send(calls.put_device(device))

    def move_alias(
        self,
        name: str,
        variant: str,
        *,
        expected: str | msgspec.UnsetType | None = msgspec.UNSET,
        actor: str | None = None,
    ) -> Alias:
        """Point an alias at a variant."""
        return self.send(calls.move_alias(name, variant, expected=expected, actor=actor))

    # -- bytes ----------------------------------------------------------------------------------------------------

    def missing(self, sha256: Sequence[str]) -> tuple[str, ...]:
        """Return those of the digests that the server does not hold."""
        return self.send(calls.missing(sha256)).sha256

    def upload(self, chunks: Iterable[bytes], *, sha256: str, size: int | None = None) -> Upload:
        """Store bytes under their digest. Sent once: only the caller can produce the bytes again."""
        return transfer.upload(self._http, chunks, sha256=sha256, size=size)

    def received(self, sha256: str, *, size: int) -> Received:
        """Return how far the upload of a file has come."""
        return transfer.received(self._http, sha256, size=size)

    def append(self, chunks: Iterable[bytes], *, sha256: str, size: int, start: int, length: int) -> Received:
        """Take the next bytes of a file. Sent once: only the caller can produce the bytes again."""
        return transfer.append(self._http, chunks, sha256=sha256, size=size, start=start, length=length)

    def artifact_size(self, sha256: str) -> int:
        """Return the size of a stored file in bytes."""
        return transfer.artifact_size(self._http, sha256)

    def open_artifact(self, sha256: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield bytes of a stored file from `start`, going on where a connection breaks."""
        return transfer.read_artifact(self._http, sha256, start, length)

    def read(self, artifact: Artifact, start: int) -> Iterator[bytes]:
        """Yield an artifact's bytes from `start`: makes the client a source for `planner.artifacts.fetch`."""
        return self.open_artifact(artifact.sha256, start=start)

    # -- jobs -----------------------------------------------------------------------------------------------------

    def create_job(self, request: JobRequest) -> Job:
        """Queue a job."""
        return self.send(calls.create_job(request))

    def jobs(
        self,
        *,
        state: JobState | None = None,
        kind: JobKind | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Return jobs, newest first."""
        return self.send(calls.jobs(state=state, kind=kind, limit=limit, cursor=cursor))

    def job(self, job_id: str) -> Job:
        """Return a job."""
        return self.send(calls.job(job_id))

    def job_log(self, job_id: str, *, attempt: int | None = None, offset: int = 0) -> JobLog:
        """Return what an attempt, the last one unless given, printed from byte `offset` on."""
        return self.send(calls.job_log(job_id, attempt=attempt, offset=offset))

    def lease(
        self, *, worker: str, capabilities: frozenset[str] = frozenset(), kinds: tuple[JobKind, ...] = ()
    ) -> Lease | None:
        """Take the oldest job that `worker` can do; None when there is none."""
        return self.send(calls.lease(worker=worker, capabilities=capabilities, kinds=kinds))

    def heartbeat(
        self,
        job_id: str,
        *,
        token: int,
        progress: float | None = None,
        message: str | None = None,
        log: LogChunk | None = None,
        draining: bool = False,
    ) -> Job:
        """Keep a lease alive, and hand over what was printed."""
        beat = calls.heartbeat(
            job_id, token=token, progress=progress, message=message, log=log, draining=draining
        )
        return self.send(beat)

    def complete(self, job_id: str, *, token: int, result: dict[str, Any]) -> Job:
        """Hand in the result of a job."""
        return self.send(calls.complete(job_id, token=token, result=result))

    def fail(self, job_id: str, *, token: int, failure: Failure) -> Job:
        """Report that an attempt failed."""
        return self.send(calls.fail(job_id, token=token, failure=failure))

    def cancel(self, job_id: str) -> Job:
        """Cancel a job."""
        return self.send(calls.cancel(job_id))

    def release(self, job_id: str) -> Job:
        """Queue a parked job again."""
        return self.send(calls.release(job_id))

    def workers(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[WorkerRow]:
        """Return the workers that have asked for jobs, by name."""
        return self.send(calls.workers(limit=limit, cursor=cursor))

    def drain(self, worker: str, *, resume: bool = False) -> WorkerRow:
        """Tell a worker to take no more jobs, or, with `resume`, to take jobs again."""
        return self.send(calls.drain(worker, resume=resume))
