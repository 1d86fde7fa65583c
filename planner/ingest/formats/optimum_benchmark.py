"""optimum-benchmark reports, with its accumulated per-token times repaired (lint L4).

In 0.6.0 and later heads the list of token events is never cleared: iteration i appends the differences of all events so far,
n·i - 1 of them for n tokens, and from the second on these contain the gap to the next iteration's first token, a prefill.
The last n - 1 of each block are the honest ones, and `values` holds every block.
"""

from __future__ import annotations

from typing import Final

from planner.domain.profile import Distribution, Fact, MemoryUse
from planner.domain.runtime import Runtime, canonical
from planner.domain.units import MAX_BYTES
from planner.ingest.fields import Fields, list_of
from planner.ingest.formats.format import CERTAIN, NO, Format
from planner.ingest.imported import Finding, Imported, Load, ProfileDraft, Timing
from planner.ingest.lints import memory, provenance
from planner.ingest.lints.finding import warn
from planner.ingest.source import Source
from planner.ingest.summaries import distribution, single, summary

PROTOCOL: Final = (
    "optimum-benchmark: TTFT is prefill, TPOT the gaps between tokens of one generate over the whole batch, end to end one "
    "generate; offline, batches, CUDA events on CUDA; per-token times repaired where they accumulated"
)
_TARGETS: Final = frozenset(
    {"prefill", "decode", "per_token", "generate", "load_model", "load", "first_generate", "forward"}
)
_MEGABYTE: Final = 1e6
"""The tool's MB (its memory.py divides by 1e6)."""
_COMMITS: Final = (
    "transformers_commit",
    "accelerate_commit",
    "diffusers_commit",
    "optimum_commit",
    "timm_commit",
    "peft_commit",
)


def _detect(source: Source) -> float:
    document = source.only
    report = document.get("report")
    if isinstance(report, dict) and isinstance(document.get("config"), dict):
        return CERTAIN if _TARGETS & report.keys() else NO
    return NO


def _read(source: Source) -> Imported:
    findings: list[Finding] = []
    whole = Fields(source.name, source.only)
    report, config = whole.at("report"), whole.at("config")
    backend, scenario, environment = config.at("backend"), config.at("scenario"), config.at("environment")
    shapes, generate = scenario.at("input_shapes"), scenario.at("generate_kwargs")
    tokens = generate.count("max_new_tokens", low=1)
    batch = shapes.count("batch_size", low=1)
    prefill = _latency(report.at("prefill", "latency"), findings, "prefill")
    used, doubt = _memory(report, findings)
    whole_time = _latency(report.at("generate", "latency"), findings, "generate")
    produced = (
        batch * tokens / whole_time.mean if batch and tokens and whole_time and whole_time.mean > 0 else None
    )
    timing = Timing(
        load=Load(
            input_tokens=shapes.count("sequence_length", low=1), output_tokens=tokens, concurrency=batch
        ),
        ttft=prefill,
        tpot=_per_token(report, findings, tokens, prefill.samples if prefill else None),
        end_to_end=whole_time,
        output_rate=single(produced),
        memory=used,
        facts={"memory_doubt": doubt} if doubt else {},
    )
    if not (timing.ttft or timing.tpot or timing.end_to_end):
        raise report.wrong(
            "",
            "has none of prefill, per_token, decode and generate with times",
            "a text-generation benchmark",
        )
    draft = ProfileDraft(
        timings=(timing,),
        protocol=PROTOCOL,
        runtime=_runtime(backend, environment),
        device_name=_device(environment, backend),
        model_name=backend.text("model"),
        versions=_versions(environment, findings),
        facts=_facts(backend, environment, findings),
        synthetic_weights=provenance.random_weights(findings, is_random=backend.flag("no_weights") is True),
    )
    version = environment.text("optimum_benchmark_version")
    return Imported(
        format="optimum-benchmark",
        tool=f"optimum-benchmark {version or ''}".strip(),
        profiles=(draft,),
        findings=tuple(findings),
    )


def _latency(target: Fields, findings: list[Finding], name: str) -> Distribution | None:
    if not target.values:
        return None
    unit = target.text("unit")
    if unit not in {None, "s"}:
        raise target.wrong("unit", f"`{unit}` is not known", "s")
    values = target.numbers("values")
    if values:
        return distribution(values)
    return summary(
        findings,
        name,
        samples=target.count("count"),
        mean=target.number("mean"),
        p50=target.number("p50"),
        p90=target.number("p90"),
        p95=target.number("p95"),
        p99=target.number("p99"),
        stddev=target.number("stdev"),
    )


