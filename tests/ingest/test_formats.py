from __future__ import annotations

import json
import math
from typing import Any

import pytest

from planner.domain.units import GIB, MIB
from planner.errors import InvalidFile
from planner.ingest.combining import combine
from planner.ingest.imported import Imported, Timing
from planner.ingest.recognition import FORMATS, detect, read
from tests.ingest import documents
from tests.ingest.documents import FILES, encoded, everything


def timing(content: bytes, name: str = "file") -> Timing:
    return combine([read(content, name)]).profiles[0].timings[0]


def lints(imported: Imported) -> set[str]:
    return {finding.lint for finding in imported.findings}


def mean(distribution: Any) -> float:
    assert distribution is not None
    value: float = distribution.mean
    return value


@pytest.mark.parametrize("name", [form.name for form in FORMATS])
def test_every_format_is_recognised_by_its_content_alone(name: str) -> None:
    found = detect(everything()[name], "results.bin")
    assert max(found, key=lambda key: found[key]) == name


@pytest.mark.parametrize("content", [b"{}", b"[]", b"hello", b"[[[[", b'{"a": 1}', b"a,b\n1,2\n", b"\x89PNG"])
def test_what_is_in_no_known_format_is_refused_with_what_is_expected(content: bytes) -> None:
    with pytest.raises(InvalidFile) as refused:
        read(content, "x.json")
    assert "x.json" in refused.value.message
    if content != b"\x89PNG":
        assert "GuideLLM" in str(refused.value.details["allowed"])


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(InvalidFile, match="is empty"):
        read(b"  \n", "x.json")


def test_utf16_with_a_mark_is_read() -> None:
    content = json.dumps(documents.vllm_serve()).encode("utf-16")
    assert read(content, "x").format == "vllm-serve"


def test_vllm_serve_in_seconds_with_its_load() -> None:
    found = timing(encoded(documents.vllm_serve()))
    assert (found.load.input_tokens, found.load.output_tokens, found.load.concurrency) == (1024, 128, 8)
    assert mean(found.ttft) == pytest.approx(0.080)
    assert found.tpot
    assert found.tpot.p50 == pytest.approx(0.0147)
    assert found.ttft
    assert found.ttft.p99 == pytest.approx(0.120)
    assert found.error_share == 0


def test_vllm_serve_appended_results_are_several_points() -> None:
    rows = [documents.vllm_serve(max_concurrency=n) for n in (1, 8)]
    found = read("\n".join(json.dumps(row) for row in rows).encode(), "x.json").profiles[0]
    assert [t.load.concurrency for t in found.timings] == [1, 8]
    assert found.measured_at is not None
    assert found.measured_at.year == 2026


def test_vllm_latency_leaves_the_workload_open() -> None:
    found = timing(encoded(documents.vllm_latency()))
    assert found.load.input_tokens is None
    assert found.end_to_end is not None
    assert found.end_to_end.samples == 30
    assert found.end_to_end.p99 is None


def test_vllm_throughput_keeps_the_sum_of_tokens() -> None:
    found = timing(encoded(documents.vllm_throughput()))
    assert found.load.tokens_per_request == 160
    assert mean(found.request_rate) == 10


def test_guidellm_2_as_it_was_written_against_its_mock_server() -> None:
    """Written by `guidellm run` 0.8.1 against `guidellm mock-server` (TTFT 20 ms, ITL 4 ms), one request sample kept."""
    imported = read((FILES / "guidellm-v2.json").read_bytes(), "report.json")
    found = imported.profiles[0].timings[0]
    assert imported.tool == "GuideLLM 0.8.1"
    assert imported.format == "guidellm-v2"
    assert (found.load.output_tokens, found.load.concurrency) == (16, 2)
    assert found.tpot is not None
    assert 0.004 < found.tpot.mean < 0.02
    assert found.ttft is not None
    assert found.ttft.p50_interval is not None
    assert found.ttft.p99 is None
    assert "L13" in lints(imported)


