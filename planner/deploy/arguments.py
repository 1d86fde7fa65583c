"""Arguments: the flags of a serve command, each derived from the plan and carrying the reason for its value.

Limits come from the workload, the memory fraction from the memory estimate's upper end over the capacity of one device,
parallelism from the placement. Where the server listens and where the files are is left to who writes the command.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from planner.deploy.runtimes import RuntimeFacts
from planner.domain.device import DeviceKind
from planner.domain.figure import Figure
from planner.domain.outcome import MemoryEstimate
from planner.domain.scheme import Precision
from planner.domain.units import format_bytes
from planner.domain.workload import Workload
from planner.estimate.priors import LLAMA_CPP as LLAMA_CPP_PRIOR

MAX_FRACTION: Final = 0.98
"""Highest share of a device handed to a runtime: what the driver itself takes comes on top."""
MIN_FRACTION: Final = 0.05


class Argument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One flag with its value, as words of a command line, and why it has that value."""

    words: tuple[str, ...]
    reason: str


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the flags are derived from."""

    workload: Workload
    memory: MemoryEstimate
    """Peak of one device under the runtime that is started."""
    kv: Precision | None
    tensor_parallel: int
    pipeline_parallel: int
    kind: DeviceKind
    containers: frozenset[str]


def arguments_for(facts: RuntimeFacts, settings: Settings) -> tuple[Argument, ...]:
    """Return the flags of `facts`' serve command for the settings, in a fixed order."""
    writer = {"vllm": _vllm, "sglang": _sglang, "llama.cpp": _llama_cpp, "transformers": _transformers}
    return tuple(writer[facts.name](facts, settings))


def _upper(*figures: Figure) -> float:
    return sum(figure.interval.hi if figure.interval else figure.value for figure in figures)


def _fraction(need: float, of: float) -> str:
    """Return the share as two digits, rounded up, so that rounding never takes memory away."""
    share = min(max(math.ceil(need / of * 100) / 100, MIN_FRACTION), MAX_FRACTION)
    return f"{share:.2f}"


def _context(settings: Settings) -> str:
    workload = settings.workload
    return f"{workload.input_tokens} input and {workload.output_tokens} output tokens"


def _option(flag: str, value: object, reason: str) -> Argument:
    return Argument(words=(flag, str(value)), reason=reason)


def _limits(settings: Settings, *, length: str, batch: str) -> list[Argument]:
    return [
        _option(length, settings.workload.context_tokens, _context(settings)),
        _option(batch, settings.workload.concurrency, "concurrency of the scenario"),
    ]


def _parallel(settings: Settings, *, tensor: str, pipeline: str) -> list[Argument]:
    found: list[Argument] = []
    if settings.tensor_parallel > 1:
        found.append(
            _option(tensor, settings.tensor_parallel, "devices the layers are split over in the plan")
        )
    if settings.pipeline_parallel > 1:
        found.append(_option(pipeline, settings.pipeline_parallel, "stages of the plan"))
    return found


def _cache_type(facts: RuntimeFacts, settings: Settings, *flags: str) -> list[Argument]:
    if settings.kv is None:
        return []
    word = facts.kv_words[settings.kv.format]
    return [
        Argument(words=(flag, word), reason="format of the KV cache in the variant's scheme")
        for flag in flags
    ]


def _vllm(facts: RuntimeFacts, settings: Settings) -> list[Argument]:
    memory = settings.memory
    found = _limits(settings, length="--max-model-len", batch="--max-num-seqs")
    if memory.capacity is not None:
        need = _upper(memory.total)
        found.append(
            _option(
                "--gpu-memory-utilization",
                _fraction(need, memory.capacity.value),
                f"upper end of the peak, {format_bytes(need)}, of {format_bytes(memory.capacity.value)}",
            )
        )
    found += _cache_type(facts, settings, "--kv-cache-dtype")
    found += _parallel(settings, tensor="--tensor-parallel-size", pipeline="--pipeline-parallel-size")
    if settings.containers & {"fbgemm_fp8", "fp_quant"}:
        found.append(
            Argument(
                words=("--allow-deprecated-quantization",),
                reason="vLLM 0.33.0 loads this quantization method only when told so",
            )
        )
    return found


def _sglang(facts: RuntimeFacts, settings: Settings) -> list[Argument]:
    memory = settings.memory
    found = _limits(settings, length="--context-length", batch="--max-running-requests")
    if memory.capacity is not None:
        need = _upper(memory.weights, memory.kv_cache)
        found.append(
            _option(
                "--mem-fraction-static",
                _fraction(need, memory.capacity.value),
                f"upper end of weights and KV cache, {format_bytes(need)}, of {format_bytes(memory.capacity.value)}",
            )
        )
    found += _cache_type(facts, settings, "--kv-cache-dtype")
    found += _parallel(settings, tensor="--tp-size", pipeline="--pp-size")
    if "bitsandbytes" in settings.containers:
        reason = "SGLang does not read this method from config.json"
        found += [
            Argument(words=("--quantization", "bitsandbytes"), reason=reason),
            Argument(words=("--load-format", "bitsandbytes"), reason=reason),
        ]
    return found


def _llama_cpp(facts: RuntimeFacts, settings: Settings) -> list[Argument]:
    block, workload = LLAMA_CPP_PRIOR.kv_block_tokens, settings.workload
    slots = workload.concurrency
    each = math.ceil(workload.context_tokens / block) * block
    found = [
        _option(
            "--ctx-size",
            each * slots,
            f"{_context(settings)}, in whole blocks of {block}, for each of {slots} slots",
        ),
        _option("--parallel", slots, "concurrency of the scenario"),
    ]
    if settings.kind is DeviceKind.GPU:
        found.append(_option("--n-gpu-layers", "all", "every layer is planned on the device"))
    elif settings.kind is DeviceKind.CPU:
        found.append(_option("--n-gpu-layers", 0, "the plan is for a processor"))
    found += _cache_type(facts, settings, "--cache-type-k", "--cache-type-v")
    if settings.kv is not None and settings.kv.format.is_gguf:
        found.append(
            Argument(words=("--flash-attn", "on"), reason="a quantized cache of values needs flash attention")
        )
    devices = settings.tensor_parallel * settings.pipeline_parallel
    if devices > 1:
        found += [
            _option("--split-mode", "layer", "layers and their cache are divided over the devices"),
            _option("--tensor-split", ",".join(["1"] * devices), f"{devices} equal shares"),
        ]
    return found


def _transformers(facts: RuntimeFacts, settings: Settings) -> list[Argument]:
    del facts  # its options name neither a cache type nor a length
    memory = settings.memory
    where = "cpu" if settings.kind is DeviceKind.CPU else "auto"
    found = [_option("--device", where, "the kind of device of the plan")]
    if settings.workload.concurrency > 1:
        found.append(
            Argument(words=("--continuous-batching",), reason="more than one request at a time is planned")
        )
        if memory.capacity is not None and settings.kind is DeviceKind.GPU:
            free = memory.capacity.value - memory.weights.value
            need = _upper(memory.kv_cache)
            if free > 0:
                found.append(
                    _option(
                        "--cb-max-memory-percent",
                        _fraction(need, free),
                        f"upper end of the KV cache, {format_bytes(need)}, of {format_bytes(free)} left by the weights",
                    )
                )
    return found
