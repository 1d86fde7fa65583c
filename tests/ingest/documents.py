"""Documents in the shapes that tools write.

Where a tool could be run, its file lies in `files/`; these follow the writers' sources field by field: vllm 0.33.0
(benchmarks/serve.py, latency.py, throughput.py), sglang 0.5.23 (benchmark/serving.py, one_batch.py, one_batch_server.py),
optimum-benchmark 0.6.0 (report.py, trackers/), aiperf 0.13.0 (exporters/metrics_json_exporter.py, aggregate/),
genai-perf 0.0.16 (export_data/json_exporter.py), and the logs of vLLM's gpu_worker.py and of MLPerf's LoadGen.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

FILES = Path(__file__).parent / "files"


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def lm_eval_files(run: int) -> list[tuple[str, bytes]]:
    """The files of one run of lm-eval 0.4.13 with its dummy model and three tasks of twelve items."""
    return [(path.name, path.read_bytes()) for path in sorted((FILES / f"lm-eval-{run}").iterdir())]


def vllm_serve(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "date": "20261124-101112", "endpoint_type": "openai", "backend": "openai", "label": None, "model_id": "org/model",
        "tokenizer_id": "org/model", "num_prompts": 200, "request_rate": "inf", "burstiness": 1.0, "max_concurrency": 8,
        "duration": 50.0, "completed": 200, "failed": 0, "total_input_tokens": 204800, "total_output_tokens": 25600,
        "request_throughput": 4.0, "request_goodput": None, "output_throughput": 512.0, "total_token_throughput": 4608.0,
        "max_output_tokens_per_s": 600.0, "max_concurrent_requests": 9, "rtfx": 0.0,
    }  # fmt: skip
    for name, mean in (("ttft", 80.0), ("tpot", 15.0), ("itl", 15.0), ("e2el", 80.0 + 127 * 15.0)):
        document |= {
            f"mean_{name}_ms": mean,
            f"median_{name}_ms": mean * 0.98,
            f"std_{name}_ms": mean * 0.1,
            f"p99_{name}_ms": mean * 1.5,
        }
    return document | changes


def vllm_latency() -> dict[str, Any]:
    latencies = [1.0 + 0.001 * i for i in range(30)]
    percentiles = {str(p): 1.0 + 0.0003 * p for p in (10, 25, 50, 75, 90, 99)}
    return {"model_id": "m", "avg_latency": 1.0145, "latencies": latencies, "percentiles": percentiles}


def vllm_throughput() -> dict[str, Any]:
    return {
        "model_id": "m", "elapsed_time": 10.0, "num_requests": 100, "total_num_tokens": 16000,
        "requests_per_second": 10.0, "tokens_per_second": 1600.0,
    }  # fmt: skip


def sglang_serving(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "tag": None, "backend": "sglang", "dataset_name": "random", "request_rate": float("inf"), "max_concurrency": 16,
        "sharegpt_output_len": None, "random_input_len": 512, "random_output_len": 64, "random_range_ratio": 1.0,
        "server_info": {"version": "0.5.23", "model_path": "org/model", "tp_size": 2, "disable_radix_cache": False},
        "duration": 10.0, "completed": 160, "total_input_tokens": 81920, "total_input_text_tokens": 81920,
        "total_input_vision_tokens": 0, "total_output_tokens": 10240, "total_output_tokens_retokenized": 10238,
        "request_throughput": 16.0, "input_throughput": 8192.0, "output_throughput": 1024.0, "total_throughput": 9216.0,
        "concurrency": 15.7, "accept_length": None, "max_output_tokens_per_s": 1100.0, "max_concurrent_requests": 16,
    }  # fmt: skip
    for name, mean in (("ttft", 50.0), ("tpot", 12.0), ("itl", 12.0), ("e2e_latency", 50.0 + 63 * 12.0)):
        document |= {f"{stat}_{name}_ms": mean for stat in ("mean", "median", "p90", "p95", "p99")}
        document[f"std_{name}_ms"] = 1.0
    return document | changes


def sglang_one_batch() -> dict[str, Any]:
    return {
        "run_name": "default", "batch_size": 4, "input_len": 256, "output_len": 32, "prefill_latency": 0.1,
        "prefill_throughput": 10240.0, "median_decode_latency": 0.02, "median_decode_throughput": 200.0,
        "total_latency": 0.1 + 31 * 0.021, "overall_throughput": 1500.0,
    }  # fmt: skip


def per_token_values(tokens: int, iterations: int, *, gap: float = 0.1, prefill: float = 0.9) -> list[float]:
    """What the tool's logits processor appends when its list of events is never cleared (trackers/latency.py)."""
    events: list[float] = []
    appended: list[float] = []
    now = 0.0
    for _ in range(iterations):
        now += prefill
        for step in range(tokens):
            now += gap if step else 0.0
            events.append(now)
        appended.extend(b - a for a, b in pairwise(events))
    return appended


