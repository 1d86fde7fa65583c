"""llama-bench, as json, jsonl and csv. Its fields are generated from the build and drift: read by name, unknown ones ignored.

A test is a prompt (`n_prompt`), a generation (`n_gen`) or both, after `n_depth` tokens of context; times are nanoseconds
of the whole test, without sampling and tokenising.
"""

from __future__ import annotations

import csv
import io
from typing import Final

from planner.domain.profile import Distribution, Fact
from planner.domain.runtime import Runtime
from planner.ingest.fields import Fields, clean
from planner.ingest.formats.format import CERTAIN, NO, Format
from planner.ingest.imported import Finding, Imported, Load, ProfileDraft, Timing
from planner.ingest.lints.speed import unstable
from planner.ingest.source import MAX_DOCUMENTS, Source
from planner.ingest.summaries import distribution, single

PROTOCOL: Final = (
    "llama-bench: TTFT is the time to process the prompt, TPOT the time of the generation over its tokens; synthetic "
    "tokens, without sampling and tokenising, one warm-up, one sequence at a time"
)
_SIGN: Final = frozenset({"model_filename", "n_prompt", "n_gen", "avg_ns"})
_NOTED: Final = (
    "backends", "n_batch", "n_ubatch", "n_threads", "type_k", "type_v", "n_gpu_layers", "n_cpu_moe", "split_mode", "flash_attn",
    "no_kv_offload", "load_mode", "use_mmap", "n_depth", "model_type",
)  # fmt: skip


def _rows(source: Source) -> tuple[dict[str, object], ...]:
    if source.objects:
        return source.objects
    text = source.text.lstrip("\ufeff")
    header = text.lstrip().partition("\n")[0]
    if not {"n_prompt", "n_gen", "avg_ns"} <= {name.strip().strip('"') for name in header.split(",")}:
        return ()
    try:
        rows = csv.DictReader(io.StringIO(text.lstrip()), strict=True)
        return tuple(
            {k: v for k, v in row.items() if isinstance(k, str)}
            for row, _ in zip(rows, range(MAX_DOCUMENTS), strict=False)
        )
    except csv.Error:
        return ()


def _number(value: object) -> object:
    """Return a CSV cell as the number it is."""
    if not isinstance(value, str):
        return value
    try:
        return float(value) if len(value) < 40 else value
    except ValueError:
        return value


_NUMERIC: Final = frozenset(
    {
        "model_size",
        "model_n_params",
        "n_prompt",
        "n_gen",
        "n_depth",
        "avg_ns",
        "stddev_ns",
        "avg_ts",
        "stddev_ts",
    }
)


def _detect(source: Source) -> float:
    rows = _rows(source)
    return CERTAIN if rows and rows[0].keys() >= _SIGN else NO


def _read(source: Source) -> Imported:
    findings: list[Finding] = []
    tests = [
        Fields(
            source.name,
            {k: _number(v) if k in _NUMERIC else v for k, v in row.items()},
            f"[{i}]",
        )
        for i, row in enumerate(_rows(source))
    ]
    groups: dict[tuple[object, ...], list[Fields]] = {}
    for test in tests:
        key = tuple(
            test.text(name)
            for name in ("build_commit", "build_number", "gpu_info", "cpu_info", "model_filename")
        )
        groups.setdefault(key, []).append(test)
    if len(groups) > 1:
        raise tests[0].wrong(
            "", "the file mixes several models, machines or builds", "one model on one machine in a file"
        )
    first = tests[0]
    build = " ".join(part for part in (_build(first), first.text("build_commit")) if part)
    timings = tuple(timing for test in tests if (timing := _timing(test, findings)) is not None)
    if not timings:
        raise first.wrong("n_prompt", "no test has tokens", "tests with n_prompt or n_gen above 0")
    draft = ProfileDraft(
        timings=timings,
        protocol=PROTOCOL,
        runtime=Runtime(name="llama.cpp", version=_build(first) or first.text("build_commit")),
        device_name=first.text("gpu_info") or first.text("cpu_info"),
        model_name=first.text("model_type"),
        model_bytes=first.count("model_size"),
        measured_at=first.time("test_time"),
        versions={"llama.cpp": build} if build else {},
        facts=_effective_bits(first),
    )
    return Imported(
        format="llama-bench",
        tool=f"llama-bench {build}".strip(),
        profiles=(draft,),
        measured_at=first.time("test_time"),
        findings=tuple(findings),
    )


def _build(test: Fields) -> str | None:
    number = test.text("build_number")
    return f"b{number}" if number and number not in {"0", "0.0"} else None


def _effective_bits(test: Fields) -> dict[str, Fact]:
    size, parameters = test.number("model_size"), test.number("model_n_params")
    return {"file_bits_per_weight": size * 8 / parameters} if size and parameters else {}


def _timing(test: Fields, findings: list[Finding]) -> Timing | None:
    prompt, generated = test.count("n_prompt") or 0, test.count("n_gen") or 0
    depth = test.count("n_depth") or 0
    if prompt + generated == 0:
        return None
    mean, spread = test.positive("avg_ns"), test.number("stddev_ns")
    samples = test.numbers("samples_ns")
    name = f"pp{prompt}" * bool(prompt) + f"tg{generated}" * bool(generated)
    stability = unstable(
        findings, name, mean=mean, stddev=spread, repetitions=len(samples) if samples is not None else None
    )
    facts: dict[str, Fact] = {key: clean(text) for key in _NOTED if (text := test.text(key)) is not None}
    facts["test"] = name

    def times(per: int) -> Distribution | None:
        if samples:
            return distribution(samples, scale=1e-9 / per)
        return Distribution(
            samples=1, mean=mean * 1e-9 / per, stddev=None if spread is None else spread * 1e-9 / per
        )

    if prompt and generated:
        load = Load(input_tokens=depth + prompt, output_tokens=generated, concurrency=1)
        rate = single(generated / (mean * 1e-9))
        return Timing(load=load, end_to_end=times(1), output_rate=rate, stability=stability, facts=facts)
    if prompt:
        if depth:
            facts["prefilled_after_tokens"] = depth
            load = Load(input_tokens=prompt, output_tokens=1, concurrency=1)
            return Timing(load=load, end_to_end=times(1), stability=stability, facts=facts)
        load = Load(input_tokens=prompt, output_tokens=1, concurrency=1)
        return Timing(load=load, ttft=times(1), stability=stability, facts=facts)
    load = Load(input_tokens=max(depth, 1), output_tokens=generated, concurrency=1)
    rate = single(generated / (mean * 1e-9))
    return Timing(load=load, tpot=times(generated), output_rate=rate, stability=stability, facts=facts)


FORMAT: Final = Format(
    name="llama-bench",
    title="llama-bench",
    expected="json, jsonl or csv with n_prompt, n_gen and avg_ns, as `llama-bench -o json` writes",
    detect=_detect,
    read=_read,
)
