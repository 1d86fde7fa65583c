"""Priors: every constant the estimators use, with unit, spread and source, per runtime.

A constant moves with the version of the runtime, so each one is a prior to be replaced by measurement, never a fact. The
spread [lo, hi] holds the value with probability CONFIDENCE. Sources name the tool or document that prints the numbers.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Final

import msgspec

from planner.domain.figure import Basis, Figure, Interval
from planner.domain.runtime import canonical
from planner.domain.units import GIB, MIB, Unit

CONFIDENCE: Final = 0.95
"""Two-sided confidence of every prior's spread."""
Z: Final = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
"""Standard deviations from the middle to an end of a spread at CONFIDENCE."""


class Prior(msgspec.Struct, frozen=True, kw_only=True):
    """A constant with its spread, unit and source."""

    value: float
    lo: float
    hi: float
    unit: Unit
    source: str

    def figure(self) -> Figure:
        """Return the prior as a modelled figure that cites its source."""
        interval = Interval(lo=self.lo, hi=self.hi, confidence=CONFIDENCE)
        return Figure(
            value=self.value, unit=self.unit, basis=Basis.MODELLED, interval=interval, note=self.source
        )


def _bytes(value: float, lo: float, hi: float, source: str) -> Prior:
    return Prior(value=value, lo=lo, hi=hi, unit=Unit.BYTES, source=source)


def _ratio(value: float, lo: float, hi: float, source: str) -> Prior:
    return Prior(value=value, lo=lo, hi=hi, unit=Unit.RATIO, source=source)


def _seconds(value: float, lo: float, hi: float, source: str) -> Prior:
    return Prior(value=value, lo=lo, hi=hi, unit=Unit.SECONDS, source=source)


# -- memory that does not depend on the runtime -----------------------------------------------------------------------

DRIVER_VISIBLE: Final = _ratio(
    0.975, 0.93, 0.995,
    "memory a driver exposes of the nominal size: H100 79.19 of 80 GiB (llm-d-planner), 31.38 of 32 GiB "
    "(vLLM issue 51590), L40S 46,068 MiB of 48 GiB with ECC on (nvidia-smi)",
)  # fmt: skip
APPLE_VISIBLE: Final = _ratio(
    0.70, 0.65, 0.75, "Metal's recommendedMaxWorkingSetSize: two thirds to three quarters of unified memory"
)
SYSTEM_RESERVE_STEPS: Final = (
    (4 * GIB, 0.25),
    (4 * GIB, 0.20),
    (8 * GIB, 0.10),
    (112 * GIB, 0.06),
    (float("inf"), 0.02),
)
"""Google Kubernetes Engine's published reservation: share of each next slice of a node's memory kept for the system."""
SYSTEM_RESERVE: Final = _ratio(
    0.5, 0.25, 1.0, "share of Google Kubernetes Engine's node reservation that an operating system needs"
)

WEIGHT_SPREAD: Final = _ratio(
    1.0, 0.95, 1.05, "assumed where a source prints weight bytes without an interval"
)
SHARD_SPREAD: Final = _ratio(
    1.0, 1.0, 1.02, "norms are replicated and the vocabulary is padded on every rank under tensor parallelism"
)
KV_SPREAD: Final = _ratio(1.0, 1.0, 1.05, "block and page padding of several percent (BLIS, logs of vLLM)")
PEAK_SPREAD: Final = _ratio(
    1.0, 0.98, 1.02, "run-to-run repeatability assumed of a peak that was recorded without an interval"
)
PEAK_SHIFT_SPREAD: Final = _ratio(
    1.0, 0.5, 1.6,
    "modelled difference in activations between a measured workload point and the one asked for: that of an INT8 13B on an "
    "H200 moved by 0.8 to 1.0 times it",
)  # fmt: skip
LATENT_BYTES_NOTE: Final = "the latent cache of MLA is replicated on every rank, not split"


