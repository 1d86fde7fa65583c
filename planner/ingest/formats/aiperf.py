"""AIPerf exports (schema 1.x) and those of its predecessor genai-perf, single runs and aggregates over repeated ones.

Every metric carries its unit and is converted by it. What both call inter token latency is (request latency - TTFT)/
(tokens - 1) of a request, which is TPOT here (lint L11); gaps between chunks are `inter_chunk_latency`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from planner.domain.figure import Interval
from planner.domain.profile import Distribution, Fact, MemoryUse, Stability
from planner.domain.units import GB, GIB, MAX_BYTES, MIB
from planner.ingest.fields import Fields, list_of, object_of
from planner.ingest.formats.format import CERTAIN, NO, Format
from planner.ingest.formats.load import little
from planner.ingest.imported import Finding, Imported, Load, ProfileDraft, Timing
from planner.ingest.lints import speed
from planner.ingest.lints.finding import warn
from planner.ingest.source import Source
from planner.ingest.summaries import single, summary

PROTOCOL: Final = (
    "AIPerf / genai-perf: TTFT from sending to the first response; TPOT is its inter token latency, (request latency - TTFT)/"
    "(output tokens - 1) per request; ITL is its inter chunk latency; at the client"
)
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}
_BYTES: Final = {"b": 1, "mb": 1e6, "mib": MIB, "gb": GB, "gib": GIB}


def _detect(source: Source) -> float:
    document = source.only
    if _is_aggregate(document):
        metrics = object_of(document["metrics"])
        return CERTAIN if any(name.startswith("request_latency_") for name in metrics) else NO
    return CERTAIN if {"unit", "avg"} <= object_of(document.get("request_latency")).keys() else NO


def _is_aggregate(document: dict[str, object]) -> bool:
    metadata = document.get("metadata")
    return isinstance(metadata, dict) and "aggregation_type" in metadata and "metrics" in document


def _read(source: Source) -> Imported:
    findings: list[Finding] = []
    export = Fields(source.name, source.only)
    schema = export.text("schema_version")
    if schema is not None and schema.partition(".")[0] != "1":
        raise export.wrong("schema_version", f"`{schema}` is not known", "1.x")
    version = export.text("aiperf_version")
    name = "aiperf" if schema is not None or version is not None else "genai-perf"
    aggregate = _is_aggregate(export.values)
    timing = _aggregate(export, findings) if aggregate else _single(export, findings)
    memory, device, throttled = _telemetry(export, findings)
    if throttled:
        timing = msgspec.structs.replace(timing, stability=Stability(verdict="unstable", reason=throttled))
    warn(findings, "L11", "its inter token latency is a request's mean over tokens: read as TPOT")
    measured_at = export.time("start_time")
    draft = ProfileDraft(
        timings=(msgspec.structs.replace(timing, memory=memory),),
        protocol=PROTOCOL + ("; means over repeated runs, with their Student interval" if aggregate else ""),
        device_name=device,
        model_name=_model(export),
        measured_at=measured_at,
        versions={name: version} if version else {},
    )
    return Imported(
        format=f"{name}-aggregate" if aggregate else name,
        tool=f"{name} {version or ''}".strip(),
        profiles=(draft,),
        measured_at=measured_at,
        findings=tuple(findings),
    )


def _model(export: Fields) -> str | None:
    config = export.at("input_config")
    for fields in (config, config.at("endpoint")):
        for key in ("model_names", "model", "models"):
            several = list_of(fields.values.get(key))
            if several:
                return Fields(export.path, {"model": several[0]}).text("model")
            if fields.text(key) is not None:
                return fields.text(key)
    return None


def _concurrency(export: Fields) -> int | None:
    config = export.at("input_config")
    for fields in (
        config.at("perf_analyzer", "stimulus"),
        config.at("loadgen"),
        config,
        export.at("metadata"),
        config.at("phases", "profiling"),
    ):
        found = fields.values.get("concurrency")
        if isinstance(found, int) and not isinstance(found, bool):
            return fields.count("concurrency", low=1)
    return None


def _metric(export: Fields, findings: list[Finding], name: str, requests: int | None) -> Distribution | None:
    metric = export.at(name)
    if not metric.values or metric.number("avg") is None:
        return None
    scale = _scale(metric)
    zero = speed.zero_is_missing(findings, f"{name}.avg", metric.number("avg"))
    if zero is None:
        return None
    return summary(
        findings,
        name,
        samples=metric.count("count") or requests,
        mean=metric.number("avg"),
        p50=metric.number("p50"),
        p90=metric.number("p90"),
        p95=metric.number("p95"),
        p99=metric.number("p99"),
        stddev=metric.number("std"),
        scale=scale,
    )


def _scale(metric: Fields) -> float:
    unit = (metric.text("unit") or "").lower()
    if unit not in _SECONDS:
        raise metric.wrong("unit", f"`{unit}` is not a unit of time", ", ".join(_SECONDS))
    return _SECONDS[unit]


def _average(export: Fields, name: str) -> float | None:
    return export.at(name).number("avg")


def _single(export: Fields, findings: list[Finding]) -> Timing:
    requests = _average(export, "request_count")
    completed = int(requests) if requests else export.at("request_latency").count("count")
    errors = _average(export, "error_request_count")
    end_to_end = _metric(export, findings, "request_latency", completed)
    rate = _average(export, "request_throughput")
    tokens_in, tokens_out = (
        _average(export, "input_sequence_length"),
        _average(export, "output_sequence_length"),
    )
    facts: dict[str, Fact] = {"requests": completed}
    if export.flag("was_cancelled") is True:
        facts["was_cancelled"] = True
    load = Load(
        input_tokens=max(1, round(tokens_in)) if tokens_in else None,
        output_tokens=max(1, round(tokens_out)) if tokens_out else None,
        concurrency=_concurrency(export) or little(rate, end_to_end),
    )
    return Timing(
        load=load,
        ttft=_metric(export, findings, "time_to_first_token", completed),
        tpot=_metric(export, findings, "inter_token_latency", completed),
        itl=_metric(export, findings, "inter_chunk_latency", completed),
        end_to_end=end_to_end,
        output_rate=single(_average(export, "output_token_throughput")),
        request_rate=single(rate),
        error_share=speed.survivors(findings, failed=int(errors or 0), completed=completed or 0),
        facts=facts,
    )


def _aggregate(export: Fields, findings: list[Finding]) -> Timing:
    metrics, metadata = export.at("metrics"), export.at("metadata")
    runs = metadata.count("num_successful_runs") or 1
    confidence = metadata.number("confidence_level", low=0.5, high=0.999) or 0.95

    def mean(name: str) -> float | None:
        return metrics.at(name).number("mean")

    def times(name: str) -> Distribution | None:
        average = metrics.at(f"{name}_avg")
        value = average.number("mean")
        if not value:
            return None
        scale = _scale(average)
        median = metrics.at(f"{name}_p50")
        low, high = median.number("ci_low", low=-1e12), median.number("ci_high")
        p50 = median.number("mean")
        interval = (
            Interval(lo=low * scale, hi=high * scale, confidence=confidence)
            if p50 is not None and low is not None and high is not None and low <= high
            else None
        )
        return Distribution(
            samples=runs,
            mean=value * scale,
            p50=None if p50 is None else p50 * scale,
            p50_interval=interval,
            stddev=None if (std := average.number("std")) is None else std * scale,
        )

    average = metrics.at("request_latency_avg")
    stability = speed.unstable(
        findings,
        "repeated runs",
        mean=average.number("mean") or 0.0,
        stddev=average.number("std"),
        repetitions=runs,
    )
    end_to_end = times("request_latency")
    tokens_in, tokens_out = mean("input_sequence_length_avg"), mean("output_sequence_length_avg")
    load = Load(
        input_tokens=max(1, round(tokens_in)) if tokens_in else None,
        output_tokens=max(1, round(tokens_out)) if tokens_out else None,
        concurrency=_concurrency(export) or little(mean("request_throughput_avg"), end_to_end),
    )
    return Timing(
        load=load,
        ttft=times("time_to_first_token"),
        tpot=times("inter_token_latency"),
        itl=times("inter_chunk_latency"),
        end_to_end=end_to_end,
        output_rate=single(mean("output_token_throughput_avg")),
        request_rate=single(mean("request_throughput_avg")),
        stability=stability,
        facts={"runs": runs},
    )


def _telemetry(export: Fields, findings: list[Finding]) -> tuple[MemoryUse, str | None, str | None]:
    """Return the most device memory in use on one GPU, the GPU's name, and why the run was slowed."""
    peak: float | None = None
    device: str | None = None
    throttled: str | None = None
    endpoints = export.at("telemetry_data", "endpoints")
    for endpoint in endpoints.names():
        gpus = endpoints.at(endpoint, "gpus")
        for gpu in gpus.names():
            found = gpus.at(gpu)
            device = device or found.text("gpu_name")
            for key in ("nvidia_memory_used", "amd_memory_used", "gpu_memory_used"):
                used = found.at("metrics", key)
                unit, value = (used.text("unit") or "").lower(), used.number("max")
                if value is not None and unit in _BYTES:
                    peak = max(peak or 0.0, value * _BYTES[unit])
                elif value is not None:
                    warn(findings, "L5", f"{key} is in `{unit}`, which is no known unit of memory: left out")
            for key in ("nvidia_power_violation", "power_violation"):
                if (found.at("metrics", key).number("avg") or 0) > 0:
                    throttled = "the GPU was slowed by its power limit while it was timed"
    use = MemoryUse() if peak is None or peak > MAX_BYTES else MemoryUse(peak_device_bytes=int(peak) or None)
    return use, device, throttled


FORMAT: Final = Format(
    name="aiperf",
    title="AIPerf / genai-perf",
    expected="profile_export_aiperf.json (schema 1.x), its aggregate, or profile_export_genai_perf.json: metrics with `unit` and `avg`",
    detect=_detect,
    read=_read,
)
