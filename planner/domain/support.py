"""Support: which formats a GPU and a runtime can compute with, by compute capability and version.

A format below its native capability may still run with its weights alone quantized, at the 16-bit rate. Sources: vLLM,
"Quantization: supported hardware" (v0.15.1); vLLM issue 31085, whose log says that FP4 runs weight-only through Marlin
without native units; bitsandbytes, "Installation". First versions name their source each; one that nobody states is
unknown, which is said and forbids nothing.
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
class First:
    """The first version of a runtime that has a kernel, and who says so."""

    version: str
    source: str
    is_least: bool = True
    """False where the source shows that this version has it, not that earlier ones lack it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """Least compute capability of a kernel, and the first version of the runtimes that brought it, where that is known."""

    native: Capability
    weight_only: Capability | None = None
    """Capability from which the weights alone stay in the format; None where there is no such way."""
    since: Mapping[str, First] = field(default_factory=dict[str, First])
    source: str


_HARDWARE: Final = "vLLM 0.15.1, Quantization: supported hardware"
SUPPORT: Final[Mapping[Kernel, Support]] = {
    Kernel.FP8: Support(native=(8, 9), weight_only=(8, 0), source=_HARDWARE),
    Kernel.FP8_WEIGHTS: Support(native=(8, 0), source=_HARDWARE),
    Kernel.INT8: Support(native=(7, 5), source=_HARDWARE),
    Kernel.AWQ: Support(
        native=(7, 5),
        since={
            "vllm": First(version="0.2.0", source="vLLM issue 1155"),
            "transformers": First(
                version="4.35.2", source="transformers documentation v4.35.2, Quantization", is_least=False
            ),
        },
        source=_HARDWARE,
    ),
    Kernel.GPTQ: Support(
        native=(7, 0),
        since={
            "vllm": First(version="0.2.6", source="QwenLM/Qwen issue 1070"),
            "transformers": First(
                version="4.33.0", source="transformers documentation v4.33.0, Quantization", is_least=False
            ),
        },
        source=_HARDWARE,
    ),
    Kernel.NF4: Support(
        native=(6, 0),
        since={
            "transformers": First(
                version="4.36.0", source="transformers documentation v4.36.0, Quantization", is_least=False
            )
        },
        source="bitsandbytes, Installation: NF4 needs compute capability 6.0",
    ),
    Kernel.GGUF: Support(
        native=(5, 0),
        since={"vllm": First(version="0.5.5", source="kserve pull request 3911; vLLM pull request 5191")},
        source="llama.cpp, docs/build.md: CUDA architectures",
    ),
    Kernel.MXFP4: Support(
        native=(10, 0),
        weight_only=(8, 0),
        since={"vllm": First(version="0.10.1", source="vLLM v0.10.1, release notes: GPT-OSS")},
        source="vLLM issue 31085",
    ),
    Kernel.NVFP4: Support(native=(10, 0), weight_only=(8, 0), source="vLLM issue 31085"),
    Kernel.MXFP8: Support(native=(10, 0), source="OCP Microscaling; NVIDIA Blackwell tensor cores"),
}


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
    unsure: str | None = None
    if version is not None and runtime is not None:
        first = support.since.get(runtime)
        if first is None and (kernel, runtime) != (Kernel.GGUF, "llama.cpp"):
            unsure = f"{kernel.value}: which version of {runtime} was the first is not known"
        elif first is not None and _numbers(version) < _numbers(first.version):
            needs = f"{kernel.value}: {runtime} {first.version}"
            if first.is_least:
                return SupportVerdict(
                    runs=False, detail=f"{needs} is needed, {version} is asked for ({first.source})"
                )
            unsure = f"{needs} is known to have it, {version} is asked for ({first.source})"
    if capability is None or capability >= support.native:
        return SupportVerdict(runs=True, detail=unsure)
    needs = f"{kernel.value}: compute capability {_dotted(support.native)} is needed"
    if support.weight_only is not None and capability >= support.weight_only:
        detail = f"{needs} to compute in it, at {_dotted(capability)} only the weights are in it ({support.source})"
        detail = f"{detail}; {unsure}" if unsure else detail
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