class RuntimePrior(msgspec.Struct, frozen=True, kw_only=True):
    """What a runtime adds to weights and KV cache, and how near it comes to the roofline.

    Activation bytes = `activation_fixed` + vocab x `activation_per_vocab` x (logit rows) + chunk tokens x (hidden x
    `hidden_copies` + mlp width x `mlp_copies`) x element bytes, where a chunk is at most `chunk_tokens` of the prompts.
    """

    name: str
    kv_block_tokens: int
    activation_fixed: float
    activation_per_vocab: float
    """Bytes per vocabulary entry and row of logits."""
    logits_per_chunk: bool
    """Logits are kept for every token of a chunk (True), or once per sequence (False)."""
    logits_fixed: bool
    """The logits buffer is sized by the runtime's own limits, whatever the workload."""
    hidden_copies: float
    mlp_copies: float
    chunk_tokens: int
    element_bytes: float | None
    """Bytes per activation; None is the compute type of the scheme."""
    activation_spread: Prior
    overhead_gpu: Prior
    overhead_cpu: Prior
    overhead_multi_device: Prior
    """Added on every device when more than one works together."""
    fragmentation: Prior
    """Share of KV cache and activations lost in the allocator."""
    decode_efficiency: Prior
    """Share of memory bandwidth reached in a decode step."""
    prefill_efficiency: Prior
    """Share of peak matrix throughput reached in prefill."""
    layer_overhead_gpu: Prior
    """Seconds per layer and step that no roofline explains: launches, scheduling."""
    layer_overhead_cpu: Prior
    weights_again_cpu: Prior | None = None
    """Share of the weights that a CPU process holds once more, unpacked or packed anew; None is none."""
    splits_layers: bool = False
    """Several devices hold different layers and work in turn, rather than a share of every layer at once."""
    prefill_dispatch_gpu: float = 0.0
    """Seconds per layer that dispatching a prefill takes at least: the device waits for it when a prompt is short."""
    accumulates_in_fp16: bool = False
    """Its 16-bit products accumulate in FP16 where the device has a rate of its own for that."""
    overlaps_chunks: bool = True
    """Devices that work in turn begin the next chunk of a prompt while others are at the last one."""


_CONTEXT = "CUDA context: 457 MiB (Ollama), 650 MB (gpu_poor)"
_NCCL = _bytes(392 * MIB, 342 * MIB, 1024 * MIB, "NCCL buffers: 342 MiB for 2 GPUs, 392 MiB for 4 or 8 (AIConfigurator)")  # fmt: skip
_LAYER_CPU = _seconds(20e-6, 5e-6, 100e-6, "dispatch of a dozen operators per layer at 1 to 8 µs")

GENERAL: Final = RuntimePrior(
    name="any runtime",
    kv_block_tokens=16,
    activation_fixed=0,
    activation_per_vocab=8,
    logits_per_chunk=False,
    logits_fixed=False,
    hidden_copies=6,
    mlp_copies=3,
    chunk_tokens=8192,
    element_bytes=None,
    activation_spread=_ratio(1.0, 0.5, 2.5, "runtime not stated: spread between eager and planned allocation"),
    overhead_gpu=_bytes(0.75 * GIB, 0.45 * GIB, 1.5 * GIB, f"{_CONTEXT}; llama.cpp keeps 1 GiB per device free"),
    overhead_cpu=_bytes(0.3 * GIB, 0.1 * GIB, 0.7 * GIB, "process and libraries, 0.5 GB in llmfit and whichllm"),
    overhead_multi_device=_NCCL,
    fragmentation=_ratio(0.05, 0.0, 0.15, "allocator rounding of PyTorch's caching allocator"),
    decode_efficiency=_ratio(0.62, 0.31, 0.85, "0.55 (llmfit), 0.70 (tt-mlir), 0.71 (BLIS), 0.80 (AIConfigurator)"),
    prefill_efficiency=_ratio(0.40, 0.20, 0.70, "BLIS: 0.45 H100, 0.38 A100, 0.32 L40S; matmul alone reaches 0.8"),
    layer_overhead_gpu=_seconds(100e-6, 30e-6, 600e-6, "between BLIS (32 µs per layer) and eager dispatch"),
    layer_overhead_cpu=_LAYER_CPU,
)  # fmt: skip

