"""A profile from beginning to end: load, count, then memory and time at every workload point, watched throughout."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from planner.domain.device import Device
from planner.domain.figure import Basis
from planner.domain.job import FailureReason
from planner.domain.profile import MemoryUse, Profile, ProfilePoint
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from worker.engines.loading import MAX_THREADS, import_libraries, resolve_device, run_toy_model, set_threads
from worker.engines.transformers import Mode, TransformersEngine
from worker.failure import JobFailed
from worker.identity import content_id
from worker.measure import nvml
from worker.measure.contention import Watch
from worker.measure.device import identify
from worker.measure.environment import Fact, capture, copy_bandwidth
from worker.measure.kernel import dominant_kernel
from worker.measure.latency import PROTOCOL, Repetition, prompts_for, time_point
from worker.measure.memory import PeakMemory, release_free_memory, resident_bytes
from worker.measure.weights import Weights, count_weights
from worker.progress import Report, ignore, part

if TYPE_CHECKING:
    import torch

DEFAULT_WORKLOADS: Final = (
    Workload(input_tokens=128, output_tokens=64, concurrency=1),
    Workload(input_tokens=512, output_tokens=64, concurrency=1),
    Workload(input_tokens=128, output_tokens=64, concurrency=4),
)


class Conditions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to measure. `tainted` says what becomes of a disturbed measurement: kept with its doubt, or refused."""

    workloads: tuple[Workload, ...] = DEFAULT_WORKLOADS
    device: str = "auto"
    mode: Mode = Mode.EAGER
    threads: int | None = None
    """Threads of CPU work; None leaves torch's choice."""
    repetition: Repetition = Repetition()
    tainted: Literal["keep", "refuse"] = "keep"

    def __post_init__(self) -> None:
        if not 1 <= len(self.workloads) <= 1000:
            raise InvalidInput("workloads", f"are {len(self.workloads)}", allowed="1 to 1000")
        if self.threads is not None and not 1 <= self.threads <= MAX_THREADS:
            raise InvalidInput("threads", f"{self.threads} is out of range", allowed=f"1 to {MAX_THREADS}")


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A profile, what the weights weigh, and the device when the catalogue does not know it."""

    profile: Profile
    weights: Weights
    device: Device | None


def measure(directory: Path, variant_id: str, conditions: Conditions, *, report: Report = ignore) -> Measured:
    """Measure the variant in `directory` on this machine.

    Raises InvalidInput for a workload beyond the model's context, JobFailed(tainted_measurement) when the conditions
    refuse a disturbed measurement, and what loading raises.
    """
    target = resolve_device(conditions.device)
    set_threads(conditions.threads)
    import_libraries()
    idle = nvml.used_bytes(target)
    run_toy_model(target)
    release_free_memory()
    resident = resident_bytes()
    report(0.0, "loading")
    start = time.perf_counter()
    with PeakMemory(target, resident_baseline=resident, device_baseline=idle) as loading:
        engine = TransformersEngine.load(directory, device=target, mode=conditions.mode)
    load_seconds = time.perf_counter() - start
    _check_context(conditions.workloads, engine)
    weights = count_weights(engine.model)
    facts: dict[str, Fact] = {
        "attention": engine.attention,
        "model_dtype": str(engine.model.dtype).removeprefix("torch."),
        "load_peak_rss_bytes": loading.resident_peak_bytes,
        "load_peak_allocated_bytes": loading.allocated_bytes,
        "idle_device_bytes": idle,
        "copy_bandwidth_bytes_per_second": copy_bandwidth(target),
    }
    session = _Session(
        engine=engine,
        repetition=conditions.repetition,
        device=target,
        weights_bytes=weights.total_bytes,
        resident=resident,
        idle=idle,
    )
    points: list[ProfilePoint] = []
    with Watch(target, threads=_threads()) as watch:
        for number, workload in enumerate(conditions.workloads):
            share = part(
                report,
                0.1 + 0.85 * number / len(conditions.workloads),
                0.1 + 0.85 * (number + 1) / len(conditions.workloads),
            )
            try:
                points.append(session.measure_point(workload, share))
            except _device_memory_error():
                if not points:
                    raise
                facts["out_of_memory_at"] = str(workload)
                break
    if watch.doubts and conditions.tainted == "refuse":
        raise JobFailed(FailureReason.TAINTED_MEASUREMENT, "; ".join(watch.doubts))
    if session.not_converged:
        facts["not_converged"] = "; ".join(session.not_converged)
    report(0.97, "naming the kernel")
    kernel = dominant_kernel(engine, target)
    place = identify(target)
    profile = Profile(
        id="",
        variant_id=variant_id,
        device_id=place.id,
        runtime=engine.runtime,
        basis=Basis.MEASURED,
        points=tuple(points),
        load_seconds=load_seconds,
        kernel=kernel,
        environment=capture(target, **facts, **watch.facts),
        protocol=PROTOCOL,
        measured_at=datetime.now(UTC),
        doubt="; ".join(watch.doubts) or None,
    )
    report(1.0, "measured")
    return Measured(
        profile=msgspec.structs.replace(profile, id=content_id("profile", profile)),
        weights=weights,
        device=place.device,
    )


@dataclass
class _Session:
    """One loaded variant under measurement, and what was in use before it was loaded."""

    engine: TransformersEngine
    repetition: Repetition
    device: torch.device
    weights_bytes: int
    resident: int
    idle: int | None
    not_converged: list[str] = field(default_factory=list)

    def measure_point(self, workload: Workload, report: Report) -> ProfilePoint:
        """Take memory in a pass of its own, so that watching it does not slow what is timed."""
        report(0.0, f"{workload}: warming up")
        prompts = prompts_for(workload, self.engine.vocabulary)
        start = time.perf_counter()
        for _ in range(self.repetition.warmup - 1):
            self.engine.generate(prompts, workload.output_tokens)
            if time.perf_counter() - start >= self.repetition.limit_seconds:
                break
        release_free_memory()
        with PeakMemory(self.device, resident_baseline=self.resident, device_baseline=self.idle) as peak:
            self.engine.generate(prompts, workload.output_tokens)
        timings = time_point(
            self.engine,
            workload,
            msgspec.structs.replace(self.repetition, warmup=0),
            progress=lambda done: report(
                min(0.95, 0.1 + 0.85 * done / self.repetition.least), f"{workload}: repeat {done}"
            ),
        )
        if not timings.converged:
            self.not_converged.append(str(workload))
        return ProfilePoint(
            workload=workload,
            ttft_seconds=timings.ttft_seconds,
            tpot_seconds=timings.tpot_seconds,
            itl_seconds=timings.itl_seconds,
            end_to_end_seconds=timings.end_to_end_seconds,
            output_tokens_per_second=timings.output_tokens_per_second,
            memory=MemoryUse(
                weights_bytes=self.weights_bytes,
                peak_allocated_bytes=peak.allocated_bytes,
                peak_reserved_bytes=peak.reserved_bytes,
                peak_device_bytes=peak.device_bytes,
                peak_rss_bytes=peak.resident_peak_bytes,
            ),
        )


def _check_context(workloads: tuple[Workload, ...], engine: TransformersEngine) -> None:
    limit = engine.max_context
    for workload in workloads:
        if limit is not None and workload.context_tokens > limit:
            raise InvalidInput(
                "workloads",
                f"`{workload}` needs {workload.context_tokens} tokens of context",
                allowed=f"at most {limit} for this model",
            )


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _device_memory_error() -> type[BaseException]:
    import torch

    return torch.OutOfMemoryError
