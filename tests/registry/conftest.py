"""Makers of domain structs for the registry's tests, each complete and different by its arguments."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from planner.domain.architecture import Architecture
from planner.domain.device import Device, DeviceKind, Peak
from planner.domain.evaluation import Document, Evaluation
from planner.domain.figure import Basis, Figure, Interval, exact
from planner.domain.job import Job, JobKind
from planner.domain.model import Model
from planner.domain.outcome import Infeasible, Plan
from planner.domain.profile import Distribution, Environment, Profile, ProfilePoint
from planner.domain.runtime import Runtime
from planner.domain.scenario import Scenario
from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.domain.units import Unit
from planner.domain.variant import Artifact, FileFormat, Provenance, Variant, manifest_digest
from planner.domain.workload import Workload
from planner.registry import Registry, devices, models, variants

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """A catalogue of whatever a test needs."""

    digest: str
    models: tuple[Model, ...] = ()
    devices: tuple[Device, ...] = ()
    variants: tuple[Variant, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    profiles: tuple[Profile, ...] = ()


class Make:
    """One method per noun; keyword arguments replace fields."""

    now = NOW
    catalogue = Catalogue

    def model(self, id_: str = "tiny-1b", **changes: Any) -> Model:
        architecture = Architecture(
            hidden_size=64, layers=2, heads=4, kv_heads=2, head_dim=16, intermediate_size=128, vocab_size=1000
        )
        model = Model(
            id=id_,
            name=id_.title(),
            family=id_.partition("-")[0],
            architecture=architecture,
            parameters=architecture.parameters,
            reference_format=NumberFormat.BF16,
            size_billions=1.0,
            hub_id=f"someone/{id_.title()}-hub",
            aliases=(f"{id_}-chat",),
            license="apache-2.0",
            citations=("https://example.org/paper",),
        )
        return msgspec.structs.replace(model, **changes)

    def device(self, id_: str = "board-8", **changes: Any) -> Device:
        device = Device(
            id=id_,
            name=id_.replace("-", " ").title(),
            kind=DeviceKind.GPU,
            vendor="Acme",
            memory_bytes=8 * 2**30,
            bandwidth_bytes_per_second=1e11,
            peak=Peak(bf16=1e13),
            aliases=(id_.replace("-", ""),),
        )
        return msgspec.structs.replace(device, **changes)

    def artifact(self, seed: str, *, size: int = 1000) -> Artifact:
        return Artifact(path="model.safetensors", size=size, sha256=hashlib.sha256(seed.encode()).hexdigest())

    def variant(self, name: str = "int8", model_id: str = "tiny-1b", **changes: Any) -> Variant:
        artifacts: tuple[Artifact, ...] = changes.pop("artifacts", (self.artifact(f"{model_id}/{name}"),))
        weight_bytes = changes.pop("weight_bytes", 1000)
        variant = Variant(
            id=manifest_digest(artifacts) if artifacts else f"published:{model_id}/{name}",
            model_id=model_id,
            name=name,
            scheme=Scheme(weight=Precision(format=NumberFormat.INT8)),
            file_format=FileFormat.SAFETENSORS,
            weight_bytes=exact(float(weight_bytes), Unit.BYTES, basis=Basis.MEASURED),
            parameters=1000,
            effective_bits=8.0,
            artifacts=artifacts,
            provenance=Provenance(recipe="int8-weight-only", versions={"torch": "2.13"}, build_seconds=1.5),
            created_at=NOW,
        )
        return msgspec.structs.replace(variant, **changes)

    def published(self, name: str = "gptq", model_id: str = "tiny-1b", **changes: Any) -> Variant:
        changes.setdefault("file_format", FileFormat.UNKNOWN)
        return self.variant(name, model_id, artifacts=(), created_at=None, **changes)

    def profile(self, variant: Variant, id_: str = "profile-1", **changes: Any) -> Profile:
        seconds = Distribution(
            samples=10,
            mean=0.011,
            p50=0.01,
            p50_interval=Interval(lo=0.009, hi=0.012, confidence=0.9),
            p90=0.02,
        )
        profile = Profile(
            id=id_,
            variant_id=variant.id,
            device_id="board-8",
            runtime=Runtime(name="transformers", version="5.17"),
            basis=Basis.MEASURED,
            points=(ProfilePoint(workload=Workload(), ttft_seconds=seconds, tpot_seconds=seconds),),
            environment=Environment(
                device_name="Board 8", facts={"threads": 2, "clock": 1.5, "pinned": True}
            ),
            measured_at=NOW,
        )
        return msgspec.structs.replace(profile, **changes)

    def evaluation(
        self, variant: Variant, id_: str = "evaluation-1", *, loss: float = 0.01, **changes: Any
    ) -> Evaluation:
        evaluation = Evaluation(
            id=id_,
            variant_id=variant.id,
            task="arc-easy",
            metric="accuracy",
            higher_is_better=True,
            basis=Basis.MEASURED,
            baseline_score=0.5,
            variant_score=0.5 * (1 - loss),
            relative_loss=Figure(
                value=loss,
                unit=Unit.RATIO,
                basis=Basis.MEASURED,
                interval=Interval(lo=loss - 0.01, hi=loss + 0.01, confidence=0.9),
                evidence=(id_,),
            ),
            items=400,
            documents=(Document(id="d1", tokens=100, baseline_nll=200.0, variant_nll=201.5),),
            measured_at=NOW,
        )
        return msgspec.structs.replace(evaluation, **changes)

    def job(self, id_: str = "job-1", **changes: Any) -> Job:
        job = Job(id=id_, kind=JobKind.MEASURE, spec={"variant": "x", "grid": [1, 2]}, created_at=NOW)
        return msgspec.structs.replace(job, **changes)

    def plan(self, id_: str = "plan-1", **changes: Any) -> Plan:
        scenario = Scenario()
        result = Infeasible(
            conflict=("loss",),
            relaxations=(),
            nearest=(),
            eliminations=(),
            eliminated={"loss": 3},
            warnings=(),
        )
        plan = Plan(
            id=id_,
            scenario=scenario,
            understood=scenario.effective(),
            result=result,
            revision=1,
            as_of=NOW,
            planner_version="0.1.0",
            query="anything with no loss, 无损",
        )
        return msgspec.structs.replace(plan, **changes)


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()


@pytest.fixture
def stocked(registry: Registry, make: Make) -> Registry:
    """A registry with one model, one device and the variant "int8"."""
    with registry.write() as tx:
        models.put(tx, make.model())
        devices.put(tx, make.device())
        variants.register(tx, make.variant())
    return registry


@pytest.fixture
def all_pages() -> Callable[..., list[Any]]:
    """Walk a listing to its end and return every item."""

    def walk(page: Callable[..., Any], **arguments: Any) -> list[Any]:
        items: list[Any] = []
        cursor: str | None = None
        while True:
            result = page(cursor=cursor, **arguments)
            items += result.items
            cursor = result.next_cursor
            if cursor is None:
                return items
            assert result.items, "a page with a next one is never empty"

    return walk