TRANSFORMERS: Final = RuntimePrior(
    name="transformers",
    kv_block_tokens=1,
    activation_fixed=0,
    activation_per_vocab=8,
    logits_per_chunk=False,
    logits_fixed=False,
    hidden_copies=6,
    mlp_copies=3,
    chunk_tokens=2**40,
    element_bytes=None,
    activation_spread=_ratio(
        1.0, 0.6, 2.5,
        "live tensors of one layer of the eager implementation: gate, up and product; norm in FP32; measured on an H200, "
        "compiled, 0.8 to 1.0 times that; more where logits of the whole prompt are kept",
    ),
    overhead_gpu=_bytes(
        0.88 * GIB, 0.5 * GIB, 2.6 * GIB,
        f"{_CONTEXT}; measured on an H200 0.74 to 0.76 GiB beyond the allocator's, 0.03 in graphs, 0.1 in workspaces; 2.2 to "
        "2.7 GiB beyond weights and cache in Qwen's table for an A100",
    ),
    overhead_cpu=_bytes(0.3 * GIB, 0.1 * GIB, 0.6 * GIB, "interpreter, libraries and thread pools of PyTorch"),
    overhead_multi_device=_NCCL,
    fragmentation=_ratio(
        0.0, 0.0, 0.35,
        "kept by the allocator, 2 to 35 % of cache and activations on an H200, and given back when memory runs short",
    ),
    decode_efficiency=_ratio(0.5, 0.25, 0.8, "0.55 of bandwidth (llmfit), less without fused kernels"),
    prefill_efficiency=_ratio(0.35, 0.15, 0.65, "BLIS: 0.45 H100, 0.38 A100, 0.32 L40S, with fused kernels"),
    layer_overhead_gpu=_seconds(800e-6, 250e-6, 1200e-6, "0.8 ms per layer in eager mode (AIConfigurator)"),
    layer_overhead_cpu=_seconds(100e-6, 30e-6, 400e-6, "eager dispatch of about thirty operators per layer"),
)  # fmt: skip

VLLM: Final = RuntimePrior(
    name="vllm",
    kv_block_tokens=16,
    activation_fixed=0.69 * GIB,
    activation_per_vocab=12_361,
    logits_per_chunk=False,
    logits_fixed=True,
    hidden_copies=0,
    mlp_copies=0,
    chunk_tokens=8192,
    element_bytes=None,
    activation_spread=_ratio(
        1.0, 0.67, 1.45,
        "least squares of activation peak on vocabulary over the eleven families in llm-d-planner's vllm_memory_constants "
        "(vLLM 0.19, H100), residual 0.28 GiB",
    ),
    overhead_gpu=_bytes(
        1.31 * GIB, 0.78 * GIB, 2.12 * GIB, "non-torch 0.27 GiB and CUDA graphs 1.04 (0.51 to 1.85) GiB (llm-d-planner)"
    ),
    overhead_cpu=_bytes(1.0 * GIB, 0.4 * GIB, 2.0 * GIB, "server processes and libraries"),
    overhead_multi_device=_bytes(
        1.83 * GIB, 0.33 * GIB, 2.2 * GIB, "non-torch 2.10 GiB under tensor parallelism against 0.27 GiB (llm-d-planner)"
    ),
    fragmentation=_ratio(0.0, 0.0, 0.03, "paged cache; padding is in the cache's own spread"),
    decode_efficiency=_ratio(0.68, 0.45, 0.85, "0.71 (BLIS: weights x1.4), 0.80 (AIConfigurator)"),
    prefill_efficiency=_ratio(0.42, 0.22, 0.70, "BLIS: 0.45 H100, 0.38 A100, 0.32 L40S"),
    layer_overhead_gpu=_seconds(36e-6, 20e-6, 100e-6, "BLIS: 32 µs per layer and 126 µs per step"),
    layer_overhead_cpu=_LAYER_CPU,
)  # fmt: skip

