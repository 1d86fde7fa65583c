"""What people type, and the scenario each phrase means: every part it names, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from planner.choose.language.parse import parse
from planner.choose.language.vocabulary import Vocabulary
from planner.domain.constraint import (
    Constraint,
    CostBasis,
    CostLimit,
    DiskLimit,
    FormatFilter,
    LatencyLimit,
    LatencyMetric,
    LicenseFilter,
    LossLimit,
    RuntimeFilter,
    SchemeFilter,
    Scope,
    ThroughputFloor,
)
from planner.domain.device import DeviceKind
from planner.domain.loss import LossKind
from planner.domain.scenario import Hardware, ModelSelector, Objective, Origin, SelectorKind
from planner.domain.units import GIB, MIB
from planner.domain.workload import Workload


def size(billions: float) -> ModelSelector:
    return ModelSelector(kind=SelectorKind.SIZE, size_billions=billions)


def family(name: str, billions: float | None = None) -> ModelSelector:
    return ModelSelector(kind=SelectorKind.FAMILY, value=name, size_billions=billions)


def model(model_id: str) -> ModelSelector:
    return ModelSelector(kind=SelectorKind.MODEL, value=model_id)


def memory(gib: float, count: int = 1, kind: DeviceKind = DeviceKind.GPU) -> Hardware:
    return Hardware(memory_bytes=round(gib * GIB), count=count, kind=kind)


def split(hardware: Hardware, **asked: int) -> Hardware:
    return msgspec.structs.replace(hardware, **asked)


def device(
    device_id: str, count: int = 1, gib: int | None = None, kind: DeviceKind = DeviceKind.GPU
) -> Hardware:
    return Hardware(device_id=device_id, count=count, memory_bytes=gib and gib * GIB, kind=kind)


CPU, BOARD = DeviceKind.CPU, DeviceKind.BOARD


def loss(
    percent: float, task: str | None = None, *, certified: bool = False, confidence: float = 0.95
) -> LossLimit:
    return LossLimit(limit=percent / 100, task=task, certified_only=certified, confidence=confidence)


def points(limit: float, task: str | None = None) -> LossLimit:
    return LossLimit(limit=limit, kind=LossKind.ABSOLUTE, task=task)


def ttft(seconds: float, quantile: str = "p50") -> LatencyLimit:
    return LatencyLimit(metric=LatencyMetric.TTFT, limit=seconds, quantile=quantile)


def tpot(seconds: float, quantile: str = "p50") -> LatencyLimit:
    return LatencyLimit(metric=LatencyMetric.TPOT, limit=seconds, quantile=quantile)


def itl(seconds: float, quantile: str = "p50") -> LatencyLimit:
    return LatencyLimit(metric=LatencyMetric.ITL, limit=seconds, quantile=quantile)


def e2e(seconds: float, quantile: str = "p50") -> LatencyLimit:
    return LatencyLimit(metric=LatencyMetric.END_TO_END, limit=seconds, quantile=quantile)


def rate(limit: float, scope: Scope = Scope.AGGREGATE) -> ThroughputFloor:
    return ThroughputFloor(limit=limit, scope=scope)


def disk(gb: float) -> DiskLimit:
    return DiskLimit(limit=round(gb * 1e9))


def scheme(*words: str) -> SchemeFilter:
    return SchemeFilter(words=words)


def without(*words: str) -> SchemeFilter:
    return SchemeFilter(words=words, exclude=True)


def work(**numbers: int) -> Workload:
    names = {"i": "input_tokens", "o": "output_tokens", "c": "concurrency"}
    return Workload(**{names[key]: value for key, value in numbers.items()})


def hourly(limit: float, currency: str | None = "USD") -> CostLimit:
    return CostLimit(limit=limit, per=CostBasis.HOUR, currency=currency)


def per_million(limit: float, currency: str | None = "USD") -> CostLimit:
    return CostLimit(limit=limit, currency=currency)


runtime = RuntimeFilter
REQUEST = Scope.REQUEST

CASES: list[tuple[Any, ...]] = [
    # as people talk
    ("what's the most accurate 7B on 24GB", size(7), memory(24), Objective.MOST_ACCURATE),
    ("what’s the fastest 7B?", size(7), Objective.FASTEST),
    ("which is the smallest 7B", size(7), Objective.SMALLEST),
    ("7B for 10 concurrent users", size(7), work(c=10)),
    ("7B on my laptop with 8GB", size(7), memory(8)),
    ("要求量化后MMLU下降不超过1%", loss(1, "mmlu")),
    ("7B，4090，越快越好", size(7), device("rtx-4090"), Objective.FASTEST),
    ("7B越小越好", size(7), Objective.SMALLEST),
    ("笔记本CPU 16G内存", memory(16, kind=CPU)),
    # what it may cost
    ("7B under $2 per hour", size(7), hourly(2)),
    ("7B, ≤ $2.50/h", size(7), hourly(2.5)),
    ("7B on 24GB for $2 an hour or less", size(7), memory(24), hourly(2)),
    ("7B, at most 3 dollars per hour", size(7), hourly(3)),
    ("7B, hourly cost below 2 EUR", size(7), hourly(2, "EUR")),
    ("7B with a budget of $1/hr", size(7), hourly(1)),
    ("max cost €0.50 per million tokens, 7B", size(7), per_million(0.5, "EUR")),
    ("7B, 0.4 USD per million output tokens", size(7), per_million(0.4)),
    ("7B, cost ≤ $1/M tokens", size(7), per_million(1)),
    ("7B, cost ≤ 5 per hour", size(7), hourly(5, None)),
    ("7B, cost under 1 per million tokens, cost ≤ 4 per hour", size(7), per_million(1, None), hourly(4, None)),
    ("7B成本不超过每小时2美元", size(7), hourly(2)),
    ("7B，每小时低于15元", size(7), hourly(15, "CNY")),
    ("7B，每百万token 2元以内", size(7), per_million(2, "CNY")),
    ("cheapest 7B under $2/h", size(7), hourly(2), Objective.CHEAPEST),
    # "max" after a device bounds what follows
    ("4090 max 1% loss", device("rtx-4090"), loss(1)),
    ("4090 max mmlu loss 1%", device("rtx-4090"), loss(1, "mmlu")),
    ("4090 max ttft 500ms", device("rtx-4090"), ttft(0.5)),
    # the model by size
    ("13B", size(13)),
    ("7b", size(7)),
    ("1.5B", size(1.5)),
    ("671B", size(671)),
    ("13b model", size(13)),
    ("a 13 B model", size(13)),
    ("13bn parameters", size(13)),
    ("13 billion parameters", size(13)),
    ("a 13B-parameter model", size(13)),
    ("13-billion-parameter", size(13)),
    ("0.5B", size(0.5)),
    ("500M", size(0.5)),
    ("135 million params", size(0.135)),
    ("1T", size(1000)),
    ("130亿参数", size(13)),
    ("70亿参数的模型", size(7)),
    ("13B模型", size(13)),
    ("130亿", size(13)),
    ("model size 13B", size(13)),
    ("13B 13B", size(13)),
    # the model by name, family, id, hub id, alias
    ("llama 2 13b", model("llama-2-13b")),
    ("Llama-2-13B", model("llama-2-13b")),
    ("llama2-13b", model("llama-2-13b")),
    ("LLAMA_2_13B", model("llama-2-13b")),
    ("meta-llama/Llama-2-13b-hf", model("llama-2-13b")),
    ("llama 3.1 8b instruct", model("llama-3.1-8b")),
    ("llama 3 8b chat", model("llama-3-8b")),
    ("the llama 3.1 70b model", model("llama-3.1-70b")),
    ("llama 2 13b 13B", model("llama-2-13b")),
    ("llama 2 family, llama 2 7b", model("llama-2-7b")),
    ("qwen2.5 7b", model("qwen2.5-7b")),
    ("Qwen/Qwen2.5-7B", model("qwen2.5-7b")),
    ("通义千问2.5 7B", model("qwen2.5-7b")),
    ("7b qwen2.5", family("Qwen2.5", 7)),
    ("qwen3 30b a3b", model("qwen3-30b-a3b")),
    ("mixtral", model("mixtral-8x7b")),
    ("Mixtral 8x7B", model("mixtral-8x7b")),
    ("gemma 2 2b", model("gemma-2-2b")),
    ("gemma 27b", family("Gemma", 27)),
    ("phi 4", model("phi-4")),
    ("phi-4 family", family("Phi-4")),
    ("llama", family("Llama")),
    ("llama 3", family("Llama-3")),
    ("llama 3.1", family("Llama-3.1")),
    ("llama 70b", family("Llama", 70)),
    ("8B llama", family("Llama", 8)),
    ("llama3系列", family("Llama-3")),
    ("qwen2.5", family("Qwen2.5")),
    ("deepseek r1", model("deepseek-r1")),
    ("deepseek r1 distill", family("DeepSeek-R1-Distill")),
    ("deepseek r1 distill 7b", family("DeepSeek-R1-Distill", 7)),
    ("deepseek r1 distill qwen 7b", model("deepseek-r1-distill-qwen-7b")),
    ("deepseek r1 7b", family("DeepSeek-R1", 7)),
    ("any model on 24GB", memory(24)),
    # hardware by memory
    ("24GB", memory(24)),
    ("24 GB VRAM", memory(24)),
    ("24G显存", memory(24)),
    ("24gb gpu", memory(24)),
    ("80GiB", memory(80)),
    ("24 gigs", memory(24)),
    ("16g", memory(16)),
    ("512MiB", Hardware(memory_bytes=512 * MIB)),
    ("a 24-GB card", memory(24)),
    ("VRAM 24GB", memory(24)),
    ("显存24G", memory(24)),
    ("24G显卡", memory(24)),
    ("fits in 24GB", memory(24)),
    ("within 24GB of VRAM", memory(24)),
    ("under 24 GB memory", memory(24)),
    ("memory ≤ 24GB", memory(24)),
    ("不超过24GB显存", memory(24)),
    ("24GB以内", memory(24)),
    ("1TB", memory(1024)),
    ("2x24GB", memory(24, 2)),
    ("2 x 24 GB", memory(24, 2)),
    ("24GB x2", memory(24, 2)),
    ("24GB*2", memory(24, 2)),
    ("two 24GB cards", memory(24, 2)),
    ("2 GPUs with 24GB each", memory(24, 2)),
    ("单卡24G", memory(24)),
    ("双卡24G", memory(24, 2)),
    ("gpu: 24GB", memory(24)),
    ("any hardware, 7B", size(7)),
    # hardware by device
    ("4090", device("rtx-4090")),
    ("on a RTX 4090", device("rtx-4090")),
    ("NVIDIA GeForce RTX 4090", device("rtx-4090")),
    ("RTX 4090 24GB", device("rtx-4090")),
    ("RTX 4090, 24 GB VRAM", device("rtx-4090")),
    ("4090 with 48GB", device("rtx-4090", gib=48)),
    ("4090 limited to 20GB", device("rtx-4090", gib=20)),
    ("rtx 4070 ti super", device("rtx-4070-ti-super")),
    ("2x4090", device("rtx-4090", 2)),
    ("2 x RTX 4090", device("rtx-4090", 2)),
    ("2 4090s", device("rtx-4090", 2)),
    ("4×H100", device("h100-sxm", 4)),
    ("4*H100", device("h100-sxm", 4)),
    ("H100 x8", device("h100-sxm", 8)),
    ("H100x8", device("h100-sxm", 8)),
    ("8 H100", device("h100-sxm", 8)),
    ("two A100s", device("a100-80gb-sxm", 2)),
    ("a pair of 3090s", device("rtx-3090", 2)),
    ("dual 3090", device("rtx-3090", 2)),
    ("quad 3090", device("rtx-3090", 4)),
    ("a single H100", device("h100-sxm")),
    ("A100 40GB", device("a100-40gb")),
    ("a100 80gb", device("a100-80gb-sxm")),
    ("l40s", device("l40s")),
    ("L40", device("l40")),
    ("两张4090", device("rtx-4090", 2)),
    ("2张A100", device("a100-80gb-sxm", 2)),
    ("4090两张", device("rtx-4090", 2)),
    ("A100 8卡", device("a100-80gb-sxm", 8)),
    ("8卡H100", device("h100-sxm", 8)),
    ("一张4090", device("rtx-4090")),
    ("双4090", device("rtx-4090", 2)),
    ("在4090上", device("rtx-4090")),
    ("树莓派5", device("raspberry-pi-5-8gb", kind=BOARD)),
    ("raspberry pi 5 8gb", device("raspberry-pi-5-8gb", kind=BOARD)),
    ("orin nano", device("jetson-orin-nano-8gb", kind=BOARD)),
    ("apple m2 ultra", device("apple-m2-ultra-192gb", kind=BOARD)),
    ("m2 ultra with 64GB", device("apple-m2-ultra-192gb", gib=64, kind=BOARD)),
    ("apple m2 ultra with 64GB RAM", device("apple-m2-ultra-192gb", gib=64, kind=BOARD)),
    ("2 gpus", Hardware(count=2)),
    ("a gpu", Hardware()),
    ("cpu", Hardware(kind=CPU)),
    ("cpu only", Hardware(kind=CPU)),
    ("cpu with 32GB RAM", memory(32, kind=CPU)),
    ("32GB RAM", memory(32, kind=CPU)),
    ("CPU, 32 GB", memory(32, kind=CPU)),
    ("16GB内存", memory(16, kind=CPU)),
    ("内存16G的CPU", memory(16, kind=CPU)),
    ("epyc 9654 with 256GB RAM", device("epyc-9654", gib=256, kind=CPU)),
    ("a board with 8GB", memory(8, kind=BOARD)),
    # loss
    ("≤1% loss", loss(1)),
    ("1% loss", loss(1)),
    ("<1% loss", loss(1)),
    ("loss ≤ 1%", loss(1)),
    ("loss<=1%", loss(1)),
    ("loss under 0.5%", loss(0.5)),
    ("loss: 1%", loss(1)),
    ("loss is below 1 percent", loss(1)),
    ("loss of at most 1%", loss(1)),
    ("accuracy loss <= 1 %", loss(1)),
    ("less than 2% accuracy loss", loss(2)),
    ("no more than 1% quality loss", loss(1)),
    ("max 1% loss", loss(1)),
    ("1% loss max", loss(1)),
    ("max loss 1%", loss(1)),
    ("最大损失1%", loss(1)),
    ("≤1% loss vs fp16", loss(1)),
    ("without losing more than 1% accuracy", loss(1)),
    ("minimal quality loss", Objective.MOST_ACCURATE),
    ("loss 1% max", loss(1)),
    ("1% or less loss", loss(1)),
    ("accuracy drop within 1%", loss(1)),
    ("at most 1% worse", loss(1)),
    ("within 1%", loss(1)),
    ("relative loss ≤ 1%", loss(1)),
    ("≤1% relative loss", loss(1)),
    ("at most 1 pp", points(1)),
    ("1pp loss", points(1)),
    ("absolute loss ≤ 1%", points(1)),
    ("loss ≤ 1.5 points", points(1.5)),
    ("within 2 points on mmlu", points(2, "mmlu")),
    ("≤ 2 percentage points on MMLU", points(2, "mmlu")),
    ("≤1% loss on gsm8k", loss(1, "gsm8k")),
    ("gsm8k loss ≤ 1%", loss(1, "gsm8k")),
    ("loss on gsm8k at most 1%", loss(1, "gsm8k")),
    ("≤1% mmlu loss", loss(1, "mmlu")),
    ("≤1% loss on mmlu and gsm8k", loss(1, "gsm8k"), loss(1, "mmlu")),
    ("≤1% loss on mmlu, ≤ 2 points on gsm8k", loss(1, "mmlu"), points(2, "gsm8k")),
    ("≤2% loss and ≤1% loss on mmlu-pro", loss(2), loss(1, "mmlu-pro")),
    ("perplexity increase under 1%", loss(1, "perplexity")),
    ("困惑度上升不超过1%", loss(1, "perplexity")),
    ("loss on wikitext-2 < 1%", loss(1, "wikitext-2")),
    ('loss on "My Task (v2)" ≤ 1%', loss(1, "My Task (v2)")),
    ("recovery ≥ 99%", loss(1)),
    ("at least 99% recovery", loss(1)),
    ("99.5% accuracy recovery", loss(0.5)),
    ("99% of accuracy", loss(1)),
    ("keep 99% of the baseline accuracy", loss(1)),
    ("at least 98% of the original accuracy", loss(2)),
    ("within 1% of the baseline", loss(1)),
    ("accuracy within 1 point of fp16", points(1)),
    ("keep accuracy within 1%", loss(1)),
    ("保留99%精度", loss(1)),
    ("保持99%以上的精度", loss(1)),
    ("精度损失不超过1%", loss(1)),
    ("精度损失1%以内", loss(1)),
    ("1%以内的精度损失", loss(1)),
    ("1%的精度损失", loss(1)),
    ("精度损失控制在1%以内", loss(1)),
    ("精度下降小于1%", loss(1)),
    ("准确率损失低于百分之2", loss(2)),
    ("掉点不超过1个点", points(1)),
    ("掉点不超过一个点", points(1)),
    ("掉点在0.5个百分点以内", points(0.5)),
    ("mmlu掉点不超过2个点", points(2, "mmlu")),
    ("相对损失≤1%", loss(1)),
    ("≤1% loss, certified", loss(1, certified=True)),
    ("certified loss ≤ 1%", loss(1, certified=True)),
    ("loss ≤ 1% certified only", loss(1, certified=True)),
    ("精度损失不超过1%，必须经认证", loss(1, certified=True)),
    ("≤1% loss certified, ≤2% loss on mmlu", loss(1, certified=True), loss(2, "mmlu")),
    ("≤1% loss, ≤2% loss on mmlu, certified", loss(1, certified=True), loss(2, "mmlu", certified=True)),
    ("≤1% loss at 99% confidence", loss(1, confidence=0.99)),
    ("精度损失不超过1%，置信度99%", loss(1, confidence=0.99)),
    # latency
    ("TTFT < 500ms", ttft(0.5)),
    ("ttft: 500 ms", ttft(0.5)),
    ("under 500ms TTFT", ttft(0.5)),
    ("500ms to first token", ttft(0.5)),
    ("first token under 1s", ttft(1)),
    ("time to first token of at most 0.3 seconds", ttft(0.3)),
    ("首字延迟小于500毫秒", ttft(0.5)),
    ("首token延迟不超过1秒", ttft(1)),
    ("首字500毫秒以内", ttft(0.5)),
    ("p95 TPOT ≤ 30 ms", tpot(0.03, "p95")),
    ("30 ms per token", tpot(0.03)),
    ("≤ 30ms/token", tpot(0.03)),
    ("time per output token below 30 ms", tpot(0.03)),
    ("每token延迟30毫秒以内", tpot(0.03)),
    ("ITL p99 < 50ms", itl(0.05, "p99")),
    ("99th percentile inter-token latency under 50 ms", itl(0.05, "p99")),
    ("e2e ≤ 10s", e2e(10)),
    ("latency under 2s", e2e(2)),
    ("average latency ≤ 2 s", e2e(2, "mean")),
    ("end-to-end latency 1 min or less", e2e(60)),
    ("端到端延迟不超过10秒", e2e(10)),
    ("平均延迟小于2秒", e2e(2, "mean")),
    ("TTFT < 500ms p95", ttft(0.5, "p95")),
    ("max TTFT 500ms", ttft(0.5)),
    ("TTFT(p95)<500ms", ttft(0.5, "p95")),
    ("TTFT < 500ms (p95)", ttft(0.5, "p95")),
    ("p95, TTFT < 500ms", ttft(0.5, "p95")),
    ("TTFT < 500ms, p95 TPOT < 30ms", ttft(0.5), tpot(0.03, "p95")),
    ("median TTFT 200ms and p99 ITL 80ms", ttft(0.2), itl(0.08, "p99")),
    ("95分位TTFT不超过500ms", ttft(0.5, "p95")),
    # throughput
    ("≥ 100 tok/s", rate(100)),
    ("100 tok/s", rate(100)),
    ("100+ tokens/s", rate(100)),
    ("at least 1000 tokens per second", rate(1000)),
    ("1,000 t/s or more", rate(1000)),
    ("1k tok/s", rate(1000)),
    ("throughput ≥ 100", rate(100)),
    ("throughput of at least 100 tok/s", rate(100)),
    ("speed over 50 tps", rate(50)),
    ("30 tok/s per user", rate(30, REQUEST)),
    ("30 tok/s/user", rate(30, REQUEST)),
    ("2000 tok/s total", rate(2000)),
    ("吞吐不低于100 tok/s", rate(100)),
    ("吞吐量≥1000 tokens/秒", rate(1000)),
    ("每秒至少100 token", rate(100)),
    ("每秒30个token以上", rate(30)),
    ("minimum throughput 100 tok/s", rate(100)),
    ("最低吞吐100 tok/s", rate(100)),
    ("每秒100个token", rate(100)),
    ("每用户30 tok/s", rate(30, REQUEST)),
    # workload
    ("32k context", work(i=32 * 1024 - 256)),
    ("32K", work(i=32 * 1024 - 256)),
    ("context 8192", work(i=8192 - 256)),
    ("context of 32k tokens", work(i=32 * 1024 - 256)),
    ("at least 16k context", work(i=16 * 1024 - 256)),
    ("8192 tokens", work(i=8192 - 256)),
    ("32k-token context window", work(i=32 * 1024 - 256)),
    ("上下文32k", work(i=32 * 1024 - 256)),
    ("32k上下文", work(i=32 * 1024 - 256)),
    ("上下文长度4096", work(i=4096 - 256)),
    ("4096 in 512 out", work(i=4096, o=512)),
    ("4096 in, 512 out", work(i=4096, o=512)),
    ("4k in / 1k out", work(i=4096, o=1024)),
    ("input 2000 tokens, output 500", work(i=2000, o=500)),
    ("input=2000 output=500", work(i=2000, o=500)),
    ("2000 input tokens and 500 output tokens", work(i=2000, o=500)),
    ("prompts of 2000 tokens, generate 300", work(i=2000, o=300)),
    ("输入2000输出500", work(i=2000, o=500)),
    ("2000输入 500输出", work(i=2000, o=500)),
    ("8k context, output 1000", work(i=7192, o=1000)),
    ("8k context, input 8000", work(i=8000, o=192)),
    ("4096 context, 4000 in, 96 out", work(i=4000, o=96)),
    ("16 users", work(c=16)),
    ("for up to 16 concurrent users", work(c=16)),
    ("concurrency 8", work(c=8)),
    ("concurrency: 8", work(c=8)),
    ("8 concurrent requests", work(c=8)),
    ("batch 4", work(c=4)),
    ("batch size 4", work(c=4)),
    ("bs=4", work(c=4)),
    ("max concurrency 16", work(c=16)),
    ("最大并发16", work(c=16)),
    ("single user", work(c=1)),
    ("并发8", work(c=8)),
    ("8并发", work(c=8)),
    ("16路并发", work(c=16)),
    ("16个用户", work(c=16)),
    ("32k 并发8", work(i=32 * 1024 - 256, c=8)),
    # size on disk
    ("under 10GB on disk", disk(10)),
    ("10 GB on disk", disk(10)),
    ("file ≤ 8 GB", disk(8)),
    ("file size under 8GB", disk(8)),
    ("download under 5GB", disk(5)),
    ("size ≤ 10GB", disk(10)),
    ("size on disk ≤ 4.5GB", disk(4.5)),
    ("disk < 10GB", disk(10)),
    ("文件不超过8GB", disk(8)),
    ("磁盘8GB以内", disk(8)),
    ("24GB, file ≤ 8GB", memory(24), disk(8)),
    ("24GB file ≤ 8GB", memory(24), disk(8)),
    ("8GB disk, 24GB VRAM", memory(24), disk(8)),
    # scheme, format, runtime, license
    ("int4", scheme("int4")),
    ("INT 4", scheme("int4")),
    ("4-bit", scheme("4bit")),
    ("4 bit quantization", scheme("4bit")),
    ("8bit", scheme("8bit")),
    ("4比特量化", scheme("4bit")),
    ("fp8", scheme("fp8")),
    ("bf16", scheme("bf16")),
    ("half precision", scheme("fp16")),
    ("awq", scheme("awq")),
    ("q4_k_m", scheme("q4_k_m")),
    ("Q4_K_M gguf", scheme("q4_k_m"), FormatFilter(name="gguf")),
    ("iq4_xs", scheme("iq4_xs")),
    ("q8_0", scheme("q8_0")),
    ("w4a16", scheme("w4a16")),
    ("nf4", scheme("nf4")),
    ("mxfp4", scheme("mxfp4")),
    ("int4-g128", scheme("int4-g128")),
    ("int4 g128", scheme("int4-g128")),
    ("int8-dynamic", scheme("int8-dynamic")),
    ("int8 weight-only", scheme("int8-weight-only")),
    ("awq int4", scheme("int4-awq")),
    ("4-bit gptq", scheme("4bit-gptq")),
    ("scheme: int4", scheme("int4")),
    ("int4 or fp8", scheme("int4", "fp8")),
    ("int4/int8", scheme("int4", "int8")),
    ("int4量化或fp8", scheme("int4", "fp8")),
    ("8-bit quantized", scheme("8bit")),
    ("unquantized", scheme("fp32", "bf16", "fp16")),
    ("quantized", without("fp32", "bf16", "fp16")),
    ("no gguf", without("gguf")),
    ("not int4", without("int4")),
    ("without awq or gptq", without("awq", "gptq")),
    ("no awq, no gptq", without("awq", "gptq")),
    ("except int4", without("int4")),
    ("int8 but not int8-dynamic", scheme("int8"), without("int8-dynamic")),
    ("不要gguf", without("gguf")),
    ("除了int4以外", without("int4")),
    ("vllm", runtime(name="vllm")),
    ("under vLLM", runtime(name="vllm")),
    ("in llama.cpp", runtime(name="llama.cpp")),
    ("with transformers", runtime(name="transformers")),
    ("llamacpp", runtime(name="llama.cpp")),
    ("runtime: TensorRT-LLM", runtime(name="tensorrt-llm")),
    ("用vllm部署", runtime(name="vllm")),
    ("gguf", FormatFilter(name="gguf")),
    ("safetensors format", FormatFilter(name="safetensors")),
    ("gguf格式", FormatFilter(name="gguf")),
    ("apache", LicenseFilter(name="apache")),
    ("Apache 2.0 license", LicenseFilter(name="apache")),
    ("MIT licensed", LicenseFilter(name="mit")),
    ("for commercial use", LicenseFilter(name="commercial")),
    ("commercially usable", LicenseFilter(name="commercial")),
    ("可商用", LicenseFilter(name="commercial")),
    ("开源商用", LicenseFilter(name="commercial")),
    # risk and objective
    ("risk 0.1%", 0.001),
    ("OOM risk below 0.5%", 0.005),
    ("0.1% memory risk", 0.001),
    ("风险0.1%", 0.001),
    ("fastest", Objective.FASTEST),
    ("the fastest 7B", size(7), Objective.FASTEST),
    ("lowest latency", Objective.FASTEST),
    ("cheapest", Objective.CHEAPEST),
    ("smallest", Objective.SMALLEST),
    ("most accurate", Objective.MOST_ACCURATE),
    ("best quality", Objective.MOST_ACCURATE),
    ("highest throughput", Objective.HIGHEST_THROUGHPUT),
    ("maximize throughput", Objective.HIGHEST_THROUGHPUT),
    ("最快", Objective.FASTEST),
    ("最便宜的", Objective.CHEAPEST),
    ("最小", Objective.SMALLEST),
    ("最准", Objective.MOST_ACCURATE),
    ("精度最高", Objective.MOST_ACCURATE),
    ("吞吐最高", Objective.HIGHEST_THROUGHPUT),
    # whole questions
    ("13B on 24GB, ≤1% loss", size(13), memory(24), loss(1)),
    ("24GB, 1% loss, 13B", size(13), memory(24), loss(1)),
    ("13B 24GB 1%", size(13), memory(24), loss(1)),
    ("１３Ｂ ｏｎ ２４ＧＢ，≤１％ ｌｏｓｓ", size(13), memory(24), loss(1)),
    ("13B\n24GB\n≤1% loss", size(13), memory(24), loss(1)),
    ("24GB显存跑13B,精度损失不超过1%", size(13), memory(24), loss(1)),
    ("我有两张4090，想跑70B，精度损失不超过2%", size(70), device("rtx-4090", 2), loss(2)),
    ("用vllm在2张A100上部署llama 3.1 70b，首字延迟小于500毫秒", model("llama-3.1-70b"), device("a100-80gb-sxm", 2), runtime(name="vllm"), ttft(0.5)),
    ("推荐一个能在16GB内存的CPU上跑的7B模型", size(7), memory(16, kind=CPU)),
    ("显存24G，7B，并发8，吞吐不低于200 tok/s", size(7), memory(24), work(c=8), rate(200)),
    ("What is the best 13B for a 24GB card?", size(13), memory(24)),
    ("I want to run llama 2 13b on a 4090 with at most 1% loss", model("llama-2-13b"), device("rtx-4090"), loss(1)),
    ("which qwen2.5 7b variant fits on my 3090?", model("qwen2.5-7b"), device("rtx-3090")),
    ("fastest 7B on 2x4090 with TTFT under 300ms and ≥ 100 tok/s", size(7), device("rtx-4090", 2), Objective.FASTEST, ttft(0.3), rate(100)),
    ("7B in 16GB for 16 users, 4k context, at least 30 tok/s per user", size(7), memory(16), work(i=4096 - 256, c=16), rate(30, REQUEST)),
    ("smallest llama within 2 points on mmlu, commercial use", family("Llama"), Objective.SMALLEST, points(2, "mmlu"), LicenseFilter(name="commercial")),
    ("7B, gguf, q4_k_m or q5_k_m, in llama.cpp, cpu with 16GB RAM", size(7), FormatFilter(name="gguf"), scheme("q4_k_m", "q5_k_m"), runtime(name="llama.cpp"), memory(16, kind=CPU)),
    ("13B; 24GB; <1% loss; int4; vLLM", size(13), memory(24), loss(1), scheme("int4"), runtime(name="vllm")),
    ("MODEL: LLAMA 2 13B, GPU: 4090, LOSS ≤ 1%", model("llama-2-13b"), device("rtx-4090"), loss(1)),
    ("24GB VRAM + 13B", size(13), memory(24)),
    ("24GB + 13B", size(13), memory(24)),
    ("What can I run on a 4090?", device("rtx-4090")),
    ("best model for 16GB VRAM", memory(16)),
    ("Can I run llama 70b on 48GB?", family("Llama", 70), memory(48)),
    ("7B model that fits in 8 GB with less than 1% accuracy loss and TTFT below 200 ms", size(7), memory(8), loss(1), ttft(0.2)),
    ("cheapest way to serve llama 3.1 70b to 100 users", model("llama-3.1-70b"), Objective.CHEAPEST, work(c=100)),
    ("deploy mixtral on 2 H100s using vllm with fp8", model("mixtral-8x7b"), device("h100-sxm", 2), runtime(name="vllm"), scheme("fp8")),
    ("run qwen on a laptop with 16GB RAM", family("Qwen"), memory(16, kind=CPU)),
    ("serving 64 concurrent requests at 2048 in 256 out", work(i=2048, o=256, c=64)),
    ("3090 24G x2", device("rtx-3090", 2)),
    ("70B on 8 GPUs of 24GB", size(70), memory(24, 8)),
    ("70B tp=4 H100", size(70), split(device("h100-sxm", 4), tensor_parallel=4)),
    ("70B on 4x24GB, tensor parallel 2", size(70), split(memory(24, 4), tensor_parallel=2)),
    ("70B on 4x24GB, tp 2, pp 2", size(70), split(memory(24, 4), tensor_parallel=2, pipeline_parallel=2)),
    ("8B on 24GB, 3 replicas", size(8), split(memory(24, 3), replicas=3)),
    ("70B，8张H100，张量并行4，2个副本", size(70), split(device("h100-sxm", 8), tensor_parallel=4, replicas=2)),
    ("70B on 8x h100, 4-way tensor parallelism, pipeline parallel 2", size(70), split(device("h100-sxm", 8), tensor_parallel=4, pipeline_parallel=2)),
    ("one A100, TTFT p99 under 1s at 32 users", device("a100-80gb-sxm"), ttft(1, "p99"), work(c=32)),
    ("vram: 24gb, model: 13b, loss: 1%", size(13), memory(24), loss(1)),
    ("我想在24G显存的显卡上跑13B的模型，精度损失小于1%", size(13), memory(24), loss(1)),
    ("单张4090跑32B模型最快的方案", size(32), device("rtx-4090"), Objective.FASTEST),
    ("4张A100 80G能跑llama 3.1 70b吗", model("llama-3.1-70b"), device("a100-80gb-sxm", 4)),
    ("7B，支持32k上下文，最大并发8", size(7), work(i=32 * 1024 - 256, c=8)),
    ("best quantization for llama 2 13b on 24GB", model("llama-2-13b"), memory(24)),
    ("which quant of llama 3.1 8b for a 3090", model("llama-3.1-8b"), device("rtx-3090")),
    ("Qwen2.5-7B-Instruct-AWQ on 4090", model("qwen2.5-7b"), scheme("awq"), device("rtx-4090")),
    ("Llama-2-13B-GGUF", model("llama-2-13b"), FormatFilter(name="gguf")),
    ("在一张3090上部署qwen2.5 7b，要求精度损失小于1%，TTFT小于500ms", model("qwen2.5-7b"), device("rtx-3090"), loss(1), ttft(0.5)),
    ("13B @ 24GB", size(13), memory(24)),
    ("13B w/ 24GB", size(13), memory(24)),
    ("13B/24GB/1%", size(13), memory(24), loss(1)),
    ("loss < 1% & TTFT < 500 ms & 24 GB & 13B", size(13), memory(24), loss(1), ttft(0.5)),
    ("max 2% accuracy drop on mmlu, gsm8k and humaneval", loss(2, "gsm8k"), loss(2, "humaneval"), loss(2, "mmlu")),
    ("13B - 24GB - 1% loss", size(13), memory(24), loss(1)),
]  # fmt: skip


def _expected(parts: list[Any]) -> dict[str, Any]:
    constraints: dict[str, Constraint] = {}
    expected: dict[str, Any] = {
        "model": ModelSelector(),
        "hardware": None,
        "workload": Workload(),
        "risk": 0.01,
    }
    for part in parts:
        match part:
            case ModelSelector():
                expected["model"] = part
            case Hardware():
                expected["hardware"] = part
            case Workload():
                expected["workload"] = part
            case Objective():
                expected["objective"] = part
            case float():
                expected["risk"] = part
            case _:
                constraints[part.key] = part
    expected["constraints"] = constraints
    bounded = any(isinstance(constraint, LossLimit) for constraint in constraints.values())
    default = Objective.SMALLEST if bounded and expected["hardware"] is None else Objective.MOST_ACCURATE
    expected.setdefault("objective", default)
    return expected


@pytest.mark.parametrize(("text", "parts"), [pytest.param(text, parts, id=text) for text, *parts in CASES])
def test_phrase_means_exactly_its_parts(vocabulary: Vocabulary, text: str, parts: list[Any]):
    scenario = parse(text, vocabulary)
    expected = _expected(parts)
    assert {constraint.key: constraint for constraint in scenario.constraints} == expected.pop("constraints")
    for name, value in expected.items():
        assert getattr(scenario, name) == value, name


def test_there_are_many_phrases_in_both_languages():
    chinese = [text for text, *_ in CASES if any("\u4e00" <= character <= "\u9fff" for character in text)]
    assert len(CASES) >= 300
    assert len(chinese) >= 70


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("13B on 24GB, ≤1% loss", {"model", "hardware", "loss"}),
        ("4090, 32k context, 8 users", {"hardware", "workload.input_tokens", "workload.concurrency"}),
        ("TTFT < 500ms p95, fastest, risk 0.1%", {"ttft", "ttft.quantile", "objective", "risk"}),
        ("7B, ≥ 30 tok/s per user", {"model", "throughput", "throughput.scope"}),
        ("any hardware", {"hardware"}),
    ],
)
def test_origin_of_every_part(vocabulary: Vocabulary, text: str, asked: set[str]):
    scenario = parse(text, vocabulary)
    assert {key for key, origin in scenario.origins.items() if origin is Origin.ASKED} == asked
    assert {row.key for row in scenario.effective()} <= set(scenario.origins)
