"""Declarations of compressed-tensors: groups of quantizers for weights and activations."""

from __future__ import annotations

import re
from typing import Any, Final

from planner.artifacts.json_document import is_object
from planner.artifacts.quantization.declaration import Config, Declaration, group_of
from planner.artifacts.quantization.weight import INTEGERS, Layout
from planner.domain.scheme import ActivationScaling, NumberFormat, Precision
from planner.errors import InvalidFile

_ALGORITHM: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
"""What chose the rounding. Other writers do not say; our recipes do, and readers of the format skip the field."""


def _quantizer(value: Any, file: str, field: str) -> Precision | None:
    """Return the precision of one compressed-tensors quantizer: num_bits, type, symmetric, group_size."""
    if value is None:
        return None
    bits = value.get("num_bits") if is_object(value) else None
    if not is_object(value) or type(bits) is not int:
        raise InvalidFile(
            file, f"quantization_config.{field}", "has no num_bits", allowed="a quantizer object"
        )
    group = group_of(value, file, "group_size")
    if value.get("type", "int") == "float":
        number = {
            (8, 32): NumberFormat.MXFP8,
            (4, 16): NumberFormat.NVFP4,
            (4, 32): NumberFormat.MXFP4,
            (6, 32): NumberFormat.MXFP6,
        }.get((bits, group or 0), NumberFormat.FP8 if bits == 8 else None)
        group = group if number is NumberFormat.FP8 else None
    else:
        number = INTEGERS.get(bits)
    if number is None:
        raise InvalidFile(
            file,
            f"quantization_config.{field}.num_bits",
            f"{bits} {str(value.get('type'))[:20]} is unknown",
            allowed="integers of 1 to 8 bits, floats of 4, 6 or 8",
        )
    return Precision(format=number, group_size=group, symmetric=value.get("symmetric", True) is not False)


def compressed_tensors(config: Config, file: str) -> Declaration:
    """Read what llm-compressor and others write. Raises InvalidFile."""
    sparsity = config.get("sparsity_config")
    if is_object(sparsity) and sparsity.get("format", "dense") != "dense":
        raise InvalidFile(
            file,
            "quantization_config.sparsity_config.format",
            f"{str(sparsity['format'])[:40]!r} is not supported",
            allowed="dense",
        )
    groups = config.get("config_groups")
    if not is_object(groups) or not groups:
        raise InvalidFile(
            file, "quantization_config.config_groups", "is missing", allowed="one group or more"
        )
    weights: list[Precision] = []
    inputs: list[tuple[Precision, ActivationScaling]] = []
    for name, group in groups.items():
        if not is_object(group):
            raise InvalidFile(file, f"quantization_config.config_groups.{name[:40]}", "is not an object")
        field = f"config_groups.{name[:40]}"
        weight = _quantizer(group.get("weights"), file, f"{field}.weights")
        weights += [weight] if weight else []
        activations = group.get("input_activations")
        activation = _quantizer(activations, file, f"{field}.input_activations")
        if activation is not None and is_object(activations):
            static = activations.get("dynamic") is False
            inputs.append((activation, ActivationScaling.STATIC if static else ActivationScaling.DYNAMIC))
    algorithm = config.get("algorithm")
    if algorithm is not None and not (isinstance(algorithm, str) and _ALGORITHM.fullmatch(algorithm)):
        raise InvalidFile(
            file,
            "quantization_config.algorithm",
            f"{str(algorithm)[:40]!r} is no name",
            allowed="lower-case letters, digits and hyphens",
        )
    sizes = {weight.group_size for weight in weights}
    return Declaration(
        file=file,
        method="compressed-tensors",
        layouts=frozenset({Layout.PACKED_INT, Layout.PACKED_FP4, Layout.SCALED}),
        formats=frozenset(weight.format for weight in weights),
        group_size=sizes.pop() if len(sizes) == 1 else None,
        activation=inputs[0][0] if inputs else None,
        activation_scaling=inputs[0][1] if inputs else None,
        kv=_quantizer(config.get("kv_cache_scheme"), file, "kv_cache_scheme"),
        algorithm=algorithm,
    )
