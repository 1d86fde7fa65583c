"""Start-up logs of vLLM and llama.cpp: the terms of memory, which their benchmarks leave out.

A term that a log repeats for several devices is the largest one for vLLM, which prints each rank, and the sum of the device's
buffers for llama.cpp.
"""

from __future__ import annotations

import re
from typing import Final

from planner.domain.profile import Fact, MemoryUse
from planner.domain.runtime import Runtime
from planner.domain.units import GIB, MAX_BYTES, MIB
from planner.errors import InvalidFile
from planner.ingest.fields import clean
from planner.ingest.formats.format import CERTAIN, NO, Format
from planner.ingest.imported import Imported, ProfileDraft
from planner.ingest.source import Source

VLLM_PROTOCOL: Final = (
    "vLLM start-up log: weights as loading took, KV cache as it was made available, activation peak of its profiling run, "
    "CUDA graphs as capturing took, memory that is not PyTorch's as context; GiB"
)
LLAMA_PROTOCOL: Final = "llama.cpp log: model, KV and compute buffers of the device, MiB"
_GIB: Final = r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?GiB"
_VLLM: Final = {
    # vLLM up to 0.8 divides by 2**30 and prints "GB".
    "weights_bytes": re.compile(
        r"(?:Model loading took|Loading model weights took) ([0-9]{1,6}(?:\.[0-9]{1,6})?) ?Gi?B"
        rf"|model weights take {{1,9}}{_GIB}"
    ),
    "kv_cache_bytes": re.compile(
        rf"Available KV cache memory: {_GIB}|memory reserved for KV Cache is {_GIB}|available_kv_cache_memory {{1,9}}{_GIB}"
    ),
    "activation_bytes": re.compile(
        rf"{_GIB} for peak activation|PyTorch activation peak memory(?: takes)? {{1,9}}{_GIB}"
    ),
    "graph_bytes": re.compile(
        rf"Graph capturing finished in [0-9.]+ secs?, (?:took|took: ) ?{_GIB}|{_GIB} for CUDAGraph memory"
    ),
    "context_bytes": re.compile(rf"{_GIB} for non-torch memory|non_torch_memory(?: takes)? {{1,9}}{_GIB}"),
}
_CONSUMED: Final = re.compile(rf"{_GIB} for consumed memory \(weights \+ non-torch\)")
"""What vLLM prints since 0.33 in the place of weights and non-torch memory."""
_VERSION: Final = re.compile(
    r"(?:vLLM API server version|LLM engine \(v|vLLM version) ?([0-9][0-9A-Za-z.+-]{0,40})"
)
_TP: Final = re.compile(r"tensor_parallel_size=([0-9]{1,3})")
_BUFFER: Final = re.compile(
    r":[ \t]+(\S{1,40})[ \t]+(model|KV|compute|output|RS) buffer size[ \t]*=[ \t]*([0-9]{1,9}(?:\.[0-9]{1,4})?) MiB",
    re.MULTILINE,
)
_BUILD: Final = re.compile(r"build: ([0-9]{1,6}) \(([0-9a-f]{6,40}|unknown)\)|build_info: (b[0-9]{1,6})-")


def _detect_vllm(source: Source) -> float:
    if source.objects:
        return NO
    return CERTAIN if _VLLM["weights_bytes"].search(source.text) else NO


def _read_vllm(source: Source) -> Imported:
    terms: dict[str, int] = {}
    for name, pattern in _VLLM.items():
        found = [
            float(next(g for g in groups.groups() if g)) * GIB for groups in pattern.finditer(source.text)
        ]
        if found and 0 < max(found) <= MAX_BYTES:
            terms[name] = int(max(found))
    consumed = [float(found.group(1)) * GIB for found in _CONSUMED.finditer(source.text)]
    if consumed and "context_bytes" not in terms and 0 < terms.get("weights_bytes", 0) < max(consumed):
        terms["context_bytes"] = int(max(consumed)) - terms["weights_bytes"]
    version, parallel = _VERSION.search(source.text), _TP.search(source.text)
    facts: dict[str, Fact] = {}
    capacity = re.search(r"KV cache size: ([0-9,]{1,20}) tokens", source.text)
    if capacity:
        facts["kv_cache_tokens"] = int(capacity.group(1).replace(",", "") or 0)
    draft = ProfileDraft(
        timings=(),
        protocol=VLLM_PROTOCOL,
        runtime=Runtime(name="vllm", version=version.group(1).rstrip(".") if version else None),
        devices=int(parallel.group(1)) or None if parallel else None,
        facts=facts,
    )
    return Imported(
        format="vllm-log",
        tool=f"vLLM {version.group(1) if version else ''}".strip(),
        memory=MemoryUse(**terms),
        memory_draft=draft,
        protocol=VLLM_PROTOCOL,
    )


def _detect_llama(source: Source) -> float:
    if source.objects:
        return NO
    kinds = {kind for _, kind, _ in _BUFFER.findall(source.text)}
    return CERTAIN * 0.9 if {"model", "KV"} <= kinds else NO


def _read_llama(source: Source) -> Imported:
    buffers: dict[tuple[str, str], float] = {}
    for device, kind, size in _BUFFER.findall(source.text):
        buffers[device, kind] = max(
            buffers.get((device, kind), 0.0), float(size) * MIB
        )  # printed again at every reservation
    accelerated = {device for device, _ in buffers if not re.match(r"CPU|Host|BLAS|.*_Host", device)}
    chosen = accelerated or {device for device, _ in buffers}

    def total(*kinds: str) -> int | None:
        value = sum(size for (device, kind), size in buffers.items() if device in chosen and kind in kinds)
        if value > MAX_BYTES:
            raise InvalidFile(source.name, f"{kinds[0]} buffer", "is out of range", allowed="at most 1 EiB")
        return int(value) or None

    host = sum(size for (device, _), size in buffers.items() if device not in chosen)
    build = _BUILD.search(source.text)
    version = None if build is None else build.group(3) or f"b{build.group(1)}"
    facts: dict[str, Fact] = {"buffers": clean(", ".join(sorted(chosen)))}
    if host:
        facts["host_buffer_bytes"] = int(min(host, MAX_BYTES))
    return Imported(
        format="llama-log",
        tool=f"llama.cpp {version or ''}".strip(),
        memory=MemoryUse(
            weights_bytes=total("model"),
            kv_cache_bytes=total("KV", "RS"),
            activation_bytes=total("compute", "output"),
        ),
        memory_draft=ProfileDraft(
            timings=(),
            protocol=LLAMA_PROTOCOL,
            runtime=Runtime(name="llama.cpp", version=version),
            facts=facts,
        ),
        protocol=LLAMA_PROTOCOL,
    )


VLLM: Final = Format(
    name="vllm-log",
    title="vLLM start-up log",
    expected="text with `Model loading took … GiB` or `model weights take …GiB`, and `Available KV cache memory: … GiB`",
    detect=_detect_vllm,
    read=_read_vllm,
)
LLAMA: Final = Format(
    name="llama-log",
    title="llama.cpp log",
    expected="text with `model buffer size = … MiB` and `KV buffer size = … MiB`",
    detect=_detect_llama,
    read=_read_llama,
)
