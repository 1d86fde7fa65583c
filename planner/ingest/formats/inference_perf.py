"""inference-perf (Kubernetes): lifecycle metrics of the client, and the server's own counters of the same stage.

It sets a rate; the concurrency is Little's. Gaps between chunks can be microseconds where chunks are coalesced (lint L10), and
its time per output token then divides by chunks (lint L11). The counters may cover other traffic (lint L20).
"""

from __future__ import annotations

from typing import Final

from planner.domain.profile import Distribution
from planner.ingest.fields import Fields
from planner.ingest.formats.format import CERTAIN, NO, Format
from planner.ingest.formats.load import little
from planner.ingest.imported import Finding, Imported, Load, ProfileDraft, Timing
from planner.ingest.lints import speed
from planner.ingest.source import Source
from planner.ingest.summaries import single, summary

PROTOCOL: Final = (
    "inference-perf: TTFT from sending to the first chunk; TPOT its time_per_output_token, checked against "
    "(end to end - TTFT)/(tokens - 1); ITL gaps between chunks; at the client, successful requests only"
)


def _detect(source: Source) -> float:
    document = source.only
    shaped = isinstance(document.get("successes"), dict) and "load_summary" in document
    latency = Fields(source.name, document).at("successes", "latency")
    return CERTAIN if shaped and "request_latency" in latency else NO


def _read(source: Source) -> Imported:
    findings: list[Finding] = []
    document = Fields(source.name, source.only)
    good, load = document.at("successes"), document.at("load_summary")
    latency, rates = good.at("latency"), good.at("throughput")
    completed = good.count("count") or 0
    if completed == 0:
        raise good.wrong("count", "no request succeeded", "at least one")
    failed = document.at("failures").count("count") or 0

    def times(name: str, samples: int | None = completed) -> Distribution | None:
        found = latency.at(name)
        if not found.values:
            return None
        return summary(
            findings,
            name,
            samples=samples,
            mean=found.number("mean"),
            p50=found.number("median"),
            p90=found.number("p90"),
            p95=found.number("p95"),
            p99=found.number("p99"),
        )

    end_to_end = times("request_latency")
    tokens_in, tokens_out = good.at("prompt_len").number("mean"), good.at("output_len").number("mean")
    rate = rates.number("requests_per_sec")
    gaps = round(completed * (tokens_out - 1)) if tokens_out and tokens_out > 1 else None
    timing = Timing(
        load=Load(
            input_tokens=max(1, round(tokens_in)) if tokens_in else None,
            output_tokens=max(1, round(tokens_out)) if tokens_out else None,
            concurrency=little(rate, end_to_end),
        ),
        ttft=times("time_to_first_token"),
        tpot=times("time_per_output_token"),
        itl=times("inter_token_latency", gaps),
        end_to_end=end_to_end,
        output_rate=single(rates.number("output_tokens_per_sec")),
        request_rate=single(rate),
        error_share=speed.survivors(findings, failed=failed, completed=completed),
        facts={
            "requests": completed,
            "requested_rate": load.number("requested_rate"),
            "achieved_rate": load.number("achieved_rate"),
            "concurrency_from": "rate x mean latency",
        },
    )
    draft = ProfileDraft(timings=(timing,), protocol=PROTOCOL)
    return Imported(
        format="inference-perf", tool="inference-perf", profiles=(draft,), findings=tuple(findings)
    )


def _detect_counters(source: Source) -> float:
    document = source.only
    good = Fields(source.name, document).at("successes")
    shaped = "load_summary" in document and "count" in good and "rate" in good and "latency" not in good
    return CERTAIN if shaped else NO


def _read_counters(source: Source) -> Imported:
    good = Fields(source.name, source.only).at("successes")
    return Imported(
        format="inference-perf-counters",
        tool="inference-perf",
        server_requests=good.count("count"),
        protocol="server counters over the stage's window",
    )


FORMAT: Final = Format(
    name="inference-perf",
    title="inference-perf lifecycle metrics",
    expected="stage_N_lifecycle_metrics.json or the summary: load_summary and successes.latency.request_latency",
    detect=_detect,
    read=_read,
)
COUNTERS: Final = Format(
    name="inference-perf-counters",
    title="inference-perf server counters",
    expected="stage_N_prometheus_metrics.json: successes with count and rate; given together with the lifecycle metrics",
    detect=_detect_counters,
    read=_read_counters,
)