LLAMA_CPP: Final = RuntimePrior(
    name="llama.cpp",
    kv_block_tokens=256,
    activation_fixed=0,
    activation_per_vocab=4,
    logits_per_chunk=True,
    logits_fixed=False,
    hidden_copies=2,
    mlp_copies=0,
    chunk_tokens=512,
    element_bytes=4,
    activation_spread=_ratio(
        1.0, 0.7, 2.2, "compute buffer with flash attention: 512 x (vocabulary + 2 hidden) FP32; more without it"
    ),
    overhead_gpu=_bytes(0.5 * GIB, 0.35 * GIB, 0.8 * GIB, f"{_CONTEXT}; 577 MB covers 95 % (oobabooga's regression)"),
    overhead_cpu=_bytes(0.1 * GIB, 0.03 * GIB, 0.3 * GIB, "a small native process"),
    overhead_multi_device=_bytes(0.25 * GIB, 0.1 * GIB, 0.6 * GIB, "a compute buffer and a context on every device"),
    fragmentation=_ratio(0.0, 0.0, 0.02, "everything is allocated once, before the first token"),
    decode_efficiency=_ratio(0.65, 0.4, 0.88, "0.55 (llmfit), 0.70 (tt-mlir), 0.80 (AIConfigurator)"),
    prefill_efficiency=_ratio(0.30, 0.10, 0.55, "matrix products on block formats below BLIS's 0.32 to 0.45"),
    layer_overhead_gpu=_seconds(
        90e-6, 30e-6, 150e-6, "fits 600 published TPOTs of llama.cpp best of 30 to 120 µs (tables cited as gpu_bench)"
    ),
    layer_overhead_cpu=_LAYER_CPU,
    splits_layers=True,
    accumulates_in_fp16=True,  # ggml-cuda calls cuBLAS with CUBLAS_COMPUTE_16F
)  # fmt: skip

COMPILED: Final = msgspec.structs.replace(
    GENERAL,
    name="compiled runtime",
    decode_efficiency=_ratio(
        0.70, 0.45, 0.88, "0.71 (BLIS), 0.80 (AIConfigurator): one graph or fused kernels a step"
    ),
    layer_overhead_gpu=_seconds(
        20e-6, 5e-6, 60e-6, "BLIS: 32 µs per layer with a scheduler; a captured graph has none"
    ),
)
"""Runtimes that compile the model or fuse its layers ahead of time."""

AUTOAWQ: Final = msgspec.structs.replace(
    COMPILED,
    name="autoawq",
    weights_again_cpu=_ratio(
        1.5,
        1.2,
        1.9,
        "AutoAWQ's README for IPEX on a Xeon: 2.4 to 2.7 times the weights of three models, cache left out",
    ),
)
"""Fused layers, but prompts go through kernels that unpack the weights: unlike the others in TTFT and, on CPUs, in memory."""

EXECUTORCH: Final = msgspec.structs.replace(
    COMPILED,
    name="executorch",
    overhead_cpu=_bytes(
        1.1 * GIB, 0.6 * GIB, 1.9 * GIB,
        "resident sets in Llama 3.2's model card: 0.8 to 1.5 GiB beyond weights and cache, six variants on a OnePlus 12",
    ),
)  # fmt: skip

IK_LLAMA_CPP: Final = msgspec.structs.replace(
    LLAMA_CPP, name="ik_llama.cpp", overlaps_chunks=False, accumulates_in_fp16=False
)
"""Its chunks take equally long each on 16 GPUs (ik_llama.cpp discussion 266): one after the other."""

