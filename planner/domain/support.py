"""Support: which formats a GPU and a runtime can compute with, by compute capability and version.

A format below its native capability may still run with its weights alone quantized, at the 16-bit rate. Sources: vLLM,
"Quantization: supported hardware" (v0.15.1); vLLM issue 31085, whose log says that FP4 runs weight-only through Marlin
without native units; bitsandbytes, "Installation"; release notes of vLLM and transformers for the first versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from planner.domain.scheme import NumberFormat, Scheme

Capability = tuple[int, int]


class Kernel(StrEnum):
    """What a scheme needs computed, where that is not possible everywhere."""

    FP8 = "FP8 weights and activations"
    FP8_WEIGHTS = "FP8 weights"
    INT8 = "INT8 weights and activations"
    AWQ = "AWQ"
    GPTQ = "GPTQ"
    NF4 = "NF4"
    GGUF = "GGUF"
    MXFP4 = "MXFP4"
    NVFP4 = "NVFP4"
    MXFP8 = "MXFP8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """Least compute capability of a kernel, and the first version of the runtimes that brought it."""

    native: Capability
    weight_only: Capability | None = None
    """Capability from which the weights alone stay in the format; None where there is no such way."""
    since: Mapping[str, str] = field(default_factory=dict[str, str])
    source: str


_HARDWARE: Final = "vLLM 0.15.1, Quantization: supported hardware"
SUPPORT: Final[Mapping[Kernel, Support]] = {
    Kernel.FP8: Support(
        native=(8, 9), weight_only=(8, 0), since={"vllm": "0.5.0", "transformers": "4.45"}, source=_HARDWARE
    ),
    Kernel.FP8_WEIGHTS: Support(native=(8, 0), since={"vllm": "0.5.0", "transformers": "4.45"}, source=_HARDWARE),
    Kernel.INT8: Support(native=(7, 5), since={"vllm": "0.5.0", "transformers": "4.45"}, source=_HARDWARE),
    Kernel.AWQ: Support(native=(7, 5), since={"vllm": "0.2.0", "transformers": "4.35"}, source=_HARDWARE),
    Kernel.GPTQ: Support(native=(7, 0), since={"vllm": "0.2.6", "transformers": "4.32"}, source=_HARDWARE),
    Kernel.NF4: Support(
        native=(6, 0),
        since={"vllm": "0.5.0", "transformers": "4.30"},
        source="bitsandbytes, Installation: NF4 needs compute capability 6.0",
    ),
    Kernel.GGUF: Support(native=(5, 0), since={"vllm": "0.5.5"}, source="llama.cpp, docs/build.md: CUDA architectures"),
    Kernel.MXFP4: Support(
        native=(10, 0), weight_only=(8, 0), since={"vllm": "0.10.1", "transformers": "4.55"}, source="vLLM issue 31085"
    ),
    Kernel.NVFP4: Support(native=(10, 0), weight_only=(8, 0), since={"vllm": "0.8.5"}, source="vLLM issue 31085"),
    Kernel.MXFP8: Support(native=(10, 0), source="OCP Microscaling; NVIDIA Blackwell tensor cores"),
}  # fmt: skip


def kernel_of(scheme: Scheme) -> Kernel | None:
    """Return the kernel a scheme needs, None for 16- and 32-bit weights and for those any GPU can unpack."""
    weight, activation = scheme.weight.format, scheme.activation
    if weight.is_gguf:
        return Kernel.GGUF
    match weight:
        case NumberFormat.FP8:
            return Kernel.FP8 if activation is not None else Kernel.FP8_WEIGHTS
        case NumberFormat.NVFP4:
            return Kernel.NVFP4
        case NumberFormat.MXFP4:
            return Kernel.MXFP4
        case NumberFormat.MXFP8:
            return Kernel.MXFP8
        case NumberFormat.NF4:
            return Kernel.NF4
        case _ if activation is not None and activation.format is NumberFormat.INT8:
            return Kernel.INT8
        case _:
            return {"awq": Kernel.AWQ, "gptq": Kernel.GPTQ}.get(scheme.method or "")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _dotted(capability: Capability) -> str:
    return ".".join(map(str, capability))


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportVerdict:
    """Whether a scheme runs, and what to know about it."""

    runs: bool
    detail: str | None = None


def supported(
    scheme: Scheme, *, capability: Capability | None, runtime: str | None = None, version: str | None = None
) -> SupportVerdict:
    """Return whether `scheme` runs on GPUs of `capability` under a version of a runtime; None is not checked."""
    kernel = kernel_of(scheme)
    if kernel is None:
        return SupportVerdict(runs=True)
    support = SUPPORT[kernel]
    first = support.since.get(runtime or "")
    if version is not None and first is not None and _numbers(version) < _numbers(first):
        return SupportVerdict(
            runs=False, detail=f"{kernel.value}: {runtime} {first} is needed, {version} is asked for"
        )
    if capability is None or capability >= support.native:
        return SupportVerdict(runs=True)
    needs = f"{kernel.value}: compute capability {_dotted(support.native)} is needed"
    if support.weight_only is not None and capability >= support.weight_only:
        detail = f"{needs} to compute in it, at {_dotted(capability)} only the weights are in it ({support.source})"
        return SupportVerdict(runs=True, detail=detail)
    least = support.weight_only or support.native
    also = f", {_dotted(least)} with the weights alone in it" if least != support.native else ""
    return SupportVerdict(
        runs=False, detail=f"{needs}{also}; this device has {_dotted(capability)} ({support.source})"
    )


def capability_of(text: str | None) -> Capability | None:
    """Return the compute capability a device's record states, such as "8.9"."""
    if text is None:
        return None
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)
