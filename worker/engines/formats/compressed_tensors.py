"""Files in the layout of compressed-tensors, loaded into our own layers: no further library, and torch's own kernels.

transformers is told through its registry of quantizers: the declaration in `config.json` is handed to the one
registered here, which puts quantized layers where the linear ones were before the tensors are read. Serving engines
read the same folders.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from torch import nn
from transformers import AutoConfig
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from planner.errors import InvalidFile
from worker.engines.formats.packed_linear import PackedLinear
from worker.engines.formats.quantized_linear import (
    Float8Linear,
    Int8Linear,
    QuantizedLinear,
    check_finite_scales,
    replace_layers,
    settle,
)

METHOD: Final = "variant-planner"
"""Name in transformers' registry; never written to a file."""

_PATTERN: Final = re.compile(r"(?:\.\*|\\\.|[\w.$^|()-])*")
"""Regular expressions allowed in `targets` and `ignore`: nothing that can backtrack without end."""
_MAX_REPEATS: Final = 3


class Quantizer(msgspec.Struct, frozen=True):
    """One quantizer of a group, as far as it matters here."""

    num_bits: int
    type: str = "int"
    symmetric: bool = True
    strategy: str | None = None
    group_size: int | None = None
    dynamic: bool | str = False
    actorder: str | bool | None = None


class Group(msgspec.Struct, frozen=True):
    """Layers that are quantized alike."""

    targets: tuple[str, ...]
    weights: Quantizer
    input_activations: Quantizer | None = None
    output_activations: Quantizer | None = None


class Declaration(msgspec.Struct, frozen=True):
    """`quantization_config` of such a folder."""

    config_groups: dict[str, Group]
    ignore: tuple[str, ...] = ()
    quantization_status: str | None = None
    kv_cache_scheme: Any = None
    """A KV cache scheme does not touch the weights; engines without one keep the cache at 16 bits."""