def _latency(values: list[float]) -> dict[str, Any]:
    mean = sum(values) / len(values)
    return {
        "unit": "s", "values": values, "count": len(values), "total": sum(values), "mean": mean, "p50": mean, "p90": mean,
        "p95": mean, "p99": mean, "stdev": 0.0, "stdev_": 0.0,
    }  # fmt: skip


def optimum_benchmark(*, tokens: int = 64, iterations: int = 10, **memory: float) -> dict[str, Any]:
    used = {"unit": "MB", "max_ram": 2000.0, "max_global_vram": 6800.0, "max_process_vram": 6493.0, "max_reserved": 6000.0,
            "max_allocated": 5900.0} | memory  # fmt: skip
    decode = [0.1 * (tokens - 1)] * iterations
    return {
        "config": {
            "name": "cuda_inference",
            "backend": {"name": "pytorch", "version": "2.7.0", "model": "org/model", "device": "cuda", "device_ids": "0",
                        "no_weights": True, "torch_dtype": "float16", "quantization_scheme": "gptq", "torch_compile": False},
            "scenario": {"name": "inference", "iterations": 10, "duration": 10, "warmup_runs": 10,
                         "input_shapes": {"batch_size": 1, "num_choices": 2, "sequence_length": 256},
                         "generate_kwargs": {"max_new_tokens": tokens, "min_new_tokens": tokens}},
            "environment": {"cpu": " AMD EPYC", "gpu": ["NVIDIA A100-SXM4-80GB"], "gpu_count": 1,
                            "gpu_vram_mb": 85899345920, "optimum_benchmark_version": "0.6.0",
                            "optimum_benchmark_commit": "abc123", "transformers_version": "4.52.0",
                            "transformers_commit": "abc123", "accelerate_version": "1.7.0", "accelerate_commit": None},
        },
        "report": {
            "load_model": {"memory": used, "latency": _latency([5.0]), "throughput": None, "energy": None, "efficiency": None},
            "prefill": {"memory": used, "latency": _latency([0.9] * iterations)},
            "decode": {"memory": used, "latency": _latency(decode)},
            "generate": {"memory": None, "latency": _latency([0.9 + value for value in decode])},
            "per_token": {"memory": None, "latency": _latency(per_token_values(tokens, iterations))},
        },
    }  # fmt: skip


def _metric(unit: str, average: float, count: int | None = 120) -> dict[str, Any]:
    stats = dict.fromkeys(("min", "max", "p1", "p50", "p90", "p95", "p99"), average)
    return {"unit": unit, "avg": average, "std": average * 0.01, **stats} | (
        {"count": count} if count else {}
    )


def aiperf(**changes: Any) -> dict[str, Any]:
    return {
        "schema_version": "1.4", "aiperf_version": "0.13.0",
        "request_count": {"unit": "requests", "avg": 120.0}, "request_throughput": {"unit": "requests/sec", "avg": 4.0},
        "request_latency": _metric("ms", 2000.0), "time_to_first_token": _metric("ms", 95.0),
        "inter_token_latency": _metric("ms", 15.0), "inter_chunk_latency": _metric("ms", 15.0),
        "output_token_throughput": {"unit": "tokens/sec", "avg": 512.0},
        "output_sequence_length": _metric("tokens", 128.0), "input_sequence_length": _metric("tokens", 1000.0),
        "error_request_count": {"unit": "requests", "avg": 3.0},
        "input_config": {"endpoint": {"model_names": ["org/model"]}, "loadgen": {"concurrency": 8}},
        "start_time": "2026-11-24T10:00:00", "was_cancelled": False,
        "telemetry_data": {"summary": {}, "endpoints": {"localhost:9401": {"gpus": {"gpu_0": {
            "gpu_index": 0, "gpu_name": "NVIDIA H100 80GB HBM3", "gpu_uuid": "GPU-1",
            "metrics": {"nvidia_memory_used": {"unit": "GB", "avg": 70.0, "max": 71.5}}}}}}},
    } | changes  # fmt: skip


