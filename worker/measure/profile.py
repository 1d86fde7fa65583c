"""A profile from beginning to end: load, count, then memory and time at every workload point, watched throughout.

A point that does not fit or that the time does not allow is left out with its reason, and the others still run.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from planner.domain.device import Device
from planner.domain.figure import Basis
from planner.domain.job import FailureReason
from planner.domain.profile import MemoryUse, NotMeasured, Profile, ProfilePoint
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from worker.engines import ModelEngine
from worker.engines.loading import MAX_THREADS, import_libraries, resolve_device, run_toy_model, set_threads
from worker.engines.transformers import Mode, TransformersEngine
from worker.failure import JobFailed, failure_of
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
_OUT_OF_MEMORY: Final = frozenset({FailureReason.OOM_DEVICE, FailureReason.OOM_HOST})
_MAX_SECONDS: Final = 7 * 86_400.0


class Conditions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to measure. `tainted` says what becomes of a disturbed measurement: kept with its doubt, or refused."""

    workloads: tuple[Workload, ...] = DEFAULT_WORKLOADS
    device: str = "auto"
    mode: Mode = Mode.EAGER
    threads: int | None = None
    """Threads of CPU work; None leaves torch's choice."""
    repetition: Repetition = Repetition()
    tainted: Literal["keep", "refuse"] = "keep"
    point_limit_seconds: float | None = None
    """Seconds after which no further run of a point starts, warm-up included; None sets no limit."""
    total_limit_seconds: float | None = None
    """Seconds from the end of loading after which no further run starts; what is left is named in `not_measured`."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.workloads) <= 1000:
            raise InvalidInput("workloads", f"are {len(self.workloads)}", allowed="1 to 1000")
        if self.threads is not None and not 1 <= self.threads <= MAX_THREADS:
            raise InvalidInput("threads", f"{self.threads} is out of range", allowed=f"1 to {MAX_THREADS}")
        for name in ("point_limit_seconds", "total_limit_seconds"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= _MAX_SECONDS:
                raise InvalidInput(name, f"{value} is out of range", allowed="above 0, at most 7 days")


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A profile, what the weights weigh, and the device when the catalogue does not know it."""

    profile: Profile
    weights: Weights
    device: Device | None


def measure(directory: Path, variant_id: str, conditions: Conditions, *, report: Report = ignore) -> Measured:
    """Measure the variant in `directory` on this machine. Raises what `measure_engine` and loading raise."""

    def load() -> TransformersEngine:
        return TransformersEngine.load(
            directory, device=resolve_device(conditions.device), mode=conditions.mode
        )

    return measure_engine(load, variant_id, conditions, report=report)


