"""Profiles of engines that take requests one by one: continuous batching in this process, and servers.

Both are measured by the same closed loop. Only the first can say what memory it takes; only for the second is the variant
a claim of whoever asks, and the machine perhaps another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from planner.domain.decode_limit import BANDWIDTH
from planner.domain.figure import Basis
from planner.domain.job import FailureReason
from planner.domain.profile import Environment, Fact, MemoryUse, Profile, ProfilePoint
from planner.domain.workload import Workload
from worker.engines.endpoint import Endpoint
from worker.engines.formats.gguf_timing import refuse_timing
from worker.engines.loading import load_tokenizer, resolve_device
from worker.engines.requests import RequestEngine
from worker.engines.synthetic_mark import is_synthetic
from worker.failure import JobFailed
from worker.identity import content_id
from worker.measure.contention import Watch
from worker.measure.device import Identified, identify
from worker.measure.environment import capture, copy_bandwidth, versions
from worker.measure.load import PROTOCOL, LoadTimings, draw_requests, time_load, widest
from worker.measure.memory import PeakMemory, release_free_memory, resident_bytes
from worker.measure.memory_terms import cache_bytes, count_device, device_terms, processor_terms
from worker.measure.place import Place
from worker.measure.profile import Conditions, Measured
from worker.measure.readings import summary
from worker.measure.session import MAX_SECONDS, PointLeftOut, Session, check_context
from worker.progress import Report, ignore, part

if TYPE_CHECKING:
    from worker.engines.continuous import ContinuousEngine

CONTINUOUS_SPREAD: Final = 0.5
MOST_ERRORS: Final = 0.01
MOST_EARLY: Final = 0.1
MOST_PROMPT_ERROR: Final = 0.05
"""Shares above which a profile of a server is in doubt: failed requests, requests that ended before the length asked for,
prompts of another length than asked for."""


def measure_continuous(
    directory: Path, variant_id: str, conditions: Conditions, *, report: Report = ignore
) -> Measured:
    """Measure the variant in `directory` under continuous batching on this machine.

    Raises as `measure_engine` does.
    """
    from worker.engines.continuous import ContinuousEngine

    refuse_timing(directory)

    def load() -> ContinuousEngine:
        return ContinuousEngine.load(directory, device=resolve_device(conditions.device))

    return measure_continuous_engine(
        load, variant_id, conditions, synthetic_weights=is_synthetic(directory), report=report
    )


def measure_continuous_engine(
    load: Callable[[], ContinuousEngine],
    variant_id: str,
    conditions: Conditions,
    *,
    synthetic_weights: bool = False,
    facts: Mapping[str, Fact] | None = None,
    report: Report = ignore,
) -> Measured:
    """Measure the engine that `load` returns. Raises as `measure_engine` does."""
    spread = CONTINUOUS_SPREAD if conditions.length_spread is None else conditions.length_spread
    place = Place.prepare(conditions.device, conditions.threads)
    report(0.0, "loading")
    loaded = place.load(load)
    engine = loaded.engine
    _check_widest(conditions, spread, engine.max_context)
    meter = _Meter(engine=engine, conditions=conditions, spread=spread, watch=place.watch)
    scales = _Scales(engine=engine, place=place, weights_bytes=loaded.held_bytes, spread=spread)

    def measure_point(workload: Workload, deadline: float, report: Report) -> ProfilePoint:
        return meter.measure_point(
            workload, deadline, report, memory=lambda ready: scales.measure_memory(workload, ready)
        )

    session = Session(conditions.point_limit_seconds, conditions.total_limit_seconds)
    bandwidth = copy_bandwidth(place.device)
    with place.watch:
        session.measure_points(conditions.workloads, measure_point, part(report, 0.1, 0.98))
    profile = place.profile(
        variant_id,
        session,
        engine.runtime,
        protocol=PROTOCOL,
        facts=loaded.facts | {BANDWIDTH: bandwidth, "length_spread": spread} | dict(facts or {}),
        refuse_tainted=conditions.tainted == "refuse",
        load_seconds=loaded.seconds,
        cold_ttft_seconds=meter.cold_ttft_seconds,
        compile_seconds=engine.compile_seconds,
        synthetic_weights=synthetic_weights,
        doubts=meter.doubts,
    )
    report(1.0, "measured")
    return Measured(profile=profile, weights=loaded.weights, device=identify(place.device).device)


def measure_server(
    endpoint: Endpoint,
    directory: Path,
    variant_id: str,
    conditions: Conditions,
    *,
    report: Report = ignore,
) -> Measured:
    """Measure the server, which is said to serve the variant whose files are in `directory`.

    Raises Unavailable when it does not answer, InvalidInput when it does not take our requests, JobFailed
    (tainted_measurement) when the conditions refuse figures that are in doubt.
    """
    from worker.engines.openai import OpenAIEngine

    spread = conditions.length_spread or 0.0
    report(0.0, "asking the server")
    vocabulary, tokenizer = _reader(directory)
    with OpenAIEngine(endpoint, vocabulary=vocabulary, tokenizer=tokenizer) as engine:
        _check_widest(conditions, spread, engine.max_context)
        target = resolve_device(conditions.device) if endpoint.is_local else resolve_device("cpu")
        # The server itself is what a watch would call another process, so of what it sees only slowed samples count.
        watch = Watch(target, threads=0) if endpoint.is_local else None
        meter = _Meter(engine=engine, conditions=conditions, spread=spread, watch=watch)
        session = Session(conditions.point_limit_seconds, conditions.total_limit_seconds)
        with ExitStack() as stack:
            if watch is not None:
                stack.enter_context(watch)
            session.measure_points(conditions.workloads, meter.measure_point, part(report, 0.05, 0.98))
        if meter.doubts and conditions.tainted == "refuse":
            raise JobFailed(FailureReason.TAINTED_MEASUREMENT, "; ".join(meter.doubts))
        facts = engine.facts | {"length_spread": spread}
        place = Identified(id=endpoint.device_id, device=None) if endpoint.device_id else identify(target)
        # The libraries are the server's own, so of the versions here only that of the measuring program counts.
        client = {name: versions()[name] for name in ("python", "variant-planner")}
        environment = (
            msgspec.structs.replace(capture(target, **facts), versions=client)
            if endpoint.is_local and endpoint.device_id is None
            else Environment(
                versions=client, facts={key: value for key, value in facts.items() if value is not None}
            )
        )
        profile = Profile(
            id="",
            variant_id=variant_id,
            device_id=place.id,
            devices=endpoint.devices,
            runtime=engine.runtime,
            basis=Basis.MEASURED,
            synthetic_weights=is_synthetic(directory),
            points=tuple(session.points),
            not_measured=tuple(session.not_measured),
            cold_ttft_seconds=meter.cold_ttft_seconds,
            environment=environment,
            protocol=PROTOCOL,
            measured_at=datetime.now(UTC),
            doubt="; ".join(meter.doubts) or None,
        )
    report(1.0, "measured")
    profile = msgspec.structs.replace(profile, id=content_id("profile", profile))
    return Measured(profile=profile, weights=None, device=place.device)


@dataclass
class _Meter:
    """Measures points of an engine that takes requests one by one."""

    engine: RequestEngine
    conditions: Conditions
    spread: float
    watch: Watch | None
    cold_ttft_seconds: float | None = None
    _doubts: tuple[str, ...] = ()

    @property
    def doubts(self) -> tuple[str, ...]:
        """Sentences, each naming one reason to doubt the figures."""
        return tuple(dict.fromkeys(self._doubts))

    def measure_point(
        self,
        workload: Workload,
        deadline: float,
        report: Report,
        *,
        memory: Callable[[ExitStack], MemoryUse] | None = None,
    ) -> ProfilePoint:
        """Return the point. `memory` makes the engine ready in the stack it is given and measures what that takes."""
        report(0.0, f"{workload}: warming up")
        largest = widest(workload, self.spread)
        with ExitStack() as ready:
            if memory is not None:
                use = memory(ready)
            else:
                use = MemoryUse()
                ready.enter_context(
                    self.engine.ready(
                        concurrency=workload.concurrency,
                        input_tokens=largest.input_tokens,
                        context_tokens=largest.context_tokens,
                    )
                )
            timings = time_load(
                self.engine,
                workload,
                self.conditions.repetition,
                deadline=deadline,
                spread=self.spread,
                judge=self.watch.judge if self.watch is not None else None,
                progress=lambda done: report(
                    min(0.95, 0.1 + 0.85 * done / self.conditions.repetition.least),
                    f"{workload}: {done} requests",
                ),
            )
            attention = getattr(self.engine, "attention", None)
        if self.cold_ttft_seconds is None:
            self.cold_ttft_seconds = timings.first_ttft_seconds
        return self._point(workload, timings, use, {} if attention is None else {"attention": attention})

    def _point(
        self, workload: Workload, timings: LoadTimings, memory: MemoryUse, facts: dict[str, Fact]
    ) -> ProfilePoint:
        seen = summary(self.watch.between(timings.started, timings.ended)) if self.watch is not None else {}
        if timings.errors:
            facts = facts | {"errors": "; ".join(timings.errors[:3])}
        point = ProfilePoint(
            workload=workload,
            ttft_seconds=timings.ttft_seconds,
            tpot_seconds=timings.tpot_seconds,
            itl_seconds=timings.itl_seconds,
            end_to_end_seconds=timings.end_to_end_seconds,
            output_tokens_per_second=timings.output_tokens_per_second,
            requests_per_second=timings.requests_per_second,
            error_share=timings.error_share,
            memory=memory,
            stability=timings.stability,
            facts=timings.facts | facts | seen,
        )
        if timings.ttft_seconds is None:
            if timings.errors:
                raise PointLeftOut("failed", "; ".join(timings.errors[:3]))
            if timings.stability.discarded:
                raise PointLeftOut("throttled", timings.stability.reason or "", point=point)
            raise PointLeftOut("time_limit", "no request was answered in time")
        self._doubts += tuple(_doubts(workload, timings))
        return point


def _doubts(workload: Workload, timings: LoadTimings) -> list[str]:
    found: list[str] = []
    if timings.error_share > MOST_ERRORS:
        found.append(f"{workload}: {timings.error_share:.1%} of the requests failed")
    early = timings.facts.get("stopped_early_share")
    if isinstance(early, float) and early > MOST_EARLY:
        found.append(f"{workload}: {early:.0%} of the requests ended before the length asked for")
    ratio = timings.facts.get("input_tokens_over_asked")
    if isinstance(ratio, float) and abs(ratio - 1) > MOST_PROMPT_ERROR:
        found.append(f"{workload}: prompts had {ratio:.0%} of the tokens asked for")
    return found


@dataclass(frozen=True)
class _Scales:
    """Weighs continuous batching of one loaded variant."""

    engine: ContinuousEngine
    place: Place
    weights_bytes: int
    spread: float

    def measure_memory(self, workload: Workload, ready: ExitStack) -> MemoryUse:
        """Make the engine ready in `ready` and return what that and a full batch of the longest requests take."""
        place, engine = self.place, self.engine
        largest = widest(workload, self.spread)
        requests = draw_requests(largest, workload.concurrency, engine.vocabulary, spread=0.0, seed=0)
        release_free_memory()
        before = resident_bytes()
        with PeakMemory(place.device, resident_baseline=place.baseline.resident) as peak:
            ready.enter_context(
                engine.ready(
                    concurrency=workload.concurrency,
                    input_tokens=largest.input_tokens,
                    context_tokens=largest.context_tokens,
                )
            )
            engine.serve(requests, workload.concurrency, time.perf_counter() + MAX_SECONDS)
            kv_cache = cache_bytes(engine.cache)
        if place.device.type == "cuda":
            count = count_device(place.device, idle=place.baseline.idle)
            terms = device_terms(count, weights=self.weights_bytes, kv_cache=kv_cache)
            return msgspec.structs.replace(terms, peak_rss_bytes=peak.resident_peak_bytes)
        return processor_terms(
            peak_rss=peak.resident_peak_bytes,
            peak_of_run=peak.resident_peak_bytes + place.baseline.resident - before,
            weights=self.weights_bytes,
            kv_cache=kv_cache,
            kv_cache_held_before=False,
        )


def _check_widest(conditions: Conditions, spread: float, limit: int | None) -> None:
    check_context(tuple(widest(workload, spread) for workload in conditions.workloads), limit)


def _reader(directory: Path) -> tuple[int | None, Any | None]:
    """Return the vocabulary's size and the tokenizer of the variant, None for what its files do not hold."""
    try:
        config = msgspec.json.decode((directory / "config.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        config = None
    text = config.get("text_config", config) if isinstance(config, dict) else None
    size = text.get("vocab_size") if isinstance(text, dict) else None
    has_tokenizer = (directory / "tokenizer.json").is_file() or (
        directory / "tokenizer_config.json"
    ).is_file()
    tokenizer = load_tokenizer(directory) if has_tokenizer else None
    return (size if isinstance(size, int) and size > 0 else None), tokenizer
