"""Recognition: which format a file is in, from its content alone."""

from __future__ import annotations

from typing import Final

from planner.errors import InvalidFile, PlannerError
from planner.ingest.formats import (
    aiperf,
    engine_logs,
    guidellm,
    inference_perf,
    llama_bench,
    llama_perplexity,
    lm_eval,
    mlperf,
    optimum_benchmark,
    sglang_bench,
    vllm_bench,
)
from planner.ingest.formats.format import Format
from planner.ingest.imported import Imported
from planner.ingest.source import Source

FORMATS: Final[tuple[Format, ...]] = (
    lm_eval.RESULTS,
    lm_eval.SAMPLES,
    vllm_bench.SERVE,
    vllm_bench.LATENCY,
    vllm_bench.THROUGHPUT,
    guidellm.FORMAT,
    llama_bench.FORMAT,
    llama_perplexity.FORMAT,
    optimum_benchmark.FORMAT,
    aiperf.FORMAT,
    inference_perf.FORMAT,
    inference_perf.COUNTERS,
    sglang_bench.SERVING,
    sglang_bench.BATCH,
    mlperf.SUMMARY,
    mlperf.ACCURACY,
    engine_logs.VLLM,
    engine_logs.LLAMA,
)
"""Every format that is read; of equally likely ones the earlier wins."""


def detect(content: bytes, name: str) -> dict[str, float]:
    """Return the confidence, above 0, of every format that the content may be in."""
    source = Source(name, content)
    found = {form.name: form.detect(source) for form in FORMATS}
    return {name: confidence for name, confidence in found.items() if confidence > 0}


def recognise(source: Source) -> Format:
    """Return the most likely format. Raises InvalidFile with what every format looks like when none matches."""
    best = max(FORMATS, key=lambda form: form.detect(source))
    if best.detect(source) <= 0:
        known = "; ".join(f"{form.title}: {form.expected}" for form in FORMATS)
        raise InvalidFile(source.name, "", "is in no known format", allowed=known)
    return best


def read(content: bytes, name: str) -> Imported:
    """Return what a result file says. Raises InvalidFile for anything else, and no other error."""
    source = Source(name, content)
    form = recognise(source)
    try:
        return form.read(source)
    except PlannerError:
        raise
    except RecursionError:
        raise InvalidFile(source.name, "", "is nested too deeply", allowed=form.expected) from None
