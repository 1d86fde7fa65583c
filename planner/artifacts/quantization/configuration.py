"""The declared quantization of a model, found in its configuration files and read by the method it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from planner.artifacts.json_document import is_object
from planner.artifacts.quantization import declared_methods
from planner.artifacts.quantization.declaration import Config, Declaration
from planner.artifacts.quantization.declared_compressed import compressed_tensors
from planner.artifacts.quantization.declared_torchao import torchao
from planner.errors import InvalidFile

_READERS: Final[Mapping[str, Callable[[Config, str], Declaration]]] = {
    "torchao": torchao,
    "gptq": declared_methods.gptq,
    "awq": declared_methods.awq,
    "auto-round": declared_methods.auto_round,
    "intel/auto-round": declared_methods.auto_round,
    "bitsandbytes": declared_methods.bitsandbytes,
    "compressed-tensors": compressed_tensors,
    "fp8": declared_methods.fp8,
    "fbgemm_fp8": declared_methods.fbgemm,
    "modelopt": declared_methods.modelopt,
    "mxfp4": declared_methods.mxfp4,
}


def read_declaration(config: Config, *, file: str) -> Declaration | None:
    """Return what `quantization_config` declares, None when there is none. Raises InvalidFile."""
    for holder in (config, config.get("text_config")):
        if not is_object(holder):
            continue
        for key in ("quantization_config", "compression_config"):
            quantization = holder.get(key)
            if quantization is None:
                continue
            if not is_object(quantization):
                raise InvalidFile(file, key, "is not an object", allowed="an object or nothing")
            return _read(quantization, file)
    return None


def read_modelopt(document: Config, *, file: str) -> Declaration | None:
    """Return what ModelOpt's `hf_quant_config.json` declares. Raises InvalidFile."""
    quantization = document.get("quantization")
    if not is_object(quantization) or quantization.get("quant_algo") is None:
        return None
    return declared_methods.modelopt(quantization, file)


def _read(config: Config, file: str) -> Declaration:
    method = config.get("quant_method")
    if method is None:  # bitsandbytes and compressed-tensors did not always write it
        if config.get("load_in_4bit") or config.get("load_in_8bit"):
            method = "bitsandbytes"
        elif "config_groups" in config:
            method = "compressed-tensors"
    reader = _READERS.get(method) if isinstance(method, str) else None
    if reader is None:
        raise InvalidFile(
            file,
            "quantization_config.quant_method",
            f"{str(method)[:80]!r} is not supported",
            allowed=", ".join(sorted(_READERS)),
        )
    return reader(config, file)