def test_guidellm_1_reads_its_parameters_under_args() -> None:
    """Version 1 in the layout of GuideLLM 0.2 to 0.6: `args` and `request_totals` beside the metrics."""
    split = {
        "successful": {
            "mean": 4.94,
            "median": 4.92,
            "std_dev": 0.05,
            "count": 46,
            "percentiles": {"p99": 5.2},
        }
    }
    metrics = {
        "inter_token_latency_ms": split,
        "time_per_output_token_ms": split,
        "time_to_first_token_ms": {
            "successful": {"mean": 16.8, "median": 16.4, "count": 46, "percentiles": {}}
        },
        "prompt_token_count": {"successful": {"mean": 257.1, "count": 46}},
        "output_token_count": {"successful": {"mean": 128.0, "count": 46}},
    }
    benchmark = {
        "type_": "generative_benchmark",
        "args": {"strategy": {"type_": "synchronous"}},
        "worker": {"backend_model": "m"},
        "metrics": metrics,
        "request_totals": {"successful": 46, "errored": 0, "incomplete": 1, "total": 47},
        "start_time": 1749157168.1,
    }
    imported = read(encoded({"benchmarks": [benchmark]}), "x")
    found = imported.profiles[0].timings[0]
    assert imported.format == "guidellm-v1"
    assert found.load.concurrency == 1
    assert mean(found.tpot) == pytest.approx(0.00494)


def test_an_unknown_guidellm_version_says_what_was_expected() -> None:
    document = json.loads((FILES / "guidellm-v2.json").read_bytes())
    document["metadata"]["version"] = 9
    with pytest.raises(InvalidFile, match=r"version 9 is not known.*1 \(benchmarks"):
        read(encoded(document), "x")


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv"])
def test_llama_bench_as_it_was_written(kind: str) -> None:
    """Written by llama-bench of the llama.cpp that llama-cpp-python 0.3.36 vendors, on a 5.8M-parameter model."""
    imported = read((FILES / f"llama-bench.{kind}").read_bytes(), f"bench.{kind}")
    draft = imported.profiles[0]
    prompt, generation = draft.timings
    assert str(draft.runtime) == "llama.cpp b6000"
    assert draft.device_name == "AMD EPYC"
    assert draft.model_bytes == 6140928
    assert draft.facts["file_bits_per_weight"] == pytest.approx(6140928 * 8 / 5770496)
    assert prompt.load.input_tokens == 32
    assert prompt.ttft is not None
    assert 1e-4 < prompt.ttft.mean < 1
    assert generation.load.output_tokens == 8
    assert generation.tpot is not None
    rate = generation.output_rate
    assert rate is not None
    assert rate.mean == pytest.approx(1 / generation.tpot.mean, rel=1e-6)
    assert prompt.ttft.samples == (1 if kind == "csv" else 5)


def test_llama_bench_tolerates_fields_it_does_not_know() -> None:
    rows = json.loads((FILES / "llama-bench.json").read_bytes())
    for row in rows:
        row["a_new_field"] = {"deep": [1]}
        del row["load_mode"]
    assert read(encoded(rows), "x").profiles[0].timings


def test_llama_perplexity_as_it_was_printed() -> None:
    """Printed by llama-perplexity of the same build: a Q8_0 file against log-probabilities of its own."""
    imported = read((FILES / "llama-perplexity-kl.txt").read_bytes(), "kl.txt")
    loss = imported.losses[0]
    assert (loss.baseline_score, loss.variant_score) == (36.882037, 37.045136)
    assert loss.relative_loss == pytest.approx(0.004422)
    assert loss.relative_stderr == 0.004428
    assert loss.items == 12 * 63
    fidelity = loss.fidelity
    assert fidelity.top1_agreement is not None
    assert fidelity.top1_agreement.value == 1
    assert fidelity.kl_max is not None
    assert fidelity.kl_max.value == pytest.approx(5.4e-5)


