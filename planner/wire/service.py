"""The use cases, as one protocol: `planner.workspace.Workspace` answers in process, `planner.client.Client` over HTTP.

The command line is written against this protocol, so that `--server` changes where an answer is computed and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

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
from planner.domain.variant import Provenance, Variant
from planner.wire.aliasing import Aliasing
from planner.wire.explaining import Explaining
from planner.wire.gating import Gating
from planner.wire.identity import Identity
from planner.wire.imports import ImportOptions, ImportReport, ResultFile
from planner.wire.lifecycle import Lifecycle
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
from planner.wire.retention import Retention
from planner.wire.rows import AliasHistory, DownloadRow, PlanRow
from planner.wire.webhooks import Webhooks


class Answers(Protocol):
    """Questions and stored answers."""

    def recommend(self, *, query: str | None = None, scenario: Scenario | None = None) -> Plan:
        """Return the stored answer to exactly one of `query` or `scenario`. Raises InvalidQuery, InvalidInput."""
        ...

    def recommend_batch(self, questions: Sequence[str | Scenario]) -> tuple[BatchAnswer, ...]:
        """Return the answers to at most MAX_BATCH questions in their order, each a stored plan or what is wrong with it.

        Raises InvalidInput for an empty batch or one that is too large.
        """
        ...

    def fleet(self, fleet: Fleet) -> FleetAnswer:
        """Return the best assignment of a pool's devices to demands, or why there is none. Raises InvalidInput, NotFound."""
        ...

    def training(self, request: TrainingRequest) -> TrainingAnswer:
        """Return whether a training fits its hardware, what it takes, and what would make it fit.

        Raises InvalidInput, InvalidQuery, NotFound, EvidenceMissing.
        """
        ...

    def understand(self, query: str) -> Understanding:
        """Return how `query` is read, without answering it. Raises InvalidQuery."""
        ...

    def plan(self, plan_id: str) -> Plan:
        """Return a stored plan. Raises NotFound."""
        ...

    def plans(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[PlanRow]:
        """Return stored plans, newest first."""
        ...

    def replay(self, plan_id: str) -> Replay:
        """Compute a stored plan again as of its own revision and time, and compare. Raises NotFound."""
        ...

    def why(self, variant: str, *, plan_id: str | None = None, query: str | None = None) -> Why:
        """Return why `variant` is or is not the answer to one stored plan or query. Raises NotFound, InvalidQuery."""
        ...


class Deploying(Protocol):
    """Locks, and what serves them."""

    def lock(self, plan_id: str, *, runtime: str | None = None) -> Lock:
        """Return the lock of what a stored plan chose, for `runtime` or the one that suits. Raises NotFound, InvalidInput."""
        ...

    def check(self, lock: Lock) -> LockCheck:
        """Return how a lock stands against what the registry holds now. Raises NotFound for an unknown device or model."""
        ...

    def deploy(self, request: DeployRequest) -> Deployment:
        """Return commands or manifests that serve a stored plan's answer, or a lock. Raises NotFound, InvalidInput."""
        ...


class Browsing(Protocol):
    """What the registry holds."""

    def models(
        self,
        *,
        search: str | None = None,
        family: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Model]:
        """Return base models by id."""
        ...

    def model(self, name: str) -> Model:
        """Return a base model by id, name or alias. Raises NotFound with the nearest names."""
        ...

    def variants(
        self,
        wanted: VariantFilter | None = None,
        *,
        sort: VariantSort = VariantSort.NAME,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[VariantRow]:
        """Return variants that are `wanted`, in the order of `sort`."""
        ...

    def variant(self, name: str) -> Variant:
        """Return a variant by id, unique prefix of its id, name, "model/name" or alias. Raises NotFound."""
        ...

    def devices(
        self, *, search: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[Device]:
        """Return device types by id."""
        ...

    def device(self, name: str) -> Device:
        """Return a device type by id, name or alias. Raises NotFound."""
        ...

    def presets(self) -> tuple[Preset, ...]:
        """Return the named scenarios."""
        ...

    def profiles(
        self,
        *,
        variant: str | None = None,
        device: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Profile]:
        """Return speed and memory evidence."""
        ...

    def evaluations(
        self,
        *,
        variant: str | None = None,
        task: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Evaluation]:
        """Return accuracy evidence."""
        ...

    def aliases(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Alias]:
        """Return aliases by name."""
        ...

    def alias(self, name: str) -> AliasHistory:
        """Return an alias and its moves. Raises NotFound."""
        ...

    def downloads(
        self,
        *,
        variant: str | None = None,
        state: LifecycleState | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[DownloadRow]:
        """Return what was handed out through the Hugging Face endpoint, newest first; of one variant, or of those in a state now.

        Raises NotFound.
        """
        ...

    def health(self) -> Health:
        """Return whether every part works."""
        ...


class Recording(Protocol):
    """What is added to the registry."""

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
        """Register a folder of files as a variant; `progress` gets bytes done and bytes in all.

        With a folder for a `hash_cache`, files that nobody touched since the last time are not read again.
        """
        ...

    def register_reference(
        self, request: RegisterReference, *, progress: Callable[[int, int], None] | None = None
    ) -> Registration:
        """Register files that the server reads itself. Raises InvalidInput for what it may not read, NotFound."""
        ...

    def register_manifest(self, manifest: Manifest) -> Registration:
        """Register files whose bytes are in the store. Raises Conflict naming the ones that are missing."""
        ...

    def submit_profile(self, profile: Profile) -> Submission:
        """Add speed and memory evidence; handing in the same one again changes nothing."""
        ...

    def submit_evaluation(self, evaluation: Evaluation) -> Submission:
        """Add accuracy evidence; handing in the same one again changes nothing."""
        ...

    def put_device(self, device: Device) -> Device:
        """Add or update a device type."""
        ...

    def move_alias(
        self,
        name: str,
        variant: str,
        *,
        expected: str | msgspec.UnsetType | None = msgspec.UNSET,
        actor: str | None = None,
    ) -> Alias:
        """Point an alias at a variant; with `expected`, only if it points there now (None: if it does not exist)."""
        ...


class Importing(Protocol):
    """Results of other tools."""

    def import_results(self, files: Sequence[ResultFile], options: ImportOptions) -> ImportReport:
        """Read result files of one run, judge them, keep them and register what they say.

        Raises InvalidFile for what is in no known format, InvalidInput naming what nobody said, NotFound.
        """
        ...


class Bytes(Protocol):
    """The content-addressed files."""

    def missing(self, sha256: Sequence[str]) -> tuple[str, ...]:
        """Return those of the digests that the store does not hold."""
        ...

    def upload(self, chunks: Iterable[bytes], *, sha256: str, size: int | None = None) -> Upload:
        """Store bytes under their digest. Raises IntegrityFailure, leaving nothing behind."""
        ...

    def received(self, sha256: str, *, size: int) -> Received:
        """Return how far the upload of a file has come, wherever it was cut. Raises InvalidInput."""
        ...

    def append(self, chunks: Iterable[bytes], *, sha256: str, size: int, start: int, length: int) -> Received:
        """Take the next `length` bytes of a file, which begin at `start`; the last ones complete it.

        Raises Conflict where the upload has come to another offset, IntegrityFailure when the whole is another file.
        """
        ...

    def artifact_size(self, sha256: str) -> int:
        """Return the size of a stored file in bytes. Raises NotFound."""
        ...

    def open_artifact(self, sha256: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield bytes of a stored file from `start`. Raises NotFound."""
        ...


class Working(Protocol):
    """Jobs and the leases workers hold on them."""

    def create_job(self, request: JobRequest) -> Job:
        """Queue a job. Raises InvalidInput, NotFound."""
        ...

    def jobs(
        self,
        *,
        state: JobState | None = None,
        kind: JobKind | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Return jobs, newest first; a queued one says what no worker seen recently meets."""
        ...

    def job(self, job_id: str) -> Job:
        """Return a job; a queued one says what no worker seen recently meets. Raises NotFound."""
        ...

    def job_log(self, job_id: str, *, attempt: int | None = None, offset: int = 0) -> JobLog:
        """Return what an attempt, the last one unless given, printed from byte `offset` on. Raises NotFound."""
        ...

    def lease(
        self, *, worker: str, capabilities: frozenset[str] = frozenset(), kinds: tuple[JobKind, ...] = ()
    ) -> Lease | None:
        """Give `worker` the oldest job it can do; None when there is none. Raises Draining."""
        ...

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
        """Extend a lease, and keep what was printed. Raises LeaseLost."""
        ...

    def complete(self, job_id: str, *, token: int, result: dict[str, Any]) -> Job:
        """End a job with its result. Raises LeaseLost."""
        ...

    def fail(self, job_id: str, *, token: int, failure: Failure) -> Job:
        """End an attempt without one; it is retried when that can help. Raises LeaseLost."""
        ...

    def cancel(self, job_id: str) -> Job:
        """Cancel a job; a final one is returned unchanged. Raises NotFound."""
        ...

    def release(self, job_id: str) -> Job:
        """Queue a parked job again. Raises NotFound, Conflict."""
        ...

    def workers(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[WorkerRow]:
        """Return the workers that have asked for jobs, by name."""
        ...

    def drain(self, worker: str, *, resume: bool = False) -> WorkerRow:
        """Tell a worker to take no more jobs, or, with `resume`, to take jobs again. Raises NotFound."""
        ...


class Service(
    Answers,
    Explaining,
    Deploying,
    Browsing,
    Recording,
    Importing,
    Bytes,
    Working,
    Lifecycle,
    Aliasing,
    Retention,
    Webhooks,
    Identity,
    Gating,
    Protocol,
):
    """Everything the system can be asked to do."""

    def close(self) -> None:
        """Release connections and threads."""
        ...