def _per_token(
    report: Fields, findings: list[Finding], tokens: int | None, iterations: int | None
) -> Distribution | None:
    target = report.at("per_token", "latency")
    values = target.numbers("values")
    if values and tokens and tokens > 1:
        kept = repair(values, tokens, iterations)
        if kept is None:
            warn(
                findings,
                "L4",
                f"{len(values)} per-token values fit neither {tokens - 1} per iteration nor the accumulation series: left out",
            )
        else:
            if len(kept) != len(values):
                warn(
                    findings,
                    "L4",
                    f"per-token values had accumulated over iterations: {len(kept)} of {len(values)} are kept",
                )
            return distribution(kept)
    elif target.values:
        warn(
            findings,
            "L4",
            "per-token times without their values cannot be checked for accumulation: left out",
        )
    decode = report.at("decode", "latency").numbers("values")
    return distribution(decode, scale=1 / (tokens - 1)) if decode and tokens and tokens > 1 else None


def repair(values: list[float], tokens: int, iterations: int | None) -> list[float] | None:
    """L4: return the honest gaps of `iterations` generates of `tokens` tokens; None when the count fits neither series.

    k iterations make k(n-1) values when the events are cleared and the sum over i of (n·i - 1) when they are not.
    """
    count = len(values)
    if iterations is None or count == iterations * (tokens - 1):
        honest = count % (tokens - 1) == 0 and iterations is not None
        if honest or count == tokens - 1:
            return values
    if iterations is None:
        return None
    if count != sum(tokens * i - 1 for i in range(1, iterations + 1)):
        return None
    kept: list[float] = []
    end = 0
    for i in range(1, iterations + 1):
        end += tokens * i - 1
        kept.extend(values[end - (tokens - 1) : end])
    return kept


def _memory(report: Fields, findings: list[Finding]) -> tuple[MemoryUse, str | None]:
    found: dict[str, float] = {}
    doubt: str | None = None
    for name in report.names():
        target = report.at(name, "memory")
        if not target.values:
            continue
        unit = target.text("unit")
        if unit not in {None, "MB"}:
            raise target.wrong("unit", f"`{unit}` is not known", "MB")
        row = {
            key: value * _MEGABYTE
            for key in ("max_ram", "max_global_vram", "max_process_vram", "max_reserved", "max_allocated")
            if (value := target.number(key, high=MAX_BYTES / _MEGABYTE)) is not None
        }
        device, process = row.get("max_global_vram"), row.get("max_process_vram")
        if process is not None and memory.invisible_process(findings, device=device, process=process) is None:
            row.pop("max_process_vram")
        doubt = memory.foreign_memory(findings, device=device, process=process) or doubt
        for key, value in row.items():
            found[key] = max(value, found.get(key, 0.0))

    def bytes_of(key: str) -> int | None:
        return int(found[key]) if found.get(key) else None

    tainted = doubt is not None
    return (
        MemoryUse(
            peak_allocated_bytes=bytes_of("max_allocated"),
            peak_reserved_bytes=bytes_of("max_reserved"),
            peak_process_bytes=None if tainted else bytes_of("max_process_vram"),
            peak_device_bytes=None if tainted else bytes_of("max_process_vram"),
        ),
        doubt,
    )


def _runtime(backend: Fields, environment: Fields) -> Runtime | None:
    name = backend.text("name")
    if name is None:
        return None
    if name == "pytorch":
        compiled = backend.flag("torch_compile") is True
        return Runtime(
            name="transformers",
            version=environment.text("transformers_version"),
            mode="compiled" if compiled else "eager",
        )
    return Runtime(name=canonical(name), version=backend.text("version"))


def _device(environment: Fields, backend: Fields) -> str | None:
    gpus = list_of(environment.values.get("gpu"))
    if backend.text("device") in {"cuda", "gpu"} and gpus:
        return Fields(environment.path, {"gpu": gpus[0]}).text("gpu")
    return environment.text("cpu") if backend.text("device") == "cpu" else None


def _versions(environment: Fields, findings: list[Finding]) -> dict[str, str]:
    versions = {
        name.removesuffix("_version"): text
        for name in environment.names()
        if name.endswith("_version") and (text := environment.text(name)) is not None
    }
    own = environment.text("optimum_benchmark_commit")
    commits = {name: text for name in _COMMITS if (text := environment.text(name)) is not None}
    wrong = provenance.own_commits(findings, commits, own)
    return versions | {name: text for name, text in commits.items() if name not in wrong}


def _facts(backend: Fields, environment: Fields, findings: list[Finding]) -> dict[str, Fact]:
    facts: dict[str, Fact] = {
        name: text
        for name in ("torch_dtype", "quantization_scheme", "attn_implementation", "device_ids")
        if (text := backend.text(name)) is not None
    }
    total = memory.total_memory(findings, "gpu_vram_mb", environment.number("gpu_vram_mb"))
    return facts | ({"gpu_memory_bytes": total} if total is not None else {})


FORMAT: Final = Format(
    name="optimum-benchmark",
    title="optimum-benchmark",
    expected="benchmark.json: an object with `config` and `report`, the report with prefill, decode or generate",
    detect=_detect,
    read=_read,
)