def test_llama_perplexity_without_its_statistics_is_refused() -> None:
    text = (FILES / "llama-perplexity-kl.txt").read_text().partition("Mean PPL(Q)/")[0]
    with pytest.raises(InvalidFile, match="is missing"):
        read(text.encode(), "kl.txt")


def test_optimum_benchmark() -> None:
    draft = read(encoded(documents.optimum_benchmark()), "benchmark.json").profiles[0]
    found = draft.timings[0]
    assert str(draft.runtime) == "transformers 4.52.0 eager"
    assert draft.device_name == "NVIDIA A100-SXM4-80GB"
    assert draft.synthetic_weights
    assert found.memory.peak_allocated_bytes == 5_900_000_000
    assert mean(found.ttft) == pytest.approx(0.9)


def test_aiperf_converts_by_unit() -> None:
    imported = read(encoded(documents.aiperf()), "x")
    found = imported.profiles[0].timings[0]
    assert mean(found.tpot) == pytest.approx(0.015)
    assert found.load.concurrency == 8
    assert found.memory.peak_device_bytes == 71_500_000_000
    assert imported.profiles[0].device_name == "NVIDIA H100 80GB HBM3"
    microseconds = documents.aiperf(
        time_to_first_token={"unit": "us", "avg": 95000.0, "p50": 95000.0, "count": 120}
    )
    assert mean(timing(encoded(microseconds)).ttft) == pytest.approx(0.095)


def test_aiperf_of_another_schema_or_unit_is_refused() -> None:
    with pytest.raises(InvalidFile, match=r"schema_version.*1\.x"):
        read(encoded(documents.aiperf(schema_version="2.0")), "x")
    with pytest.raises(InvalidFile, match="not a unit of time"):
        read(encoded(documents.aiperf(request_latency={"unit": "fortnights", "avg": 1.0})), "x")


def test_genai_perf_has_no_schema_version() -> None:
    document = documents.aiperf(
        input_config={"perf_analyzer": {"stimulus": {"concurrency": 4}}, "model_names": ["m"]}
    )
    del document["schema_version"], document["aiperf_version"]
    imported = read(encoded(document), "x")
    assert imported.format == "genai-perf"
    assert imported.profiles[0].timings[0].load.concurrency == 4


def test_an_aggregate_over_repeated_runs_has_their_interval() -> None:
    found = timing(encoded(documents.aiperf_aggregate()))
    assert found.ttft is not None
    assert found.ttft.samples == 6
    interval = found.ttft.p50_interval
    assert interval is not None
    assert interval.confidence == 0.95
    assert interval.hi == pytest.approx(0.09494)


def test_inference_perf_takes_the_concurrency_by_littles_law() -> None:
    document = documents.inference_perf(itl_median=0.0034)
    document["successes"]["throughput"]["requests_per_sec"] = 100.0
    assert timing(encoded(document)).load.concurrency == 48


def test_sglang_serving_and_one_batch() -> None:
    draft = read(encoded(documents.sglang_serving()), "x").profiles[0]
    assert str(draft.runtime) == "sglang 0.5.23"
    assert draft.devices == 2
    assert draft.timings[0].load.input_tokens == 512
    batch = timing(encoded(documents.sglang_one_batch()))
    assert mean(batch.tpot) == pytest.approx(0.021)
    assert batch.tpot is not None
    assert batch.tpot.p50 == 0.02
    assert batch.stability is not None
    assert not batch.stability.is_stable


def test_sglang_one_batch_server() -> None:
    row = {"run_name": "r", "batch_size": 2, "input_len": 64, "output_len": 16, "latency": 0.5, "input_throughput": 1.0,
           "output_throughput": 64.0, "overall_throughput": 320.0, "last_ttft": 0.1, "last_gen_throughput": 60.0,
           "acc_length": 1.0}  # fmt: skip
    found = timing(encoded(row))
    assert mean(found.ttft) == 0.1
    assert mean(found.output_rate) == 64


