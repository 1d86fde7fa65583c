"""Lock: everything needed to serve a plan's answer and to judge it again later, in a form that is kept in git.

A lock names bytes, not labels: its files carry the digest that is the variant. It refuses to be read when they do not,
so that a lock edited by hand cannot smuggle in other weights.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from planner.deploy.arguments import Argument
from planner.domain.device import DeviceKind
from planner.domain.figure import Basis
from planner.domain.outcome import Verdict
from planner.domain.scenario import Effective, Scenario
from planner.domain.units import Unit
from planner.domain.variant import Artifact, FileFormat, manifest_digest
from planner.errors import InvalidInput

LOCK_VERSION: Final = 1


class LockedPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the lock comes from: the stored plan, the revision of the registry it was answered at, and by what."""

    plan_id: str
    revision: int
    as_of: datetime
    planner_version: str
    query: str | None = None


class LockedModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The base model."""

    id: str
    name: str
    parameters: int
    license: str | None = None


class LockedVariant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The variant, its id being the digest of the lock's files unless it is only known from a publication."""

    id: str
    name: str
    scheme: str
    file_format: FileFormat
    fetchable: bool
    """False when the registry holds no files: they cannot be fetched, nor their hashes be checked."""


class LockedPlacement(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The hardware planned for: `count` devices, and how the model is divided over them."""

    kind: DeviceKind
    count: int
    tensor_parallel: int
    pipeline_parallel: int
    device_id: str | None = None
    device_name: str | None = None
    vendor: str | None = None
    capacity_bytes: int | None = None
    """Usable bytes of one device; None when the scenario names no memory."""
    nodes: int = 1
    """Machines the devices are in, equally many in each."""
    partition: str | None = None
    """Profile of a Multi-Instance GPU slice, where each device is one."""
    replicas: int = 1
    """Copies that the request rate of the scenario needs; 1 where it names none."""

    def __post_init__(self) -> None:
        for field in ("count", "tensor_parallel", "pipeline_parallel", "nodes", "replicas"):
            if not 1 <= getattr(self, field) <= 1024:
                raise InvalidInput(
                    f"placement.{field}", f"{getattr(self, field)} is out of range", allowed="1 to 1024"
                )

    @property
    def used(self) -> int:
        """Devices that hold a part of one replica."""
        return self.tensor_parallel * self.pipeline_parallel

    @property
    def spans_machines(self) -> bool:
        """Whether one replica needs more devices than a machine has."""
        return self.used * self.nodes > self.count


class LockedRuntime(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The runtime, the version its flags were written for, and the flags."""

    name: str
    version: str
    arguments: tuple[Argument, ...]
    peak_bytes: int
    """Most memory of one device expected under this runtime."""
    fit_probability: float | None = None


class LockedFigure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A figure of the answer: what a later check compares with."""

    key: str
    value: float
    unit: Unit
    basis: Basis
    lo: float | None = None
    hi: float | None = None
    confidence: float | None = None
    stale: bool = False


class LockedCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A constraint and its verdict."""

    key: str
    asked: str
    verdict: Verdict


class Lock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A plan's answer, pinned. Raises InvalidInput when its parts contradict each other."""

    lock_version: int
    plan: LockedPlan
    scenario: Scenario
    constraints: tuple[Effective, ...]
    """Every effective constraint in words, with where it came from."""
    model: LockedModel
    variant: LockedVariant
    placement: LockedPlacement
    runtime: LockedRuntime | None = None
    """None when no runtime that commands are written for can load the variant."""
    files: tuple[Artifact, ...] = ()
    figures: tuple[LockedFigure, ...] = ()
    checks: tuple[LockedCheck, ...] = ()
    evidence: tuple[str, ...] = ()
    """Ids of the evidence behind the figures."""

    def __post_init__(self) -> None:
        if self.lock_version != LOCK_VERSION:
            raise InvalidInput(
                "lock_version", f"{self.lock_version} is not readable here", allowed=str(LOCK_VERSION)
            )
        if self.variant.fetchable != bool(self.files):
            said = "true" if self.variant.fetchable else "false"
            raise InvalidInput(
                "variant.fetchable",
                f"is {said}, and the lock has {len(self.files)} files",
                allowed="true with files, false without",
            )
        if self.files:
            digest = manifest_digest(self.files)
            if digest != self.variant.id:
                raise InvalidInput(
                    "variant.id",
                    f"is not the digest of the lock's files, {digest}",
                    allowed="the files' digest",
                )
