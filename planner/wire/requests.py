"""Bodies of requests. Unknown fields are refused, so that a misspelt one is not silently ignored."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from planner.deploy.deployment import DeployOptions
from planner.deploy.lock import Lock
from planner.domain.job import MAX_ATTEMPTS, Failure, JobKind
from planner.domain.job_log import LogChunk
from planner.domain.variant import Artifact, Provenance


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question in words."""

    query: str


MAX_BATCH: Final = 256
"""Most questions of one batch: about a second of work for the server."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Files to register as a variant. Their bytes are uploaded beforehand, except in a dry run.

    `scheme` is a claim, such as "int4"; what the tensors hold is derived from them, and a claim that contradicts it is
    refused.
    """

    artifacts: tuple[Artifact, ...]
    model: str | None = None
    """Model id or name; None finds it by the files' own base model or by the shape of the tensors."""
    name: str | None = None
    scheme: str | None = None
    provenance: Provenance = Provenance()
    runtimes: tuple[str, ...] = ()
    dry_run: bool = False


class RegisterReference(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Files to register that the server reads itself: `file:///folder`, `s3://bucket/prefix` or `hf:OWNER/NAME@REVISION`.

    The rest is as in a manifest. A dry run reads everything and keeps nothing.
    """

    uri: str
    model: str | None = None
    name: str | None = None
    scheme: str | None = None
    provenance: Provenance = Provenance()
    runtimes: tuple[str, ...] = ()
    dry_run: bool = False


class Digests(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """sha256 digests of files, in lower-case hex."""

    sha256: tuple[str, ...]


class JobRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A job to be queued for a worker that meets every requirement in `requires`, such as "cuda" or "vram>=24GiB"."""

    kind: JobKind
    spec: dict[str, Any]
    requires: tuple[str, ...] = ()
    max_attempts: int = MAX_ATTEMPTS


class LeaseRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A worker asking for a job it can do; empty `kinds` takes any."""

    worker: str
    capabilities: tuple[str, ...] = ()
    kinds: tuple[JobKind, ...] = ()


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A sign of life from the holder of a lease; `progress` is 0 to 1, `log` what was printed since the last one."""

    token: int
    progress: float | None = None
    message: str | None = None
    log: LogChunk | None = None
    draining: bool = False
    """The worker takes no more jobs after this one."""


class Completion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result of a job."""

    token: int
    result: dict[str, Any]


class FailureReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an attempt ended without a result."""

    token: int
    failure: Failure


class MoveAlias(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Point an alias at a variant. `expected` makes it a compare-and-swap: null when the alias must not exist yet."""

    variant: str
    expected: str | msgspec.UnsetType | None = msgspec.UNSET
    actor: str | None = None


class LockRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Lock what a stored plan chose, for `runtime` or the one that suits."""

    plan_id: str
    runtime: str | None = None


class DeployRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Deploy what a stored plan chose, or a lock: exactly one of the two. `runtime` is for a plan run in containers."""

    options: DeployOptions
    plan_id: str | None = None
    lock: Lock | None = None
    runtime: str | None = None
