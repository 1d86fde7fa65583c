"""SGLang's `bench_serving`, `bench_one_batch` and `bench_one_batch_server`, JSON lines each. Definitions: sglang 0.5.23.

`bench_one_batch` runs every setting once, without repeats (lint L12).
"""

from __future__ import annotations

from typing import Final

import msgspec

from planner.domain.profile import Distribution, Fact
from planner.domain.runtime import Runtime
from planner.ingest.fields import Fields, list_of
from planner.ingest.formats.format import CERTAIN, NO, Format
from planner.ingest.imported import Finding, Imported, Load, ProfileDraft, Timing
from planner.ingest.lints import speed
from planner.ingest.source import Source
from planner.ingest.summaries import distribution, single, summary

SERVING_PROTOCOL: Final = (
    "sglang bench_serving: TTFT from sending to the first chunk; TPOT (end to end - TTFT)/(output tokens - 1) per request; "
    "ITL gaps between chunks; at the client, completed requests only"
)
BATCH_PROTOCOL: Final = (
    "sglang bench_one_batch: TTFT is the prefill of one static batch, TPOT the median decode step; in process, no server, "
    "every setting once"
)
BATCH_SERVER_PROTOCOL: Final = "sglang bench_one_batch_server: one static batch sent to a server at once, every setting once; TTFT of its last request"


def _rows(source: Source) -> list[Fields]:
    return [Fields(source.name, row, f"[{i}]" if i else "") for i, row in enumerate(source.objects)]


def _detect_serving(source: Source) -> float:
    first = source.objects[0] if source.objects else {}
    return CERTAIN if "completed" in first and "mean_e2e_latency_ms" in first else NO


def _read_serving(source: Source) -> Imported:
    findings: list[Finding] = []
    runs = _rows(source)
    first = runs[0]
    info = first.at("server_info")
    is_sglang = bool(info.values) or first.text("backend") in {
        "sglang",
        "sglang-native",
        "sglang-oai",
        "sglang-oai-chat",
    }
    version = info.text("version")
    draft = ProfileDraft(
        timings=tuple(_serving(run, findings) for run in runs),
        protocol=SERVING_PROTOCOL,
        runtime=Runtime(name="sglang", version=version) if is_sglang else None,
        model_name=info.text("model_path"),
        devices=info.count("tp_size", low=1),
        versions={"sglang": version} if version else {},
        facts={name: first.text(name) for name in ("backend", "dataset_name", "tag") if name in first},
    )
    return Imported(
        format="sglang-serving",
        tool=f"sglang bench_serving {version or ''}".strip(),
        profiles=(draft,),
        findings=tuple(findings),
    )


def _serving(run: Fields, findings: list[Finding]) -> Timing:
    completed = run.count("completed") or 0
    if completed == 0:
        raise run.wrong("completed", "no request succeeded", "at least one")
    reported, again = run.number("total_output_tokens"), run.number("total_output_tokens_retokenized")
    speed.retokenised(findings, reported=reported, retokenised=again)
    failed = sum(1 for error in list_of(run.values.get("errors")) if error)
    caching = run.at("server_info").flag("disable_radix_cache")
    speed.warm_cache(
        findings, caching=None if caching is None else ("off" if caching else "on"), warmups=None
    )
    total_in = run.number("total_input_tokens")
    facts: dict[str, Fact] = {
        name: run.text(name)
        for name in ("request_rate", "max_concurrency", "accept_length", "random_range_ratio")
        if name in run
    }
    facts["output_tokens"] = "as reported by the server; retokenised ones are not used"
    measured = run.number("concurrency")

    def times(name: str, samples: int | None = completed) -> Distribution | None:
        def value(stat: str) -> float | None:
            key = f"{stat}_{name}_ms"
            return run.number(key) if stat == "std" else speed.zero_is_missing(findings, key, run.number(key))

        return summary(
            findings,
            name,
            samples=samples,
            mean=value("mean"),
            p50=value("median"),
            p90=value("p90"),
            p95=value("p95"),
            p99=value("p99"),
            stddev=value("std"),
            scale=1e-3,
        )

    gaps = int(reported) - completed if reported and reported > completed else None
    return Timing(
        load=Load(
            input_tokens=max(1, round(total_in / completed)) if total_in else None,
            output_tokens=max(1, round(reported / completed)) if reported else None,
            concurrency=run.count("max_concurrency", low=1)
            or (max(1, round(measured)) if measured else None),
        ),
        ttft=times("ttft"),
        tpot=times("tpot"),
        itl=times("itl", gaps),
        end_to_end=times("e2e_latency"),
        output_rate=single(run.number("output_throughput")),
        request_rate=single(run.number("request_throughput")),
        error_share=speed.survivors(findings, failed=failed, completed=completed),
        facts=facts,
    )


