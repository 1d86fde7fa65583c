"""Profiles: latency and memory of a variant on a device under a runtime, over a grid of workload points."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from planner.domain.figure import Basis, Figure, Interval
from planner.domain.runtime import Runtime
from planner.domain.units import Unit
from planner.domain.workload import Workload
from planner.errors import InvalidInput

MIN_SAMPLES_FOR_P99 = 100

Fact = str | int | float | bool | None
"""A value noted beside a figure: a clock, a setting, a count."""


class Distribution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Summary of samples in one unit (seconds or tokens/s). A percentile that the samples cannot support is None."""

    samples: int
    mean: float
    p50: float | None = None
    p50_interval: Interval | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    stddev: float | None = None

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise InvalidInput("distribution.samples", f"{self.samples} is out of range", allowed="1 or more")
        if self.p99 is not None and self.samples < MIN_SAMPLES_FOR_P99:
            raise InvalidInput(
                "distribution.p99",
                f"from {self.samples} samples",
                allowed=f"at least {MIN_SAMPLES_FOR_P99} samples",
            )

    def quantile(self, name: str) -> float | None:
        """Return the value called `name`: mean, p50, p90, p95 or p99; None when unknown."""
        if name not in {"mean", "p50", "p90", "p95", "p99"}:
            raise InvalidInput("percentile", f"`{name}` is unknown", allowed="mean, p50, p90, p95, p99")
        value: float | None = getattr(self, name)
        return value


class MemoryUse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bytes in use, each as its own tool counts it; None where it was not measured or cannot be told, never 0 for that.

    On a GPU reserved = weights + KV cache + activations + graphs + fragmentation, and context comes on top. On a CPU
    only weights, KV cache and activations can be told apart.
    """

    weights_bytes: int | None = None
    peak_allocated_bytes: int | None = None
    """Most bytes the framework's allocator handed out on the device."""
    peak_reserved_bytes: int | None = None
    held_bytes: int | None = None
    """What the allocator had handed out when the run was over: weights and KV cache, no activations."""
    peak_device_bytes: int | None = None
    """Most device memory in use by the process above idle, as the driver reports it."""
    peak_rss_bytes: int | None = None
    """Most resident host memory of the process above what it held before loading."""
    peak_process_bytes: int | None = None
    """Device memory of this process alone as the driver reports it; None where the driver does not tell processes apart."""
    kv_cache_bytes: int | None = None
    """Exact bytes of the KV cache's tensors after the run."""
    activation_bytes: int | None = None
    """Peak beyond weights, KV cache and what graphs hold: allocated on a GPU, resident on a CPU."""
    graph_bytes: int | None = None
    """Private memory pools of CUDA graphs."""
    context_bytes: int | None = None
    """Device memory of the process that is not the allocator's: CUDA context, kernels, libraries' own buffers."""
    fragmentation_bytes: int | None = None
    """Reserved by the allocator at its peak and neither handed out nor held for graphs."""


class Stability(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether a point's times would come out alike if they were taken again at once, and why not."""

    verdict: Literal["stable", "unstable"]
    reason: str | None = None
    discarded: int = 0
    """Samples left out because the device was hot, slowed down or clocked low while they were taken."""

    @property
    def is_stable(self) -> bool:
        """Whether the verdict is "stable"."""
        return self.verdict == "stable"


class ProfilePoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was measured at one workload point. TPOT excludes the first token.

    A concurrency sweep is several points that differ in `workload.concurrency`: their requests and tokens per second
    against their times are the latency-throughput curve.
    """

    workload: Workload
    ttft_seconds: Distribution | None = None
    tpot_seconds: Distribution | None = None
    itl_seconds: Distribution | None = None
    """Single gaps between tokens, all requests' together: the tail that TPOT's averages hide."""
    end_to_end_seconds: Distribution | None = None
    output_tokens_per_second: Distribution | None = None
    """Generated tokens per second over all concurrent requests."""
    requests_per_second: Distribution | None = None
    """Completed requests per second over all concurrent requests."""
    error_share: float | None = None
    """Share of the requests that failed, when requests can fail on their own. All times are then the survivors'."""
    memory: MemoryUse = MemoryUse()
    stability: Stability | None = None
    facts: Mapping[str, Fact] = {}
    """What is known of this point alone: clocks and temperature while it was timed, what was left out and why."""


class NotMeasured(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A workload point that was asked for and has no times, and why."""

    workload: Workload
    reason: Literal["out_of_memory", "larger_than_memory", "time_limit", "throttled", "failed"]
    """Ran out of memory; not tried because a point no larger ran out of memory; no time was left; every sample was taken
    on a slowed device; every request failed."""
    detail: str | None = None


class Environment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where something was measured: device as the driver names it, and every version that can change a figure."""

    device_name: str | None = None
    driver: str | None = None
    versions: Mapping[str, str] = {}
    facts: Mapping[str, Fact] = {}
    """Clocks, temperatures, power limit, thread count, attention implementation and the like."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Measured or published speed and memory of variant x device x runtime x parallelism."""

    id: str
    variant_id: str
    device_id: str
    runtime: Runtime
    basis: Basis
    points: tuple[ProfilePoint, ...]
    not_measured: tuple[NotMeasured, ...] = ()
    devices: int = 1
    """Tensor-parallel degree: how many devices of the type ran it together."""
    load_seconds: float | None = None
    cold_ttft_seconds: float | None = None
    """TTFT of the very first request after loading; every distribution is of warm requests."""
    compile_seconds: float | None = None
    """Spent compiling and capturing over all points; no distribution contains it."""
    kernel: str | None = None
    """The matrix kernel that really ran, where it is known."""
    synthetic_weights: bool = False
    environment: Environment = Environment()
    citation: str | None = None
    protocol: str | None = None
    measured_at: datetime | None = None
    doubt: str | None = None
    """Why the figures should not be used without care; None when nothing speaks against them."""

    def seconds(self, distribution: Distribution, quantile: str = "p50") -> Figure | None:
        """Return a quantile of one of this profile's distributions as a Figure; None when it is unknown."""
        value = distribution.quantile(quantile)
        if value is None:
            return None
        interval = distribution.p50_interval if quantile == "p50" else None
        return Figure(
            value=value,
            unit=Unit.SECONDS,
            basis=self.basis,
            interval=interval,
            evidence=(self.id,),
            note=self.doubt,
        )
