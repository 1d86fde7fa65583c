"""Records for tests and benchmarks of the planner: plausible models, variants, devices and evidence from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from planner.choose.index import Index
from planner.domain.architecture import Architecture, Experts, LatentAttention
from planner.domain.device import Device, DeviceKind, Peak
from planner.domain.evaluation import Evaluation
from planner.domain.figure import Basis, Figure, Interval, exact
from planner.domain.model import Model
from planner.domain.profile import Distribution, MemoryUse, Profile, ProfilePoint
from planner.domain.runtime import Runtime
from planner.domain.scheme import ActivationScaling, NumberFormat, Precision, Scheme
from planner.domain.units import GIB, Unit
from planner.domain.variant import Artifact, FileFormat, Variant, manifest_digest
from planner.domain.workload import Workload
from planner.estimate.weights import modelled_weight_bytes

T = TypeVar("T")

SCHEMES = {
    "bf16": Scheme(weight=Precision(format=NumberFormat.BF16)),
    "int8": Scheme(weight=Precision(format=NumberFormat.INT8)),
    "int8-dynamic": Scheme(
        weight=Precision(format=NumberFormat.INT8),
        activation=Precision(format=NumberFormat.INT8),
        activation_scaling=ActivationScaling.DYNAMIC,
    ),
    "int4-g128": Scheme(weight=Precision(format=NumberFormat.INT4, group_size=128), method="gptq"),
    "int4-g32": Scheme(weight=Precision(format=NumberFormat.INT4, group_size=32), method="awq"),
    "int4-kv8": Scheme(
        weight=Precision(format=NumberFormat.INT4, group_size=64), kv=Precision(format=NumberFormat.FP8)
    ),
    "q4_k_m": Scheme(weight=Precision(format=NumberFormat.Q4_K), label="q4_k_m", mixed=True),
    "q8_0": Scheme(weight=Precision(format=NumberFormat.Q8_0)),
}
LLAMA_2_13B = Architecture(
    hidden_size=5120, layers=40, heads=40, kv_heads=40, head_dim=128, intermediate_size=13824, vocab_size=32000,
    max_context=4096,
)  # fmt: skip
LLAMA_3_8B = Architecture(
    hidden_size=4096, layers=32, heads=32, kv_heads=8, head_dim=128, intermediate_size=14336, vocab_size=128256,
    max_context=8192,
)  # fmt: skip
MISTRAL_24B = Architecture(
    hidden_size=5120, layers=40, heads=32, kv_heads=8, head_dim=128, intermediate_size=32768, vocab_size=131072,
    max_context=32768,
)  # fmt: skip
GEMMA_3_12B = Architecture(
    hidden_size=3840, layers=48, heads=16, kv_heads=8, head_dim=256, intermediate_size=15360, vocab_size=262208,
    tied_embeddings=True, sliding_window=1024, sliding_layers=40, max_context=131072, norms_per_layer=4,
)  # fmt: skip
QWEN_3_30B = Architecture(
    hidden_size=2048, layers=48, heads=32, kv_heads=4, head_dim=128, intermediate_size=6144, vocab_size=151936,
    max_context=40960, experts=Experts(count=128, active=8, intermediate_size=768),
)  # fmt: skip
DEEPSEEK_V3 = Architecture(
    hidden_size=7168, layers=61, heads=128, kv_heads=128, head_dim=128, intermediate_size=18432, vocab_size=129280,
    max_context=163840,
    experts=Experts(count=256, active=8, intermediate_size=2048, shared_intermediate_size=2048, dense_layers=3),
    mla=LatentAttention(
        kv_lora_rank=512, rope_head_dim=64, nope_head_dim=128, value_head_dim=128, query_lora_rank=1536
    ),
)  # fmt: skip


def model(
    name: str,
    architecture: Architecture,
    size: float,
    *,
    family: str = "Test",
    license_text: str | None = None,
) -> Model:
    return Model(
        id=name,
        name=name,
        family=family,
        architecture=architecture,
        parameters=architecture.parameters,
        reference_format=NumberFormat.BF16,
        size_billions=size,
        license=license_text,
    )


MODELS = (
    model("llama-2-13b", LLAMA_2_13B, 13, family="Llama-2", license_text="Llama 2 Community License"),
    model("llama-3-8b", LLAMA_3_8B, 8, family="Llama-3", license_text="Llama 3 Community License"),
    model("mistral-24b", MISTRAL_24B, 24, family="Mistral", license_text="Apache-2.0"),
    model("gemma-3-12b", GEMMA_3_12B, 12, family="Gemma-3", license_text=None),
    model("qwen3-30b-a3b", QWEN_3_30B, 30, family="Qwen3", license_text="Apache-2.0"),
)
GPU = Device(
    id="gpu-24", name="Test GPU 24GB", kind=DeviceKind.GPU, vendor="Test", memory_bytes=24 * GIB,
    usable_bytes=int(23.6 * GIB), bandwidth_bytes_per_second=1.0e12, peak=Peak(bf16=1.6e14, int8=3.2e14),
)  # fmt: skip
BOARD = Device(
    id="board-8", name="Test Board 8GB", kind=DeviceKind.BOARD, vendor="Test", memory_bytes=8 * GIB
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def variant(
    of: Model,
    scheme: str,
    *,
    name: str | None = None,
    weights: Figure | None = None,
    held: bool = True,
    runtimes: tuple[str, ...] = (),
    salt: int = 0,
) -> Variant:
    """Return a variant; held ones have one file of their weights' size, whose digest follows from the name."""
    chosen = SCHEMES[scheme]
    title = name or f"{of.id}-{scheme}-{salt}"
    size = weights or modelled_weight_bytes(of.architecture, chosen)
    if weights is None and held:
        size = exact(float(round(size.value)), Unit.BYTES, basis=Basis.MEASURED)
    digest = f"{random.Random(title).getrandbits(256):064x}"
    files = (Artifact(path="model.safetensors", size=round(size.value), sha256=digest),) if held else ()
    return Variant(
        id=manifest_digest(files) if files else f"published:{of.id}/{title}",
        model_id=of.id,
        name=title,
        scheme=chosen,
        file_format=FileFormat.GGUF if chosen.weight.format.is_gguf else FileFormat.SAFETENSORS,
        weight_bytes=size,
        parameters=of.parameters,
        artifacts=files,
        runtimes=runtimes,
    )


