"""GuideLLM reports, version 1 (parameters under `args`) and version 2 (`config.spec`).

Its `time_per_output_token_ms` divides the whole request by its tokens; what is called TPOT everywhere else is its
`inter_token_latency_ms`, (last token - first token)/(tokens - 1) of a request (lint L11). Every metric is split by how
requests ended; the successful ones are read.
"""

from __future__ import annotations

from typing import Final

import msgspec

from planner.domain.figure import Interval
from planner.domain.profile import Distribution, Fact
from planner.ingest.fields import Fields, list_of, object_of
from planner.ingest.formats.format import CERTAIN, NO, Format
from planner.ingest.imported import Finding, Imported, Load, ProfileDraft, Timing
from planner.ingest.lints import speed
from planner.ingest.lints.finding import warn
from planner.ingest.source import Source
from planner.ingest.summaries import single, summary

PROTOCOL: Final = (
    "GuideLLM: TTFT from request start to first token; TPOT is its inter_token_latency_ms, (last token - first token)/"
    "(output tokens - 1) per request; end to end is request latency; successful requests only, at the client"
)


def _detect(source: Source) -> float:
    document = source.only
    benchmarks = list_of(document.get("benchmarks"))
    first = object_of(benchmarks[0]) if benchmarks else {}
    if not first:
        return NO
    named = "guidellm_version" in Fields(source.name, document).at("metadata")
    kind = str(first.get("type_"))
    shaped = "time_to_first_token_ms" in object_of(first.get("metrics"))
    return CERTAIN if named or kind in {"generative_benchmark", "benchmark"} or shaped else NO


def _read(source: Source) -> Imported:
    findings: list[Finding] = []
    report = Fields(source.name, source.only)
    metadata = report.at("metadata")
    version = metadata.count("version")
    runs = list(report.each("benchmarks"))
    is_first = all("args" in run for run in runs) and "config" not in runs[0]
    if version not in {None, 1, 2} or (version is None and not is_first and "config" not in runs[0]):
        raise metadata.wrong(
            "version",
            f"report version {version} is not known",
            "1 (benchmarks[].args) or 2 (benchmarks[].config)",
        )
    number = 1 if is_first else 2
    profiles = tuple(_timing(run, number, findings) for run in runs)
    warn(
        findings,
        "L11",
        "`time_per_output_token_ms` divides the whole request by its tokens; TPOT is read from `inter_token_latency_ms`",
    )
    tool = f"GuideLLM {metadata.text('guidellm_version') or ''}".strip()
    measured_at = runs[0].time("start_time")
    draft = ProfileDraft(
        timings=profiles,
        protocol=PROTOCOL,
        model_name=_backend_model(runs[0], number),
        measured_at=measured_at,
        versions={"guidellm": metadata.text("guidellm_version") or f"report version {number}"},
        facts={"client_platform": metadata.text("platform")} if "platform" in metadata else {},
    )
    return Imported(
        format=f"guidellm-v{number}",
        tool=tool,
        profiles=(draft,),
        measured_at=measured_at,
        findings=tuple(findings),
    )


def _backend_model(run: Fields, number: int) -> str | None:
    return (
        run.at("worker").text("backend_model") if number == 1 else run.at("config", "backend").text("model")
    )


def _timing(run: Fields, number: int, findings: list[Finding]) -> Timing:
    metrics = run.inner("metrics")
    if metrics is None:
        raise run.wrong("metrics", "are missing", "the metrics of a generative benchmark")
    totals = run.at("request_totals") if number == 1 else metrics.at("request_totals")
    completed, errored = totals.count("successful") or 0, totals.count("errored") or 0
    strategy = run.at("args", "strategy") if number == 1 else run.at("config", "strategy")
    concurrency = (
        strategy.count("streams", low=1)
        or (1 if strategy.text("type_") == "synchronous" else None)
        or _rounded(_mean(metrics, "request_concurrency"))
    )
    facts: dict[str, Fact] = {
        "strategy": strategy.text("type_"),
        "requests": completed,
        "incomplete_requests": totals.count("incomplete"),
        "duration_seconds": run.number("duration"),
    }
    as_written = _mean(metrics, "time_per_output_token_ms")
    if as_written is not None:
        facts["request_latency_per_token_seconds"] = as_written / 1e3
    load = Load(
        input_tokens=_rounded(_mean(metrics, "prompt_token_count")),
        output_tokens=_rounded(_mean(metrics, "output_token_count")),
        concurrency=concurrency,
    )
    return Timing(
        load=load,
        ttft=_times(metrics, findings, "time_to_first_token_ms", completed, 1e-3),
        tpot=_times(metrics, findings, "inter_token_latency_ms", completed, 1e-3),
        end_to_end=_times(metrics, findings, "request_latency", completed, 1.0),
        output_rate=single(_mean(metrics, "output_tokens_per_second")),
        request_rate=single(_mean(metrics, "requests_per_second")),
        error_share=speed.survivors(findings, failed=errored, completed=completed),
        facts=facts,
    )


def _successful(metrics: Fields, name: str) -> Fields | None:
    split = metrics.at(name, "successful")
    return split if split.values and split.count("count") else None


def _mean(metrics: Fields, name: str) -> float | None:
    found = _successful(metrics, name)
    return found.number("mean") if found is not None else None


def _rounded(value: float | None) -> int | None:
    return max(1, round(value)) if value else None


def _times(
    metrics: Fields, findings: list[Finding], name: str, samples: int, scale: float
) -> Distribution | None:
    found = _successful(metrics, name)
    if found is None or not found.number("mean"):
        return None
    percentiles = found.at("percentiles")
    times = summary(
        findings,
        name,
        samples=samples or None,
        mean=found.number("mean"),
        p50=found.number("median"),
        p90=percentiles.number("p90"),
        p95=percentiles.number("p95"),
        p99=percentiles.number("p99"),
        stddev=found.number("std_dev"),
        scale=scale,
    )
    bounds = found.at("percentile_cis", "p50")
    lower, upper = bounds.number("lower"), bounds.number("upper")
    if times is None or lower is None or upper is None or lower > upper:
        return times
    confidence = (
        0.95  # `confidence` of the report's own intervals is 0.95 unless its configuration says otherwise
    )
    interval = Interval(lo=lower * scale, hi=upper * scale, confidence=confidence)
    return msgspec.structs.replace(times, p50_interval=interval)


FORMAT: Final = Format(
    name="guidellm",
    title="GuideLLM report",
    expected="JSON with benchmarks[].metrics, report version 1 or 2, as `guidellm run --output kind=json` writes",
    detect=_detect,
    read=_read,
)
