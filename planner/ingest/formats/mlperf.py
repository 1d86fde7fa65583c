"""MLPerf Inference logs: `mlperf_log_summary.txt` of a performance run and `accuracy.txt` of an accuracy run.

Times are nanoseconds. Scores have no per-item record, so they are never paired; the generated length is read for the rule
that it be at least 90 % of the reference's (lint L16).
"""

from __future__ import annotations

import ast
import re
from typing import Final

from planner.domain.profile import Distribution, Fact
from planner.errors import InvalidFile
from planner.ingest.fields import Fields, object_of
from planner.ingest.formats.format import CERTAIN, LIKELY, NO, Format
from planner.ingest.imported import Finding, Imported, Load, ProfileDraft, TaskScore, Timing
from planner.ingest.lints.finding import warn
from planner.ingest.source import Source
from planner.ingest.summaries import single, summary

PROTOCOL: Final = (
    "MLPerf Inference LoadGen: TTFT is first token latency, TPOT time to output token, latencies at the load generator; at "
    "least 600 s in a valid run"
)
ACCURACY_PROTOCOL: Final = (
    "MLPerf Inference accuracy run: aggregate score of the whole data set, without a record of items"
)
_MAX_LINES: Final = 10_000
_DICT: Final = re.compile(r"\{[^{}]{1,4000}\}")
_SCORES: Final = {
    "rouge1": 100.0, "rouge2": 100.0, "rougeL": 100.0, "rougeLsum": 100.0, "exact_match": 100.0, "gsm8k": 100.0,
    "mbxp": 100.0, "acc": 100.0, "accuracy": 100.0,
}  # fmt: skip
"""Full marks of each score."""


def _detect_summary(source: Source) -> float:
    if source.objects:
        return NO
    return CERTAIN if "MLPerf Results Summary" in source.text[:20_000] else NO


def _pairs(source: Source) -> Fields:
    values: dict[str, object] = {}
    for line in source.text.splitlines()[:_MAX_LINES]:
        key, colon, rest = line[:1000].partition(":")
        name, text = key.strip().lower(), rest.strip()
        if not colon or name in values:
            continue
        number: object = text
        try:
            number = float(text)
        except ValueError:
            number = text
        values[name] = number
    return Fields(source.name, values)


def _read_summary(source: Source) -> Imported:
    findings: list[Finding] = []
    run = _pairs(source)
    scenario, mode = run.text("scenario"), run.text("mode")
    if scenario is None or mode is None:
        raise run.wrong("scenario", "is missing", "Offline, Server, SingleStream, Interactive or MultiStream")
    if "accuracy" in mode.lower():
        raise run.wrong("mode", f"`{mode}` times nothing", "PerformanceOnly")
    valid = (run.text("result is") or "").upper() == "VALID"
    doubt = None if valid else f"LoadGen calls the result {run.text('result is') or 'nothing'}, not VALID"
    samples = next(
        (
            run.number(k)
            for k in ("samples per second", "completed samples per second", "scheduled samples per second")
            if k in run
        ),
        None,
    )
    tokens = next(
        (run.number(k) for k in ("tokens per second", "completed tokens per second") if k in run), None
    )
    count = next(
        (run.count(k) for k in ("sample_count", "performance_sample_count", "min_query_count") if k in run),
        None,
    )
    facts: dict[str, Fact] = {"scenario": scenario, "valid": valid}

    def times(prefix: str) -> Distribution | None:
        mean = next(
            (
                run.number(f"{name} {prefix} (ns)".strip())
                for name in ("mean",)
                if f"{name} {prefix} (ns)" in run
            ),
            None,
        )
        return summary(
            findings,
            prefix,
            samples=count,
            mean=mean,
            p50=run.number(f"50.00 percentile {prefix} (ns)"),
            p90=run.number(f"90.00 percentile {prefix} (ns)"),
            p95=run.number(f"95.00 percentile {prefix} (ns)"),
            p99=run.number(f"99.00 percentile {prefix} (ns)"),
            scale=1e-9,
        )

    timing = Timing(
        load=Load(
            output_tokens=max(1, round(tokens / samples)) if tokens and samples else None,
            concurrency=1 if scenario.lower() == "singlestream" else None,
        ),
        ttft=times("first token latency"),
        tpot=times("time to output token"),
        end_to_end=times("latency"),
        output_rate=single(tokens),
        request_rate=single(samples),
        facts=facts,
    )
    draft = ProfileDraft(
        timings=(timing,),
        protocol=PROTOCOL,
        facts={"sut_name": run.text("sut name"), **facts},
        doubt=doubt,
    )
    return Imported(
        format="mlperf-summary", tool="MLPerf LoadGen", profiles=(draft,), findings=tuple(findings)
    )


def _scores(source: Source) -> dict[str, object]:
    """Return the score dictionary, which the accuracy scripts print as Python writes it."""
    if source.objects:
        return source.objects[0]
    for text in _DICT.findall(source.text[:1_000_000]):
        try:
            found: object = ast.literal_eval(re.sub(r"np\.\w+\(([^()]*)\)", r"\1", text))
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
        scores = object_of(found)
        if any(name in scores for name in _SCORES):
            return {str(key): value for key, value in scores.items()}
    return {}


def _detect_accuracy(source: Source) -> float:
    if source.objects and not set(source.objects[0]) <= {
        *_SCORES,
        "gen_len",
        "gen_num",
        "gen_tok_len",
        "tokens_per_sample",
    }:
        return NO
    return LIKELY if any(name in _SCORES for name in _scores(source)) else NO


def _read_accuracy(source: Source) -> Imported:
    findings: list[Finding] = []
    run = Fields(source.name, _scores(source))
    items = run.count("gen_num", low=1)
    length = run.number("tokens_per_sample")
    total = run.number("gen_tok_len") or run.number("gen_len")
    if length is None and total and items:
        length = total / items
    scores: list[TaskScore] = []
    for name, full in _SCORES.items():
        value = run.number(name, high=full)
        if value is None:
            continue
        scores.append(
            TaskScore(
                task="mlperf",
                metric=name,
                higher_is_better=True,
                score=value / full,
                items=items,
                mean_length=length,
            )
        )
    if not scores:
        raise InvalidFile(source.name, "", "holds no score", allowed=", ".join(_SCORES))
    if items is None:
        warn(findings, "L16", "gen_num is missing: the length rule cannot be checked")
    return Imported(
        format="mlperf-accuracy",
        tool="MLPerf accuracy script",
        scores=tuple(scores),
        protocol=ACCURACY_PROTOCOL,
        findings=tuple(findings),
    )


SUMMARY: Final = Format(
    name="mlperf-summary",
    title="MLPerf mlperf_log_summary.txt",
    expected="text with `MLPerf Results Summary`, Scenario, Mode and `Result is`",
    detect=_detect_summary,
    read=_read_summary,
)
ACCURACY: Final = Format(
    name="mlperf-accuracy",
    title="MLPerf accuracy.txt",
    expected="text with a dictionary of scores such as {'rouge1': 42.9, 'gen_len': 8167644, 'gen_num': 13368}",
    detect=_detect_accuracy,
    read=_read_accuracy,
)