def aiperf_aggregate() -> dict[str, Any]:
    def metric(unit: str, mean: float) -> dict[str, Any]:
        return {"mean": mean, "std": mean * 0.01, "min": mean, "max": mean, "cv": 0.01, "se": mean * 0.004,
                "ci_low": mean * 0.99, "ci_high": mean * 1.01, "t_critical": 2.571, "unit": unit}  # fmt: skip

    return {
        "schema_version": "1.0", "aiperf_version": "0.13.0",
        "metadata": {"aggregation_type": "confidence", "num_profile_runs": 6, "num_successful_runs": 6, "failed_runs": [],
                     "confidence_level": 0.95, "concurrency": 8},
        "metrics": {"request_latency_avg": metric("ms", 2000.0), "time_to_first_token_avg": metric("ms", 95.0),
                    "time_to_first_token_p50": metric("ms", 94.0), "inter_token_latency_avg": metric("ms", 15.0),
                    "output_sequence_length_avg": metric("tokens", 128.0),
                    "input_sequence_length_avg": metric("tokens", 1000.0),
                    "request_throughput_avg": metric("requests/sec", 4.0)},
    }  # fmt: skip


def _spread(mean: float, median: float) -> dict[str, float]:
    names = ("min", "p0.1", "p1", "p5", "p10", "p25", "p75", "p90", "p95", "p99", "p99.9", "max")
    return {"mean": mean, "median": median} | dict.fromkeys(names, median)


def inference_perf(*, count: int = 60, itl_median: float = 3.4e-5) -> dict[str, Any]:
    return {
        "load_summary": {"count": count, "send_duration": 59.7, "requested_rate": 1.0, "achieved_rate": 1.0},
        "successes": {
            "count": count,
            "latency": {"request_latency": _spread(0.483, 0.482), "normalized_time_per_output_token": _spread(0.0078, 0.0075),
                        "time_per_output_token": _spread(0.00348, 0.00347), "time_to_first_token": _spread(0.0333, 0.0329),
                        "inter_token_latency": _spread(0.00348, itl_median)},
            "throughput": {"input_tokens_per_sec": 200.0, "output_tokens_per_sec": 62.2, "total_tokens_per_sec": 262.2,
                           "requests_per_sec": 0.997},
            "prompt_len": _spread(200.7, 200.0), "output_len": _spread(62.35, 65.0)},
        "failures": {"count": 0, "request_latency": None, "prompt_len": None},
    }  # fmt: skip


def inference_perf_counters(count: int) -> dict[str, Any]:
    return {
        "load_summary": {},
        "successes": {"count": count, "rate": 19.0, "prompt_len": {"mean": 200, "rate": 1.0}},
        "failures": {},
    }


