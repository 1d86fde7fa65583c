"""Runtimes: what executes a variant, with its version."""

from __future__ import annotations

from typing import Final

import msgspec

KNOWN: Final = (
    "transformers", "vllm", "sglang", "llama.cpp", "tensorrt-llm", "exllamav2", "autoawq", "autogptq", "mlx", "ollama", "tgi", "lmdeploy",
)  # fmt: skip
"""Canonical lower-case runtime names; others are accepted as they are written."""

ALIASES: Final = {
    "hf": "transformers",
    "huggingface": "transformers",
    "llamacpp": "llama.cpp",
    "llama-cpp": "llama.cpp",
    "llama_cpp": "llama.cpp",
    "trt-llm": "tensorrt-llm",
    "trtllm": "tensorrt-llm",
    "tensorrt": "tensorrt-llm",
    "exllama": "exllamav2",
}


def canonical(name: str) -> str:
    """Return the canonical spelling of a runtime's name."""
    lower = name.strip().lower()
    return ALIASES.get(lower, lower)


class Runtime(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An engine, its version and how it ran (`mode`: eager, compiled, serving …); part of a profile's key."""

    name: str
    version: str | None = None
    mode: str | None = None

    def __str__(self) -> str:
        return " ".join(part for part in (self.name, self.version, self.mode) if part)