REPLAYED: Final = msgspec.structs.replace(COMPILED, name="transformers, compiled", prefill_dispatch_gpu=1e-3)
"""Decode steps are replayed, prefill is dispatched: 0.8 ms per layer (AIConfigurator), 0.6 to 1.7 ms on an H200's host."""

RUNTIMES: Final = (
    GENERAL, TRANSFORMERS, VLLM, LLAMA_CPP, COMPILED, AUTOAWQ, EXECUTORCH, IK_LLAMA_CPP, REPLAYED,
)  # fmt: skip
_BY_NAME: Final = {
    "transformers": 1, "autogptq": 1,
    "vllm": 2, "sglang": 2, "lmdeploy": 2,
    "llama.cpp": 3, "ollama": 3, "ik_llama.cpp": 7,
    "autoawq": 5, "executorch": 6, "torchao": 4, "tinychat": 4, "gpt-fast": 4, "tensorrt-llm": 4, "tensorrt-edge-llm": 4, "mlc-llm": 4,
}  # fmt: skip
_BY_MODE: Final = {"eager": 1, "compiled": 4, "continuous": 2, "serving": 2}
PREALLOCATING: Final = frozenset({"vllm", "sglang", "tensorrt-llm", "lmdeploy", "tgi"})
"""Runtimes that fill the device with KV cache whatever the workload: their peak says nothing about what was needed."""


def runtime_code(name: str | None) -> int:
    """Return the index in RUNTIMES of the priors for the runtime called `name`; unknown ones share the general priors."""
    return 0 if name is None else _BY_NAME.get(canonical(name), 0)


def runtime_family(name: str, mode: str | None) -> int:
    """Return the index in RUNTIMES of what a recording was made with: its mode says more than the runtime's name."""
    if mode == "compiled" and canonical(name) == "transformers":
        return RUNTIMES.index(REPLAYED)
    return _BY_MODE.get(mode or "", runtime_code(name))


# -- latency ----------------------------------------------------------------------------------------------------------

STEP_OVERHEAD: Final = _seconds(126e-6, 50e-6, 1e-3, "BLIS: 126 µs per step")
ALL_REDUCE_LATENCY: Final = _seconds(
    10e-6, 5e-6, 30e-6, "10 µs per all-reduce between peers (AIConfigurator)"
)
HANDOVER: Final = _seconds(
    500e-6,
    50e-6,
    2e-3,
    "between devices that work in turn, per step: fits 323 published TPOTs of llama.cpp on 2 to 16 GPUs best of 0 to 2 ms",
)
DEFAULT_LINK: Final = 32e9
"""Bytes per second between devices whose interconnect is unknown: PCIe 4.0 x16 (AIConfigurator)."""
WEAK_SPREAD: Final = _ratio(1.0, 0.5, 1 / 0.35, "whichllm: speed x0.35 to x2 where evidence is weak")
"""Of 371 published TPOTs the roofline with general efficiency comes within this spread of 97 %."""
PREFILL_SPREAD: Final = _ratio(
    1.0, 0.36, 4.6,
    "5 % and 95 % quantiles of published over modelled TTFT at 163 points of llama.cpp, TensorRT Edge-LLM and TinyChat",
)  # fmt: skip
CLOSE_SPREAD: Final = _ratio(1.0, 1 / 1.6, 1 / 0.6, "whichllm: speed x0.6 to x1.6 between measured points")
NEAREST_SPREAD: Final = 1.1
"""Narrowest spread factor of a figure that was not measured at its own workload point."""
STAND_IN_BANDWIDTH: Final = 51.2e9
"""Bytes per second of two channels of DDR4-3200 (2 x 8 bytes x 3.2e9), where a measured device's own is unknown."""
STAND_IN_OPERATIONS: Final = 1e12
"""Operations per second in the same case: the order of magnitude of a CPU with vector units."""
STAND_IN_INTENSITY: Final = 150.0
"""Operations per byte of bandwidth of an accelerator whose matrix rate is unknown: A100 156, RTX 4090 164, H100 295."""
