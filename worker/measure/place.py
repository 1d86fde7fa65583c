"""The place of a measurement: the device, made ready and watched, and what was in use there before anything was loaded."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import msgspec

from planner.domain.figure import Basis
from planner.domain.job import FailureReason
from planner.domain.profile import Fact, Profile
from planner.domain.runtime import Runtime
from worker.engines import HoldsModel
from worker.engines.loading import import_libraries, resolve_device, run_toy_model, set_threads
from worker.failure import JobFailed
from worker.identity import content_id
from worker.measure import nvml
from worker.measure.contention import Watch
from worker.measure.device import identify
from worker.measure.environment import capture
from worker.measure.memory import PeakMemory, release_free_memory, resident_bytes
from worker.measure.memory_terms import Baseline, storage_bytes
from worker.measure.session import Session
from worker.measure.weights import STORED_WEIGHTS, Weights, count_weights

if TYPE_CHECKING:
    import torch


E = TypeVar("E", bound=HoldsModel)


@dataclass(frozen=True)
class Loaded(Generic[E]):
    """A loaded engine, what its weights weigh, and what loading took."""

    engine: E
    weights: Weights
    """As its files hold them."""
    held_bytes: int
    """As they are held in memory: a format that is widened while loading takes more."""
    seconds: float
    facts: dict[str, Fact]


@dataclass(frozen=True)
class Place:
    """Where and against what is measured."""

    device: torch.device
    watch: Watch
    baseline: Baseline

    @classmethod
    def prepare(cls, device: str, threads: int | None) -> Self:
        """Return the place, its libraries imported and used once, so that neither counts as the variant's.

        Raises InvalidInput for a device that is not there.
        """
        import torch

        target = resolve_device(device)
        set_threads(threads)
        began_before = target.type == "cuda" and _used_already(target)
        idle = nvml.used_bytes(target)
        watch = Watch(target, threads=torch.get_num_threads(), idle_bytes=idle, began_before=began_before)
        import_libraries()
        run_toy_model(target)
        release_free_memory()
        return cls(
            device=target,
            watch=watch,
            baseline=Baseline(resident=resident_bytes(), idle=None if began_before else idle),
        )

    def load(self, load: Callable[[], E]) -> Loaded[E]:
        """Return what `load` loads, timed and watched."""
        start = time.perf_counter()
        with PeakMemory(self.device, resident_baseline=self.baseline.resident) as peak:
            engine = load()
        seconds = time.perf_counter() - start
        facts: dict[str, Fact] = {
            "attention": engine.attention,
            "model_dtype": str(engine.model.dtype).removeprefix("torch."),
            "load_peak_rss_bytes": peak.resident_peak_bytes,
            "load_peak_allocated_bytes": peak.allocated_bytes,
            "idle_device_bytes": self.baseline.idle,
        }
        if self.device.type == "cuda":
            facts["device_memory_from"] = self._memory_source()
        weights = count_weights(engine.model)
        widened = hasattr(engine.model, STORED_WEIGHTS)
        return Loaded(
            engine=engine,
            weights=weights,
            held_bytes=storage_bytes([*engine.model.parameters(), *engine.model.buffers()])
            if widened
            else weights.total_bytes,
            seconds=seconds,
            facts=facts,
        )

    def profile(
        self,
        variant_id: str,
        session: Session,
        runtime: Runtime,
        *,
        protocol: str,
        facts: Mapping[str, Fact],
        refuse_tainted: bool,
        load_seconds: float | None = None,
        cold_ttft_seconds: float | None = None,
        compile_seconds: float | None = None,
        kernel: str | None = None,
        synthetic_weights: bool = False,
        doubts: tuple[str, ...] = (),
    ) -> Profile:
        """Return the profile of what was measured here, its id taken from its content.

        Raises JobFailed (tainted_measurement) when it is disturbed and that is to be refused.
        """
        found = (*self.watch.doubts, *doubts)
        if found and refuse_tainted:
            raise JobFailed(FailureReason.TAINTED_MEASUREMENT, "; ".join(found))
        profile = Profile(
            id="",
            variant_id=variant_id,
            device_id=identify(self.device).id,
            runtime=runtime,
            basis=Basis.MEASURED,
            points=tuple(session.points),
            not_measured=tuple(session.not_measured),
            load_seconds=load_seconds,
            cold_ttft_seconds=cold_ttft_seconds,
            compile_seconds=compile_seconds,
            kernel=kernel,
            synthetic_weights=synthetic_weights,
            environment=capture(self.device, **{**facts, **self.watch.facts}),
            protocol=protocol,
            measured_at=datetime.now(UTC),
            doubt="; ".join(found) or None,
        )
        return msgspec.structs.replace(profile, id=content_id("profile", profile))

    def _memory_source(self) -> str:
        if nvml.process_bytes(self.device) is not None:
            return "the driver's figure of this process"
        if self.baseline.idle is None:
            return "unknown: the process had used the device before, and the driver does not show it by pid"
        return "the device's use above idle, as the driver does not show the process by pid"


def _used_already(device: torch.device) -> bool:
    import torch

    return torch.cuda.is_initialized() and torch.cuda.memory_reserved(device) > 0  # type: ignore[no-untyped-call]  # torch leaves it untyped