def _detect_batch(source: Source) -> float:
    first = source.objects[0] if source.objects else {}
    named = {"run_name", "batch_size", "input_len", "output_len"} <= first.keys()
    return CERTAIN if named and ("prefill_latency" in first or "last_ttft" in first) else NO


def _read_batch(source: Source) -> Imported:
    findings: list[Finding] = []
    runs = _rows(source)
    timings = tuple(_batch(run, findings) for run in runs)
    served = "prefill_latency" not in runs[0]
    draft = ProfileDraft(
        timings=timings,
        protocol=BATCH_SERVER_PROTOCOL if served else BATCH_PROTOCOL,
        runtime=Runtime(name="sglang"),
        facts={"run_name": runs[0].text("run_name")},
    )
    return Imported(
        format="sglang-one-batch", tool="sglang bench_one_batch", profiles=(draft,), findings=tuple(findings)
    )


def _batch(run: Fields, findings: list[Finding]) -> Timing:
    batch, tokens = run.count("batch_size", low=1), run.count("output_len", low=1)
    stability = speed.unstable(findings, "one batch", mean=1.0, stddev=None, repetitions=1)
    load = Load(input_tokens=run.count("input_len", low=1), output_tokens=tokens, concurrency=batch)
    if "prefill_latency" in run:
        decode = run.number("median_decode_latency")
        total = run.positive("total_latency")
        tpot = distribution([decode]) if decode else None
        if (
            tpot is not None and tokens and tokens > 1
        ):  # a median over the steps of one batch, with no mean beside it
            prefill = run.positive("prefill_latency")
            tpot = Distribution(
                samples=1, mean=(total - prefill) / (tokens - 1) if total > prefill else tpot.mean, p50=decode
            )
        return Timing(
            load=load,
            ttft=distribution([run.positive("prefill_latency")]),
            tpot=tpot,
            end_to_end=distribution([total]),
            output_rate=single(batch * tokens / total if batch and tokens else None),
            stability=stability,
        )
    latency = run.positive("latency")
    ttft = speed.zero_is_missing(findings, "last_ttft", run.number("last_ttft"))
    timing = Timing(
        load=load,
        ttft=distribution([ttft]) if ttft else None,
        end_to_end=distribution([latency]),
        output_rate=single(batch * tokens / latency if batch and tokens else None),
        stability=stability,
    )
    hit = run.number("cache_hit_rate")
    return msgspec.structs.replace(timing, facts={"cache_hit_rate": hit}) if hit is not None else timing


SERVING: Final = Format(
    name="sglang-serving",
    title="SGLang bench_serving",
    expected="JSON lines with completed and mean_e2e_latency_ms, as `sglang.bench_serving --output-file` writes",
    detect=_detect_serving,
    read=_read_serving,
)
BATCH: Final = Format(
    name="sglang-one-batch",
    title="SGLang bench_one_batch (also _server)",
    expected="JSON lines with run_name, batch_size, input_len, output_len and prefill_latency or last_ttft",
    detect=_detect_batch,
    read=_read_batch,
)
