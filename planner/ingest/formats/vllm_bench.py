"""vLLM `bench serve`, `bench latency` and `bench throughput`, and forks of the first that write seconds without `_ms`.

The files hold no engine, no device and, but for `serve`, no workload: those are asked for. Definitions: vllm/benchmarks/
serve.py and latency.py of 0.33.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from planner.domain.profile import Distribution
from planner.ingest.fields import Fields, list_of
from planner.ingest.formats.format import CERTAIN, LIKELY, NO, Format
from planner.ingest.formats.load import little
from planner.ingest.imported import Finding, Imported, Load, ProfileDraft, Timing
from planner.ingest.lints import speed
from planner.ingest.source import Source
from planner.ingest.summaries import distribution, single, summary

SERVE_PROTOCOL: Final = (
    "vllm bench serve: TTFT from sending to the first streamed chunk; TPOT (end to end - TTFT)/(output tokens - 1) per "
    "request; ITL gaps between chunks over all requests; at the client, completed requests only"
)
LATENCY_PROTOCOL: Final = (
    "vllm bench latency: end to end of one batch, 10 warm-ups and 30 iterations unless told otherwise, prefix caching off; "
    "offline, without a server"
)
THROUGHPUT_PROTOCOL: Final = "vllm bench throughput: all requests at once, offline, one pass, no warm-up"


def _detect_serve(source: Source) -> float:
    first = source.objects[0] if source.objects else {}
    if "total_output_tokens_retokenized" in first or "mean_e2e_latency_ms" in first:
        return NO
    timed = any(
        key in first for key in ("mean_ttft_ms", "median_ttft_ms", "mean_ttft", "median_ttft", "mean_e2el_ms")
    )
    if timed and "completed" in first and "duration" in first:
        return CERTAIN if "tokenizer_id" in first or "burstiness" in first else LIKELY
    return LIKELY if timed and ("median_tpot" in first or "mean_tpot" in first) else NO


def _read_serve(source: Source) -> Imported:
    findings: list[Finding] = []
    runs = [Fields(source.name, values, f"[{i}]" if i else "") for i, values in enumerate(source.objects)]
    first = runs[0]
    return Imported(
        format="vllm-serve",
        tool="vllm bench serve",
        profiles=(
            ProfileDraft(
                timings=tuple(_serve_timing(run, findings) for run in runs),
                protocol=SERVE_PROTOCOL,
                model_name=first.text("model_id"),
                device_name=first.text("hw"),
                measured_at=_date(first),
                facts={
                    name: first.text(name)
                    for name in ("backend", "endpoint_type", "label", "tokenizer_id", "precision")
                    if name in first
                },
            ),
        ),
        measured_at=_date(first),
        findings=tuple(findings),
    )


def _date(run: Fields) -> datetime | None:
    text = run.text("date")
    if text is None or len(text) < 15 or text[8] != "-":
        return None
    iso = f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[9:11]}:{text[11:13]}:{text[13:15]}"
    return Fields(run.path, {"date": iso}).time("date")


def _serve_timing(run: Fields, findings: list[Finding]) -> Timing:
    completed = run.count("completed")
    failed = run.count("failed") or 0
    caching = next((run.text(k) for k in ("prefix_caching", "enable_prefix_caching") if k in run), None)
    if caching is None and run.flag("enable_prefix_caching") is not None:
        caching = str(run.flag("enable_prefix_caching"))
    speed.warm_cache(findings, caching=caching, warmups=run.number("num_warmups"))
    error_share = speed.survivors(findings, failed=failed, completed=completed or 0)
    requests = completed or run.count("num_prompts")
    ttfts, latencies, lengths = run.numbers("ttfts"), run.numbers("latencies"), run.numbers("output_lens")
    ttft = _times(run, findings, "ttft", requests)
    end_to_end = _times(run, findings, "e2el", requests)
    tpot = _times(run, findings, "tpot", requests)
    facts: dict[str, str | int | float | bool | None] = {
        name: run.text(name)
        for name in ("request_rate", "burstiness", "num_prompts", "max_concurrency", "ramp_up_strategy")
        if name in run
    }
    if ttfts and lengths and latencies is None:
        latencies = _ends(run, ttfts, list_of(run.values.get("itls")))
    if ttfts and latencies and lengths and len(ttfts) == len(latencies) == len(lengths):
        recomputed = distribution(speed.recomputed_tpot(latencies, ttfts, lengths))
        if recomputed is not None:
            facts["tpot_recomputed"] = "per request, (end to end - TTFT)/(output tokens - 1)"
            tpot = recomputed
        ok = [value for value, n in zip(latencies, lengths, strict=True) if n and value]
        end_to_end = end_to_end or distribution(ok)
    total_in, total_out = run.number("total_input_tokens"), run.number("total_output_tokens")
    gaps = int(total_out) - completed if total_out and completed and total_out > completed else requests
    itl = _times(run, findings, "itl", gaps)
    load = Load(
        input_tokens=_per(total_in, completed)
        or run.count("isl", low=1)
        or run.count("random_input_len", low=1),
        output_tokens=_per(total_out, completed)
        or run.count("osl", low=1)
        or run.count("random_output_len", low=1),
        concurrency=run.count("max_concurrency", low=1)
        or run.count("conc", low=1)
        or little(run.number("request_throughput"), end_to_end),
    )
    return Timing(
        load=load,
        ttft=ttft,
        tpot=tpot,
        itl=itl,
        end_to_end=end_to_end,
        output_rate=single(run.number("output_throughput")),
        request_rate=single(run.number("request_throughput")),
        error_share=error_share,
        facts=facts,
    )


def _ends(run: Fields, ttfts: list[float], gaps: list[Any]) -> list[float] | None:
    if len(gaps) != len(ttfts):
        return None
    ends: list[float] = []
    for i, (first, some) in enumerate(zip(ttfts, gaps, strict=True)):
        values = Fields(run.path, {f"itls[{i}]": some}, run.place).numbers(f"itls[{i}]")
        ends.append(first + sum(values or ()))
    return ends


def _per(total: float | None, completed: int | None) -> int | None:
    return max(1, round(total / completed)) if total and completed else None


def _times(run: Fields, findings: list[Finding], name: str, samples: int | None) -> Distribution | None:
    """Return a metric in seconds, from milliseconds or, where the unit is missing from the name, from seconds (L5)."""
    suffix, scale = "_ms", 1e-3
    if f"mean_{name}_ms" not in run and f"median_{name}_ms" not in run:
        if f"mean_{name}" not in run and f"median_{name}" not in run:
            return None
        suffix = ""
        scale = speed.seconds_by_another_name(findings, f"median_{name}")

    def value(stat: str) -> float | None:
        key = f"{stat}_{name}{suffix}"
        found = run.number(key)
        return found if stat == "std" else speed.zero_is_missing(findings, key, found)

    return summary(
        findings,
        name.upper(),
        samples=samples,
        mean=value("mean"),
        p50=value("median"),
        p90=value("p90"),
        p95=value("p95"),
        p99=value("p99"),
        stddev=value("std"),
        scale=scale,
    )


def _detect_latency(source: Source) -> float:
    return CERTAIN if {"avg_latency", "latencies", "percentiles"} <= source.only.keys() else NO


def _read_latency(source: Source) -> Imported:
    findings: list[Finding] = []
    run = Fields(source.name, source.only)
    run.positive("avg_latency")
    latencies = run.numbers("latencies")
    if not latencies:
        raise run.wrong("latencies", "are empty", "the seconds of every iteration")
    times = distribution(latencies)
    mean, spread = (times.mean, times.stddev) if times else (0.0, None)
    timing = Timing(
        load=Load(),
        end_to_end=times,
        stability=speed.unstable(findings, "latency", mean=mean, stddev=spread, repetitions=len(latencies)),
    )
    draft = ProfileDraft(
        timings=(timing,), protocol=LATENCY_PROTOCOL, model_name=run.text("model_id"), runtime=None
    )
    return Imported(
        format="vllm-latency", tool="vllm bench latency", profiles=(draft,), findings=tuple(findings)
    )


def _detect_throughput(source: Source) -> float:
    return CERTAIN if {"elapsed_time", "num_requests", "total_num_tokens"} <= source.only.keys() else NO


def _read_throughput(source: Source) -> Imported:
    run = Fields(source.name, source.only)
    requests, tokens = run.positive("num_requests"), run.positive("total_num_tokens")
    elapsed = run.positive("elapsed_time")
    timing = Timing(
        load=Load(tokens_per_request=tokens / requests),
        request_rate=single(requests / elapsed),
        facts={"num_requests": int(requests)},
    )
    draft = ProfileDraft(timings=(timing,), protocol=THROUGHPUT_PROTOCOL, model_name=run.text("model_id"))
    return Imported(format="vllm-throughput", tool="vllm bench throughput", profiles=(draft,))


SERVE: Final = Format(
    name="vllm-serve",
    title="vLLM bench serve",
    expected="JSON (or one a line) with completed, duration and mean_ttft_ms, as `vllm bench serve --save-result` writes",
    detect=_detect_serve,
    read=_read_serve,
)
LATENCY: Final = Format(
    name="vllm-latency",
    title="vLLM bench latency",
    expected="JSON with avg_latency, latencies and percentiles, as `vllm bench latency --output-json` writes",
    detect=_detect_latency,
    read=_read_latency,
)
THROUGHPUT: Final = Format(
    name="vllm-throughput",
    title="vLLM bench throughput",
    expected="JSON with elapsed_time, num_requests and total_num_tokens, as `vllm bench throughput --output-json` writes",
    detect=_detect_throughput,
    read=_read_throughput,
)