MLPERF_SUMMARY = """================================================
MLPerf Results Summary
================================================
SUT name : PySUT
Scenario : Server
Mode     : PerformanceOnly
Completed samples per second    : 10.00
Completed tokens per second: 2940.00
Result is : VALID
================================================
Additional Stats
================================================
Mean latency (ns)               : 9000000000
50.00 percentile latency (ns)   : 8900000000
99.00 percentile latency (ns)   : 12000000000

Mean First Token latency (ns)               : 400000000
50.00 percentile first token latency (ns)   : 390000000
99.00 percentile first token latency (ns)   : 1500000000

Mean Time to Output Token (ns)               : 29000000
50.00 percentile time to output token (ns)   : 28500000
99.00 percentile time to output token (ns)   : 60000000
================================================
Test Parameters Used
================================================
performance_sample_count : 13368
"""
MLPERF_ACCURACY = "\nResults\n\n{'rouge1': 42.9865, 'rouge2': 20.1235, 'rougeL': 29.9881, 'gen_len': 8167644, 'gen_num': 13368}\n"
VLLM_LOG = """INFO 11-24 10:00:00 [api_server.py:1] vLLM API server version 0.33.0
INFO 11-24 10:00:10 [gpu_model_runner.py:5088] Model loading took 7.51 GiB memory and 4.201000 seconds
INFO 11-24 10:00:30 [gpu_worker.py:772] Available KV cache memory: 11.25 GiB
INFO 11-24 10:00:30 [kv_cache_utils.py:1147] GPU KV cache size: 92,160 tokens, Maximum concurrency for 8,192 tokens per request: 11.25x
INFO 11-24 10:00:50 [gpu_model_runner.py:6517] Graph capturing finished in 12 secs, took 0.62 GiB
INFO 11-24 10:00:50 [gpu_worker.py:1064] Free memory on device (23.2/23.68 GiB) on startup. Desired GPU memory utilization is (0.9, 21.31 GiB). Actual usage is 7.62 GiB for consumed memory (weights + non-torch), 1.42 GiB for peak activation, and 0.62 GiB for CUDAGraph memory.
"""
VLLM_LOGS = {
    "0.6": """INFO 12-13 19:54:18 worker.py:243] Memory profiling results:
INFO 12-13 19:54:18 worker.py:243] model weights take   14.96GiB
INFO 12-13 19:54:18 worker.py:243] non_torch_memory     0.25GiB
INFO 12-13 19:54:18 worker.py:243] PyTorch activation peak memory       1.26GiB
INFO 12-13 19:54:18 worker.py:243] available_kv_cache_memory    53.29GiB
INFO 12-13 19:54:31 model_runner.py:1525] Graph capturing finished in 13 secs, took 0.38 GiB
""",
    "0.8": """INFO 03-03 20:36:02 [model_runner.py:1117] Model loading took 14.96 GB and 9.033798 seconds
INFO 03-03 20:36:19 [worker.py:267] model weights take 14.96GiB; non_torch_memory takes 0.25GiB; PyTorch activation peak memory takes 1.26GiB; the rest of the memory reserved for KV Cache is 53.29GiB.
INFO 03-03 20:36:40 [model_runner.py:1570] Graph capturing finished in 13 secs, took 0.38 GiB
""",
    "0.11": """INFO 09-30 10:00:10 [gpu_model_runner.py:2600] Model loading took 14.96 GiB and 4.201000 seconds
INFO 09-30 10:00:30 [gpu_worker.py:298] Available KV cache memory: 53.29 GiB
INFO 09-30 10:00:50 [gpu_worker.py:391] Free memory on device (78.6/79.2 GiB) on startup. Desired GPU memory utilization is (0.9, 71.29 GiB). Actual usage is 14.96 GiB for weight, 1.26 GiB for peak activation, 0.25 GiB for non-torch memory, and 0.38 GiB for CUDAGraph memory.
""",
}
"""Lines as versions of vLLM print them, with figures of one model."""
LLAMA_LOG = """build: 6000 (0123abc) with cc for x86_64-linux-gnu
load_tensors:   CPU_Mapped model buffer size =   281.81 MiB
load_tensors:        CUDA0 model buffer size =  4403.49 MiB
llama_context:  CUDA_Host  output buffer size =     0.49 MiB
llama_kv_cache:      CUDA0 KV buffer size =   512.00 MiB
llama_context:      CUDA0 compute buffer size =   296.00 MiB
llama_context:  CUDA_Host compute buffer size =    16.01 MiB
"""


def everything() -> dict[str, bytes]:
    """One file of every format, by the name of the format it must be recognised as."""
    samples = lm_eval_files(1)
    return {
        "lm-eval": next(content for name, content in samples if name.startswith("results")),
        "lm-eval-samples": next(content for name, content in samples if "choice" in name),
        "vllm-serve": encoded(vllm_serve()),
        "vllm-latency": encoded(vllm_latency()),
        "vllm-throughput": encoded(vllm_throughput()),
        "guidellm": (FILES / "guidellm-v2.json").read_bytes(),
        "llama-bench": (FILES / "llama-bench.json").read_bytes(),
        "llama-perplexity": (FILES / "llama-perplexity-kl.txt").read_bytes(),
        "optimum-benchmark": encoded(optimum_benchmark()),
        "aiperf": encoded(aiperf()),
        "inference-perf": encoded(inference_perf()),
        "inference-perf-counters": encoded(inference_perf_counters(60)),
        "sglang-serving": encoded(sglang_serving()),
        "sglang-one-batch": encoded(sglang_one_batch()),
        "mlperf-summary": MLPERF_SUMMARY.encode(),
        "mlperf-accuracy": MLPERF_ACCURACY.encode(),
        "vllm-log": VLLM_LOG.encode(),
        "llama-log": LLAMA_LOG.encode(),
    }