def evaluation(
    of: Variant, loss: float, *, half: float | None = None, task: str = "mmlu", basis: Basis = Basis.MEASURED
) -> Evaluation:
    interval = None if half is None else Interval(lo=loss - half, hi=loss + half, confidence=0.9)
    return Evaluation(
        id=f"evaluation:{of.id}:{task}",
        variant_id=of.id,
        task=task,
        metric="accuracy",
        higher_is_better=True,
        basis=basis,
        baseline_score=0.6,
        variant_score=0.6 * (1 - loss),
        relative_loss=Figure(value=loss, unit=Unit.RATIO, basis=basis, interval=interval),
        items=1000,
    )


def profile(
    of: Variant,
    device: Device,
    points: dict[Workload, tuple[float, float]],
    *,
    quantile: str = "p50",
    basis: Basis = Basis.MEASURED,
    runtime: str = "transformers",
    devices: int = 1,
    peak_bytes: int | None = None,
    doubt: str | None = None,
    measured_at: datetime | None = NOW,
    synthetic: bool = False,
) -> Profile:
    """Return a profile with (TTFT, TPOT) seconds at each workload, known as one quantile beside the mean."""

    def seconds(value: float) -> Distribution:
        known: dict[str, Any] = {} if quantile == "mean" else {quantile: value}
        return Distribution(samples=200, mean=value, **known)

    memory = MemoryUse(peak_device_bytes=peak_bytes) if peak_bytes else MemoryUse()
    return Profile(
        id=f"profile:{of.id}:{device.id}:{runtime}:{basis.value}:{devices}",
        variant_id=of.id,
        device_id=device.id,
        runtime=Runtime(name=runtime, version="1"),
        basis=basis,
        devices=devices,
        points=tuple(
            ProfilePoint(workload=load, ttft_seconds=seconds(ttft), tpot_seconds=seconds(tpot), memory=memory)
            for load, (ttft, tpot) in points.items()
        ),
        measured_at=measured_at,
        doubt=doubt,
        synthetic_weights=synthetic,
    )


@dataclass(frozen=True)
class Records:
    """Everything an index is built from."""

    models: tuple[Model, ...]
    variants: tuple[Variant, ...]
    evaluations: tuple[Evaluation, ...]
    profiles: tuple[Profile, ...]
    devices: tuple[Device, ...] = (GPU, BOARD)

    def index(self, *, revision: int = 1) -> Index:
        return Index.build(
            models=self.models,
            variants=self.variants,
            evaluations=self.evaluations,
            profiles=self.profiles,
            devices=self.devices,
            presets=(),
            revision=revision,
        )

    def shuffled(self, seed: int) -> Records:
        order = random.Random(seed)

        def mixed(rows: tuple[T, ...]) -> tuple[T, ...]:
            return tuple(order.sample(rows, len(rows)))

        return Records(
            mixed(self.models),
            mixed(self.variants),
            mixed(self.evaluations),
            mixed(self.profiles),
            mixed(self.devices),
        )


DEFAULT_LOAD = Workload()


def generate(count: int, *, seed: int, workload: Workload = DEFAULT_LOAD, profiled: float = 0.2) -> Records:
    """Return `count` variants of MODELS with losses on two tasks, some unknown, some uncertain, some measured for speed."""
    order = random.Random(seed)
    schemes = list(SCHEMES)
    variants: list[Variant] = []
    evaluations: list[Evaluation] = []
    profiles: list[Profile] = []
    for number in range(count):
        of = MODELS[order.randrange(len(MODELS))]
        scheme = order.choice(schemes)
        size = modelled_weight_bytes(of.architecture, SCHEMES[scheme]).value * order.uniform(0.97, 1.03)
        made = variant(
            of,
            scheme,
            weights=exact(float(round(size)), Unit.BYTES, basis=Basis.MEASURED),
            held=order.random() < 0.7,
            salt=number,
        )
        variants.append(made)
        for task in ("mmlu", "gsm8k"):
            if order.random() < 0.8:
                half = None if order.random() < 0.3 else order.uniform(0.0005, 0.02)
                evaluations.append(evaluation(made, order.uniform(-0.005, 0.06), half=half, task=task))
        if order.random() < profiled:
            times = (order.uniform(0.02, 1.0), order.uniform(0.003, 0.08))
            profiles.append(
                profile(made, GPU, {workload: times}, quantile=order.choice(["p50", "p95", "mean"]))
            )
    return Records(MODELS, tuple(variants), tuple(evaluations), tuple(profiles))