def test_mlperf_summary_and_accuracy() -> None:
    draft = read(documents.MLPERF_SUMMARY.encode(), "mlperf_log_summary.txt").profiles[0]
    found = draft.timings[0]
    assert found.load.output_tokens == 294
    assert found.ttft is not None
    assert found.ttft.p99 == 1.5
    assert mean(found.tpot) == pytest.approx(0.029)
    assert draft.doubt is None
    invalid = documents.MLPERF_SUMMARY.replace(": VALID", ": INVALID").encode()
    assert "not VALID" in str(read(invalid, "x").profiles[0].doubt)
    scores = {s.metric: s for s in read(documents.MLPERF_ACCURACY.encode(), "accuracy.txt").scores}
    assert scores["rouge1"].score == pytest.approx(0.429865)
    assert scores["rouge1"].items == 13368


def test_engine_logs_give_the_terms_of_memory() -> None:
    vllm = read(documents.VLLM_LOG.encode(), "log").memory
    assert vllm is not None
    assert vllm.weights_bytes == int(7.51 * GIB)
    assert vllm.graph_bytes == int(0.62 * GIB)
    assert vllm.activation_bytes == int(1.42 * GIB)
    assert vllm.kv_cache_bytes == int(11.25 * GIB)
    assert vllm.context_bytes == int(7.62 * GIB) - int(7.51 * GIB)
    imported = read(documents.LLAMA_LOG.encode(), "log")
    assert imported.memory is not None
    assert imported.memory.weights_bytes == int(4403.49 * MIB)
    assert imported.memory.activation_bytes == 296 * MIB
    assert imported.memory_draft is not None
    assert str(imported.memory_draft.runtime) == "llama.cpp b6000"


@pytest.mark.parametrize("version", documents.VLLM_LOGS)
def test_every_version_of_vllm_prints_the_same_terms_in_its_own_words(version: str) -> None:
    memory = read(documents.VLLM_LOGS[version].encode(), "log").memory
    assert memory is not None
    said = (memory.weights_bytes, memory.activation_bytes, memory.kv_cache_bytes)
    assert said == (int(14.96 * GIB), int(1.26 * GIB), int(53.29 * GIB))
    assert (memory.context_bytes, memory.graph_bytes) == (int(0.25 * GIB), int(0.38 * GIB))


def test_a_log_lends_its_memory_and_engine_to_the_times() -> None:
    parts = [read(encoded(documents.vllm_serve()), "a"), read(documents.VLLM_LOG.encode(), "b")]
    draft = combine(parts).profiles[0]
    assert str(draft.runtime) == "vllm 0.33.0"
    assert draft.timings[0].memory.weights_bytes == int(7.51 * GIB)


def test_lm_eval_results_with_their_samples() -> None:
    """Written by lm-eval 0.4.13 with its dummy model on three tasks of twelve items."""
    imported = combine([read(content, name) for name, content in documents.lm_eval_files(1)])
    scores = {(s.task, s.metric): s for s in imported.scores}
    choice = scores["tiny_choice", "acc"]
    assert choice.score == pytest.approx(1 / 12)
    assert len(choice.records) == 12
    assert choice.chance == 0.25
    assert choice.stderr == pytest.approx(1 / 12)
    words = scores["tiny_words", "perplexity"]
    assert not words.higher_is_better
    nll = sum(item.nll or 0 for item in words.records) / sum(item.units or 0 for item in words.records)
    assert math.exp(nll) == pytest.approx(words.score)
    assert imported.tool == "lm-eval 0.4.13"


def test_samples_that_do_not_give_the_stated_score_are_not_used() -> None:
    files = documents.lm_eval_files(1)
    changed = [
        (name, content.replace(b'"acc": 0.0', b'"acc": 1.0') if "choice" in name else content)
        for name, content in files
    ]
    imported = combine([read(content, name) for name, content in changed])
    score = next(s for s in imported.scores if (s.task, s.metric) == ("tiny_choice", "acc"))
    assert not score.records
    assert any(f.lint == "L14" and "do not give the score" in f.message for f in imported.findings)
