"""Facts about the runtimes that commands are written for: version, formats, words for cache types, images, each cited.

A command is only right for the version it was written for. Every flag that `planner.deploy.arguments` emits was read in
the option parser or option list cited here; whether the version changed is seen from the lock, which records it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from planner.domain.device import DeviceKind
from planner.domain.runtime import canonical
from planner.domain.scheme import NumberFormat
from planner.domain.variant import FileFormat
from planner.errors import InvalidInput


class RuntimeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one version of a runtime is started with and what it can load."""

    name: str
    version: str
    command: tuple[str, ...]
    """Program and subcommand where it is installed on the machine."""
    image_command: tuple[str, ...]
    """The same inside its image."""
    images: Mapping[str, str]
    """Image by the device's vendor in lower case, "cpu" for processors. A vendor that is absent has none that is known."""
    formats: frozenset[FileFormat]
    kinds: frozenset[DeviceKind]
    """Kinds of device that its flags, as emitted here, are for."""
    containers: frozenset[str]
    """Ways to keep quantized weights in safetensors (`quant_method` of config.json) that it reads."""
    kv_words: Mapping[NumberFormat, str]
    """Its word for each format of the KV cache other than the model's own type."""
    citation: str
    refusals: Mapping[str, str]
    """Why it cannot load a format or run on a kind of device, by the value of the one that is refused."""


_HEALTH_CITED: Final = "GET /health of vLLM 0.33.0, SGLang 0.5.23, llama-server and transformers serve 5.23"
HEALTH_PATH: Final = "/health"
"""Answers 200 once the model is loaded, in all four; the source is in `_HEALTH_CITED`."""

_GGUF_ONLY: Final = "it reads GGUF files only"

VLLM: Final = RuntimeFacts(
    name="vllm",
    version="0.33.0",
    command=("vllm", "serve"),
    image_command=("vllm", "serve"),
    images={"nvidia": "vllm/vllm-openai:v0.33.0"},
    formats=frozenset({FileFormat.SAFETENSORS}),
    kinds=frozenset({DeviceKind.GPU}),
    containers=frozenset(
        {
            "awq", "gptq", "auto-round", "compressed-tensors", "fp8", "fbgemm_fp8", "fp_quant", "modelopt", "mxfp4", "mxfp8",
            "quark", "torchao",
        }
    ),
    kv_words={
        NumberFormat.BF16: "bfloat16",
        NumberFormat.FP16: "float16",
        NumberFormat.FP8: "fp8",
        NumberFormat.INT8: "int8_per_token_head",
        NumberFormat.INT4: "int4_per_token_head",
        NumberFormat.NVFP4: "nvfp4",
    },
    citation=(
        "vLLM 0.33.0: vllm/engine/arg_utils.py (options), vllm/config/cache.py (cache types), "
        "vllm/model_executor/layers/quantization/__init__.py (methods); image by docs.vllm.ai, Using Docker"
    ),
    refusals={
        "gguf": "vLLM 0.33.0 has neither a GGUF loader nor `gguf` among its quantization methods",
        "cpu": "its CPU build sizes the cache by an environment variable and not by the flags written here",
        "board": "no board build is known",
    },
)  # fmt: skip

SGLANG: Final = RuntimeFacts(
    name="sglang",
    version="0.5.23",
    command=("python3", "-m", "sglang.launch_server"),
    image_command=("python3", "-m", "sglang.launch_server"),
    images={"nvidia": "lmsysorg/sglang:v0.5.23"},
    formats=frozenset({FileFormat.SAFETENSORS}),
    kinds=frozenset({DeviceKind.GPU}),
    containers=frozenset(
        {"awq", "gptq", "auto-round", "bitsandbytes", "compressed-tensors", "fp8", "modelopt", "mxfp4", "mxfp8", "quark"}
    ),
    kv_words={
        NumberFormat.BF16: "bfloat16",
        NumberFormat.FP8: "fp8_e4m3",
        NumberFormat.MXFP8: "mxfp8",
        NumberFormat.NVFP4: "nvfp4",
    },
    citation=(
        "SGLang 0.5.23: sglang/srt/arg_groups/fields (options), sglang/srt/layers/quantization/__init__.py (methods); "
        "docs.sglang.io, Server Arguments"
    ),
    refusals={
        "gguf": "its GGUF support takes selected models only and is not among the runtimes recorded for GGUF files",
        "cpu": "the flags written here are for GPUs",
        "board": "no board build is known",
    },
)  # fmt: skip

LLAMA_CPP: Final = RuntimeFacts(
    name="llama.cpp",
    version="00dc805",
    command=("llama-server",),
    image_command=("/app/llama-server",),
    images={"nvidia": "ghcr.io/ggml-org/llama.cpp:server-cuda", "cpu": "ghcr.io/ggml-org/llama.cpp:server"},
    formats=frozenset({FileFormat.GGUF}),
    kinds=frozenset(DeviceKind),
    containers=frozenset(),
    kv_words={
        NumberFormat.FP32: "f32",
        NumberFormat.FP16: "f16",
        NumberFormat.BF16: "bf16",
        NumberFormat.Q8_0: "q8_0",
        NumberFormat.Q5_1: "q5_1",
        NumberFormat.Q5_0: "q5_0",
        NumberFormat.Q4_1: "q4_1",
        NumberFormat.Q4_0: "q4_0",
        NumberFormat.IQ4_NL: "iq4_nl",
    },
    citation=(
        "https://github.com/ggml-org/llama.cpp/blob/00dc8057ab28c9cb4c79a6dd6dfce07fe779f63b/tools/server/README.md; "
        "images by docs/docker.md there"
    ),
    refusals={"safetensors": _GGUF_ONLY, "unknown": _GGUF_ONLY},
)

TRANSFORMERS: Final = RuntimeFacts(
    name="transformers",
    version="5.23.0",
    command=("transformers", "serve"),
    image_command=("transformers", "serve"),
    images={},
    formats=frozenset({FileFormat.SAFETENSORS}),
    kinds=frozenset(DeviceKind),
    containers=frozenset(
        {
            "aqlm", "auto-round", "awq", "bitsandbytes", "compressed-tensors", "fbgemm_fp8", "fp8", "fp_quant", "gptq", "hqq",
            "mxfp4", "mxfp8", "quark", "torchao", "vptq",
        }
    ),
    kv_words={},
    citation=(
        "transformers 5.23.0: transformers/cli/serve.py (options), QuantizationMethod in utils/quantization_config.py, "
        "modeling_gguf_pytorch_utils.py (GGUF)"
    ),
    refusals={
        "gguf": "it dequantizes GGUF weights when it loads them, so the planned memory would not hold",
    },
)  # fmt: skip

RUNTIMES: Final = {facts.name: facts for facts in (VLLM, SGLANG, LLAMA_CPP, TRANSFORMERS)}
"""By canonical name, the order in which they are tried when nothing names one."""


def runtime_facts(name: str) -> RuntimeFacts:
    """Return the facts about the runtime called `name`. Raises InvalidInput naming those that are known."""
    facts = RUNTIMES.get(canonical(name))
    if facts is None:
        raise InvalidInput(
            "runtime", f"no commands are written for `{name[:80]}`", allowed=", ".join(RUNTIMES)
        )
    return facts