def read_declaration(config: Mapping[str, Any]) -> Declaration:
    """Return the declaration. Raises InvalidFile naming the field."""
    try:
        declared = msgspec.convert(config, Declaration, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid("", str(error)) from error
    status = declared.quantization_status
    if status is not None and status != "compressed":
        raise _invalid("quantization_status", f"{status[:40]!r} is not supported", "compressed")
    for pattern in (
        *declared.ignore,
        *(t for group in declared.config_groups.values() for t in group.targets),
    ):
        if pattern.startswith("re:"):
            body = pattern.removeprefix("re:")
            if len(body) > 200 or not _PATTERN.fullmatch(body) or body.count(".*") > _MAX_REPEATS:
                raise _invalid(
                    "ignore", f"pattern {pattern[:80]!r} is not supported", "names, `.*` and groups"
                )
            try:
                re.compile(body)
            except re.error as error:
                raise _invalid("ignore", f"pattern {pattern[:80]!r} is no pattern: {error}") from error
    return declared


def load_options(directory: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration that leads transformers to our quantizer. Raises InvalidFile."""
    declared = config["quantization_config"]
    read_declaration(declared)
    loaded: Any = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    loaded.quantization_config = {"quant_method": METHOD, "declared": declared}
    return {"config": loaded}


def empty_layer(group: Group, layer: nn.Linear, dtype: torch.dtype) -> QuantizedLinear:
    """Return the layer that will hold the stored tensors of `layer` under `group`.

    Raises InvalidFile for a scheme that no layer here computes.
    """
    weights, inputs = group.weights, group.input_activations
    size: dict[str, Any] = {
        "in_features": layer.in_features,
        "out_features": layer.out_features,
        "bias": layer.bias,
    }
    if inputs is None:
        if (
            weights.type != "int"
            or weights.num_bits > 4
            or weights.strategy != "group"
            or not weights.group_size
        ):
            raise _unsupported(group)
        if (
            weights.actorder not in {None, False, "weight", "static"}
            or layer.in_features % weights.group_size
        ):
            raise _unsupported(group)
        return PackedLinear(
            **size,
            bits=weights.num_bits,
            group_size=weights.group_size,
            symmetric=weights.symmetric,
            dtype=dtype,
        )
    eight = weights.num_bits == inputs.num_bits == 8 and weights.type == inputs.type
    per_row, per_token = weights.strategy == "channel", inputs.strategy == "token"
    static = inputs.dynamic is False and inputs.strategy == "tensor"
    if not eight or not weights.symmetric or not inputs.symmetric or not (static or inputs.dynamic is True):
        raise _unsupported(group)
    if weights.type == "int" and per_row and (static or per_token):
        return Int8Linear(**size, static=static)
    if weights.type == "float" and (
        (per_row and (static or per_token)) or (weights.strategy == inputs.strategy == "tensor")
    ):
        return Float8Linear(**size, static=static, per_row=per_row)
    raise _unsupported(group)


class _Config(QuantizationConfigMixin):  # type: ignore[misc]  # transformers is untyped here
    """The declaration on its way through transformers, which writes it back as it was."""

    def __init__(self, declared: dict[str, Any], **_: Any) -> None:
        setattr(self, "quant_method", METHOD)  # noqa: B010  declared as transformers' own methods only
        self.declared = declared

    def to_dict(self) -> dict[str, Any]:
        return dict(self.declared)


class _Quantizer(HfQuantizer):  # type: ignore[misc]  # same
    """Puts quantized layers in place before the tensors are read, and lets them settle afterwards."""

    def _process_model_before_weight_loading(self, model: Any, **_: Any) -> None:
        config: Any = self.quantization_config
        declared = read_declaration(config.declared)
        dtype: torch.dtype = model.dtype

        def replacement(name: str, layer: nn.Linear) -> nn.Module | None:
            if any(_matches(pattern, name) for pattern in declared.ignore):
                return None
            group = next(
                (
                    group
                    for group in declared.config_groups.values()
                    if any(target == "Linear" or _matches(target, name) for target in group.targets)
                ),
                None,
            )
            return None if group is None else empty_layer(group, layer, dtype)

        with torch.device("meta"):
            replace_layers(model, replacement)
        self._shapes = {
            f"{name}.{key}": tuple(buffer.shape)
            for name, module in model.named_modules()
            if isinstance(module, QuantizedLinear)
            for key, buffer in module.named_buffers(recurse=False)
        }

    def _process_model_after_weight_loading(self, model: Any, **_: Any) -> Any:
        for name, shape in self._shapes.items():
            found = tuple(model.get_buffer(name).shape)  # not every version of transformers compares them
            if found != shape:
                raise InvalidFile(
                    "*.safetensors", name, f"has the wrong shape {list(found)}", allowed=str(list(shape))
                )
        for name, module in model.named_modules():
            if isinstance(module, QuantizedLinear):
                check_finite_scales(module, name)
        return settle(model)

    def is_serializable(self) -> Any:
        """Return False: the stored form is gone once a kernel has its own."""
        return False

    @property
    def is_trainable(self) -> Any:
        """Integers have no gradient."""
        return False

    @property
    def is_compileable(self) -> bool:
        """The layers are plain torch operators."""
        return True


register_quantization_config(METHOD)(_Config)
register_quantizer(METHOD)(_Quantizer)


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith("re:"):
        return re.match(pattern.removeprefix("re:"), name) is not None
    return pattern == name


def _unsupported(group: Group) -> InvalidFile:
    inputs = group.input_activations
    wanted = msgspec.json.encode(group.weights).decode() + (
        f" with activations {msgspec.json.encode(inputs).decode()}" if inputs else ""
    )
    return _invalid(
        "config_groups",
        f"{wanted[:400]} is not supported",
        "integers of 1 to 4 bits in groups; INT8 x INT8 per row with static or per-token activations; FP8 x FP8",
    )


def _invalid(field: str, problem: str, allowed: str | None = None) -> InvalidFile:
    return InvalidFile("config.json", f"quantization_config.{field}".rstrip("."), problem, allowed=allowed)
