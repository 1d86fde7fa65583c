"""A profile from beginning to end: load, count, then memory and time at every workload point, watched throughout.

A point that does not fit or that the time does not allow is left out with its reason, and the others still run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from planner.domain.decode_limit import BANDWIDTH, MATRIX_SHARE
from planner.domain.device import Device
from planner.domain.profile import Fact, Profile
from planner.domain.workload import Workload
from planner.errors import InvalidInput
from worker.engines import ModelEngine
from worker.engines.formats.gguf_timing import refuse_timing
from worker.engines.kernels import Kernels
from worker.engines.loading import MAX_THREADS, resolve_device
from worker.engines.synthetic_mark import is_synthetic
from worker.engines.transformers import Mode, TransformersEngine
from worker.measure.batch import BatchMeter
from worker.measure.device import identify
from worker.measure.environment import copy_bandwidth
from worker.measure.kernel import KERNEL_ROWS, decode_kernels
from worker.measure.latency import PROTOCOL, Repetition
from worker.measure.place import Place
from worker.measure.session import MAX_SECONDS, Session, check_context
from worker.measure.weights import Weights
from worker.progress import Report, ignore, part

DEFAULT_WORKLOADS: Final = (
    Workload(input_tokens=128, output_tokens=64, concurrency=1),
    Workload(input_tokens=512, output_tokens=64, concurrency=1),
    Workload(input_tokens=128, output_tokens=64, concurrency=4),
)

MAX_SPREAD: Final = 0.9
MAX_DEVICES: Final = 64


class Conditions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to measure. `tainted` says what becomes of a disturbed measurement: kept with its doubt, or refused."""

    workloads: tuple[Workload, ...] = DEFAULT_WORKLOADS
    device: str = "auto"
    mode: Mode = Mode.EAGER
    kernels: Kernels = Kernels.AUTO
    """Library of the quantized products in compiled mode."""
    thorough: bool = False
    """Compile longer for a few percent more speed, in compiled mode."""
    batching: Literal["static", "continuous"] = "static"
    """All requests of a point in one batch, or requests that come and go in a closed loop."""
    length_spread: float | None = None
    """How far the lengths of requests in a closed loop lie from the point's, as a share. None is half for continuous
    batching, whose point is unequal requests, and none for a server, so that a point is what it says."""
    tensor_parallel: int = 1
    """How many devices of this machine every layer is cut over."""
    threads: int | None = None
    """Threads of CPU work of each process; None leaves torch's choice, shared among them."""
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
        if not 1 <= self.tensor_parallel <= MAX_DEVICES:
            raise InvalidInput(
                "tensor_parallel", f"{self.tensor_parallel} is out of range", allowed=f"1 to {MAX_DEVICES}"
            )
        if self.tensor_parallel > 1 and (self.mode is not Mode.EAGER or self.batching != "static"):
            raise InvalidInput("mode", "with tensor parallelism", allowed="eager, all requests in one batch")
        if self.length_spread is not None and not 0 <= self.length_spread <= MAX_SPREAD:
            raise InvalidInput(
                "length_spread", f"{self.length_spread} is out of range", allowed=f"0 to {MAX_SPREAD}"
            )
        for name in ("point_limit_seconds", "total_limit_seconds"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= MAX_SECONDS:
                raise InvalidInput(name, f"{value} is out of range", allowed="above 0, at most 7 days")


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A profile, what the weights weigh (None where a server holds them), and a device the catalogue does not know."""

    profile: Profile
    weights: Weights | None
    device: Device | None


def measure(directory: Path, variant_id: str, conditions: Conditions, *, report: Report = ignore) -> Measured:
    """Measure the variant in `directory` on this machine, over as many devices as the conditions say.

    Raises what `measure_engine`, `measure_parallel` and loading raise, InvalidInput for a file that other engines run.
    """
    refuse_timing(directory)
    if conditions.tensor_parallel > 1:
        from worker.measure.parallel import measure_parallel

        return measure_parallel(directory, variant_id, conditions, report=report)

    def load() -> ModelEngine:
        device = resolve_device(conditions.device)
        if conditions.mode is Mode.COMPILED:
            from worker.engines.compiled import CompiledEngine, rows_of

            return CompiledEngine.load(
                directory,
                device=device,
                kernels=conditions.kernels,
                # The kernel is named with a short prompt.
                rows=(*rows_of(conditions.workloads), *KERNEL_ROWS),
                thorough=conditions.thorough,
            )
        return TransformersEngine.load(directory, device=device)

    return measure_engine(
        load, variant_id, conditions, synthetic_weights=is_synthetic(directory), report=report
    )


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
    place = Place.prepare(conditions.device, conditions.threads)
    report(0.0, "loading")
    loaded = place.load(load)
    engine, weights = loaded.engine, loaded.weights
    check_context(conditions.workloads, engine.max_context)
    found = loaded.facts | {BANDWIDTH: copy_bandwidth(place.device)} | dict(facts or {})
    meter = BatchMeter(
        engine=engine,
        repetition=conditions.repetition,
        device=place.device,
        weights_bytes=loaded.held_bytes,
        baseline=place.baseline,
        watch=place.watch,
    )
    session = Session(conditions.point_limit_seconds, conditions.total_limit_seconds)
    with place.watch:
        session.measure_points(
            conditions.workloads,
            meter.measure_point,
            part(report, 0.1, 0.95),
            prepare=getattr(engine, "prepare", None),
        )
    report(0.97, "naming the kernel")
    kernels = decode_kernels(engine, place.device) if session.points else None
    if kernels is not None:
        found |= {MATRIX_SHARE: kernels.matrix_share}
    profile = place.profile(
        variant_id,
        session,
        engine.runtime,
        protocol=PROTOCOL,
        facts=found,
        refuse_tainted=conditions.tainted == "refuse",
        load_seconds=loaded.seconds,
        cold_ttft_seconds=meter.cold_ttft_seconds,
        compile_seconds=getattr(engine, "compile_seconds", None),
        kernel=kernels.name if kernels else None,
        synthetic_weights=synthetic_weights,
    )
    report(1.0, "measured")
    return Measured(profile=profile, weights=weights, device=identify(place.device).device)
