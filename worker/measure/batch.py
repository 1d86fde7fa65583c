"""One point of static batching: every request of the point in one batch, memory in a pass of its own, then time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from planner.domain.profile import MemoryUse, ProfilePoint
from planner.domain.workload import Workload
from worker.engines import ModelEngine
from worker.measure.contention import Watch
from worker.measure.latency import Repetition, prompts_for, time_point
from worker.measure.memory import PeakMemory, release_free_memory, resident_bytes
from worker.measure.memory_terms import (
    Baseline,
    cache_bytes,
    count_device,
    device_terms,
    processor_terms,
    watch_cache,
)
from worker.measure.readings import summary
from worker.measure.session import PointLeftOut
from worker.progress import Report

if TYPE_CHECKING:
    import torch


@dataclass
class BatchMeter:
    """Measures points of one loaded variant."""

    engine: ModelEngine
    repetition: Repetition
    device: torch.device
    weights_bytes: int
    baseline: Baseline
    watch: Watch
    cold_ttft_seconds: float | None = None
    """TTFT of the first request of all."""

    def measure_point(self, workload: Workload, deadline: float, report: Report) -> ProfilePoint:
        """Return the point. Raises PointLeftOut when the time is over or every sample was discarded."""
        report(0.0, f"{workload}: warming up")
        repetition = self.repetition
        prompts = prompts_for(workload, self.engine.vocabulary)
        stop = min(deadline, time.perf_counter() + repetition.limit_seconds)
        for _ in range(repetition.warmup - 1):
            run = self.engine.generate(prompts, workload.output_tokens)
            self._note_first(run.ttft)
            if time.perf_counter() >= stop:
                break
        memory = self._measure_memory(workload)
        left = deadline - time.perf_counter()
        if left <= 0:
            raise PointLeftOut(
                "time_limit",
                "warming up took the point's time; only memory was measured",
                point=ProfilePoint(workload=workload, memory=memory),
            )
        timings = time_point(
            self.engine,
            workload,
            msgspec.structs.replace(
                repetition, warmup=0, limit_seconds=max(0.01, min(repetition.limit_seconds, left))
            ),
            judge=self.watch.judge,
            progress=lambda done: report(
                min(0.95, 0.1 + 0.85 * done / repetition.least), f"{workload}: repeat {done}"
            ),
        )
        point = ProfilePoint(
            workload=workload,
            ttft_seconds=timings.ttft_seconds,
            tpot_seconds=timings.tpot_seconds,
            itl_seconds=timings.itl_seconds,
            end_to_end_seconds=timings.end_to_end_seconds,
            output_tokens_per_second=timings.output_tokens_per_second,
            requests_per_second=timings.requests_per_second,
            memory=memory,
            stability=timings.stability,
            facts=summary(self.watch.between(timings.started, timings.ended)),
        )
        if timings.ttft_seconds is None:
            raise PointLeftOut("throttled", timings.stability.reason or "", point=point)
        return point

    def _measure_memory(self, workload: Workload) -> MemoryUse:
        prompts = prompts_for(workload, self.engine.vocabulary)

        def run() -> int | None:
            with watch_cache(self.engine) as seen:
                self._note_first(self.engine.generate(prompts, workload.output_tokens).ttft)
            held.append(seen.held_before)
            return cache_bytes(seen.cache)

        held: list[bool] = []
        release_free_memory()
        before = resident_bytes()
        with PeakMemory(self.device, resident_baseline=self.baseline.resident) as peak:
            kv_cache = run()
        if self.device.type == "cuda":
            count = count_device(self.device, idle=self.baseline.idle)
            terms = device_terms(count, weights=self.weights_bytes, kv_cache=kv_cache)
            return msgspec.structs.replace(terms, peak_rss_bytes=peak.resident_peak_bytes)
        return processor_terms(
            peak_rss=peak.resident_peak_bytes,
            peak_of_run=peak.resident_peak_bytes + self.baseline.resident - before,
            weights=self.weights_bytes,
            kv_cache=kv_cache,
            kv_cache_held_before=held[0],
        )

    def _note_first(self, ttft: float) -> None:
        if self.cold_ttft_seconds is None:
            self.cold_ttft_seconds = ttft