def measure_engine(
    load: Callable[[], ModelEngine],
    variant_id: str,
    conditions: Conditions,
    *,
    synthetic_weights: bool = False,
    facts: Mapping[str, Fact] | None = None,
    report: Report = ignore,
) -> Measured:
    """Measure the engine that `load` returns, on the device that `conditions` name; loading is timed and watched too.

    `facts` join the environment. Raises InvalidInput for a workload beyond the model's context, JobFailed
    (tainted_measurement) when the conditions refuse a disturbed measurement, what `load` raises, and what running out of
    memory raised when it left no point at all.
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
        engine = load()
    load_seconds = time.perf_counter() - start
    _check_context(conditions.workloads, engine)
    weights = count_weights(engine.model)
    found: dict[str, Fact] = {
        "attention": engine.attention,
        "model_dtype": str(engine.model.dtype).removeprefix("torch."),
        "load_peak_rss_bytes": loading.resident_peak_bytes,
        "load_peak_allocated_bytes": loading.allocated_bytes,
        "idle_device_bytes": idle,
        "copy_bandwidth_bytes_per_second": copy_bandwidth(target),
        **(facts or {}),
    }
    session = _Session(
        engine=engine,
        conditions=conditions,
        device=target,
        weights_bytes=weights.total_bytes,
        resident=resident,
        idle=idle,
    )
    with Watch(target, threads=_threads()) as watch:
        session.measure_points(part(report, 0.1, 0.95))
    if watch.doubts and conditions.tainted == "refuse":
        raise JobFailed(FailureReason.TAINTED_MEASUREMENT, "; ".join(watch.doubts))
    if session.not_converged:
        found["not_converged"] = "; ".join(session.not_converged)
    report(0.97, "naming the kernel")
    kernel = dominant_kernel(engine, target)
    place = identify(target)
    profile = Profile(
        id="",
        variant_id=variant_id,
        device_id=place.id,
        runtime=engine.runtime,
        basis=Basis.MEASURED,
        points=tuple(session.points),
        not_measured=tuple(session.not_measured),
        load_seconds=load_seconds,
        kernel=kernel,
        synthetic_weights=synthetic_weights,
        environment=capture(target, **found, **watch.facts),
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

    engine: ModelEngine
    conditions: Conditions
    device: torch.device
    weights_bytes: int
    resident: int
    idle: int | None
    points: list[ProfilePoint] = field(default_factory=list)
    not_measured: list[NotMeasured] = field(default_factory=list)
    not_converged: list[str] = field(default_factory=list)

    def measure_points(self, report: Report) -> None:
        """Measure every point that fits and that the time allows. Raises the memory error when none fits."""
        workloads = self.conditions.workloads
        start = time.perf_counter()
        end = start + (self.conditions.total_limit_seconds or _MAX_SECONDS)
        too_large: list[Workload] = []
        error: BaseException | None = None
        for number, workload in enumerate(workloads):
            share = part(report, number / len(workloads), (number + 1) / len(workloads))
            if any(_is_as_large(workload, failed) for failed in too_large):
                self._leave_out(workload, "larger_than_memory", "a smaller point ran out of memory")
                continue
            now = time.perf_counter()
            if now >= end:
                self._leave_out(
                    workload,
                    "time_limit",
                    f"{self.conditions.total_limit_seconds:g} s for all points had passed",
                )
                continue
            try:
                self.points.append(
                    self._measure_point(
                        workload, min(end, now + (self.conditions.point_limit_seconds or _MAX_SECONDS)), share
                    )
                )
                continue
            except Exception as caught:
                if failure_of(caught).reason not in _OUT_OF_MEMORY:
                    raise
                error = caught.with_traceback(None)  # its frames hold what did not fit
            too_large.append(workload)
            self._leave_out(workload, "out_of_memory", failure_of(error).message)
            _free_device_memory()
        if error is not None and not self.points:
            raise error

    def _leave_out(
        self,
        workload: Workload,
        reason: Literal["out_of_memory", "larger_than_memory", "time_limit"],
        detail: str,
    ) -> None:
        self.not_measured.append(NotMeasured(workload=workload, reason=reason, detail=detail[:500]))

    def _measure_point(self, workload: Workload, deadline: float, report: Report) -> ProfilePoint:
        """Take memory in a pass of its own, so that watching it does not slow what is timed."""
        report(0.0, f"{workload}: warming up")
        repetition = self.conditions.repetition
        prompts = prompts_for(workload, self.engine.vocabulary)
        stop = min(deadline, time.perf_counter() + repetition.limit_seconds)
        for _ in range(repetition.warmup - 1):
            self.engine.generate(prompts, workload.output_tokens)
            if time.perf_counter() >= stop:
                break
        release_free_memory()
        with PeakMemory(self.device, resident_baseline=self.resident, device_baseline=self.idle) as peak:
            self.engine.generate(prompts, workload.output_tokens)
        memory = MemoryUse(
            weights_bytes=self.weights_bytes,
            peak_allocated_bytes=peak.allocated_bytes,
            peak_reserved_bytes=peak.reserved_bytes,
            peak_device_bytes=peak.device_bytes,
            peak_rss_bytes=peak.resident_peak_bytes,
        )
        left = deadline - time.perf_counter()
        if left <= 0:
            self._leave_out(
                workload, "time_limit", "warming up took the point's time; only memory was measured"
            )
            return ProfilePoint(workload=workload, memory=memory)
        timings = time_point(
            self.engine,
            workload,
            msgspec.structs.replace(
                repetition, warmup=0, limit_seconds=max(0.01, min(repetition.limit_seconds, left))
            ),
            progress=lambda done: report(
                min(0.95, 0.1 + 0.85 * done / repetition.least), f"{workload}: repeat {done}"
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
            memory=memory,
        )


def _is_as_large(workload: Workload, other: Workload) -> bool:
    """Return whether the workload needs at least as much memory, whatever the model: as much of everything."""
    return (
        workload.concurrency >= other.concurrency
        and workload.input_tokens >= other.input_tokens
        and workload.context_tokens >= other.context_tokens
    )


def _free_device_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _check_context(workloads: tuple[Workload, ...], engine: ModelEngine) -> None:
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
