"""A small vocabulary of the tests' own, so that the language is tested apart from the built-in catalogue."""

from __future__ import annotations

import pytest

from planner.choose.language.vocabulary import Vocabulary
from planner.domain.architecture import Architecture
from planner.domain.constraint import FormatFilter, LatencyLimit, LatencyMetric, LossLimit, SchemeFilter
from planner.domain.device import Device, DeviceKind
from planner.domain.loss import LossKind
from planner.domain.model import Model
from planner.domain.scenario import Objective, Preset
from planner.domain.scheme import NumberFormat
from planner.domain.units import GIB
from planner.domain.workload import Workload

SHAPE = Architecture(
    hidden_size=64, layers=2, heads=4, kv_heads=2, head_dim=16, intermediate_size=128, vocab_size=1000
)


def make_model(model_id: str, family: str, size: float, *aliases: str, hub_id: str | None = None) -> Model:
    return Model(
        id=model_id,
        name=model_id.replace("-", " ").title(),
        family=family,
        architecture=SHAPE,
        parameters=round(size * 1e9),
        reference_format=NumberFormat.BF16,
        size_billions=size,
        hub_id=hub_id,
        aliases=aliases,
    )


def make_device(
    device_id: str, name: str, gib: int, *aliases: str, kind: DeviceKind = DeviceKind.GPU
) -> Device:
    return Device(
        id=device_id,
        name=name,
        kind=kind,
        vendor=name.partition(" ")[0],
        memory_bytes=gib * GIB,
        aliases=aliases,
    )


MODELS = (
    make_model("llama-2-7b", "Llama-2", 7, hub_id="meta-llama/Llama-2-7b-hf"),
    make_model("llama-2-13b", "Llama-2", 13, hub_id="meta-llama/Llama-2-13b-hf"),
    make_model("llama-3-8b", "Llama-3", 8, hub_id="meta-llama/Meta-Llama-3-8B"),
    make_model("llama-3.1-8b", "Llama-3.1", 8, "llama 3.1 8b instruct", hub_id="meta-llama/Llama-3.1-8B"),
    make_model("llama-3.1-70b", "Llama-3.1", 70),
    make_model("qwen2.5-0.5b", "Qwen2.5", 0.5),
    make_model("qwen2.5-7b", "Qwen2.5", 7, "通义千问2.5 7b", hub_id="Qwen/Qwen2.5-7B"),
    make_model("qwen3-30b-a3b", "Qwen3", 30),
    make_model("mixtral-8x7b", "Mixtral", 46.7, "mixtral"),
    make_model("gemma-2-2b", "Gemma-2", 2),
    make_model("gemma-3-27b", "Gemma-3", 27),
    make_model("phi-4", "Phi-4", 14, hub_id="microsoft/phi-4"),
    make_model("phi-4-mini", "Phi-4", 3.8),
    make_model("deepseek-r1", "DeepSeek-R1", 671),
    make_model("deepseek-r1-distill-qwen-7b", "DeepSeek-R1-Distill-Qwen", 7),
    make_model("deepseek-r1-distill-llama-8b", "DeepSeek-R1-Distill-Llama", 8),
)
DEVICES = (
    make_device("rtx-3090", "NVIDIA GeForce RTX 3090 24GB", 24, "3090", "rtx3090"),
    make_device("rtx-4090", "NVIDIA GeForce RTX 4090 24GB", 24, "4090", "rtx4090", "geforce 4090"),
    make_device("rtx-4070-ti-super", "NVIDIA GeForce RTX 4070 Ti Super", 16, "4070 ti super"),
    make_device("a100-80gb-sxm", "NVIDIA A100 80GB SXM", 80, "a100", "a100-80gb"),
    make_device("a100-40gb", "NVIDIA A100 40GB", 40, "a100-40g"),
    make_device("h100-sxm", "NVIDIA H100 80GB SXM", 80, "h100"),
    make_device("l40", "NVIDIA L40 48GB", 48),
    make_device("l40s", "NVIDIA L40S 48GB", 48),
    make_device("jetson-orin-nano-8gb", "NVIDIA Jetson Orin Nano 8GB", 8, "orin nano", kind=DeviceKind.BOARD),
    make_device("raspberry-pi-5-8gb", "Raspberry Pi 5 8GB", 8, "pi 5", "树莓派5", kind=DeviceKind.BOARD),
    make_device("apple-m2-ultra-192gb", "Apple M2 Ultra (76-core GPU, 192GB)", 192, kind=DeviceKind.BOARD),
    make_device("epyc-9654", "AMD EPYC 9654", 768, "epyc 9654", kind=DeviceKind.CPU),
)
CHAT = Preset(
    id="realtime-chat",
    name="Real-time chat",
    description="A person waits for every word.",
    workload=Workload(input_tokens=512, output_tokens=128, concurrency=8),
    constraints=(
        LatencyLimit(metric=LatencyMetric.TTFT, limit=0.5, quantile="p95"),
        LossLimit(limit=0.02),
        LossLimit(limit=1.5, kind=LossKind.ABSOLUTE, task="mmlu"),
    ),
    objective=Objective.FASTEST,
    aliases=("chat", "chatbot", "实时聊天", "聊天"),
)
BATCH = Preset(
    id="offline-batch",
    name="Offline batch",
    description="Nobody waits.",
    workload=Workload(input_tokens=2048, output_tokens=512, concurrency=64),
    constraints=(SchemeFilter(words=("gguf",), exclude=True), FormatFilter(name="safetensors")),
    objective=Objective.HIGHEST_THROUGHPUT,
    aliases=("batch", "离线批处理", "批处理"),
)
CHEAP = Preset(
    id="low-cost",
    name="Low-cost deployment",
    description="As little hardware as possible.",
    workload=Workload(),
    objective=Objective.CHEAPEST,
    aliases=("budget", "低成本"),
)
TASKS = ("MMLU", "MMLU-Pro", "GSM8K", "MBPP", "MBPP+", "WikiText-2", "zero-shot average of 8")


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary.build(MODELS, DEVICES, (CHAT, BATCH, CHEAP), TASKS)
