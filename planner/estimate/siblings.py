"""Siblings: variants that run alike because they have the same shape and the same number formats.

The values of the weights change neither memory nor speed of a dense model, only their layout does. So what was measured
with synthetic weights speaks for every variant of an equal architecture whose scheme is equal in all that a kernel sees:
number formats, group size, how activations are scaled, KV cache and attention. The method that chose the rounding is not
among them, unless it adds work when the model runs, as rotations do. GGUF builds never match others: their blocks have
layouts and kernels of their own. Mixtures of experts never match: routing depends on the values.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

import msgspec

from planner.domain.architecture import Architecture
from planner.domain.scheme import NumberFormat, Precision, Scheme
from planner.domain.variant import FileFormat, Variant

ROUNDING_METHODS: Final = frozenset(
    {
        None, "rtn", "gptq", "gptq-r", "gptaq", "awq", "autoround", "smoothquant", "omniquant", "hqq", "qat",
        "qat-distilled", "distilled",
    }
)  # fmt: skip
"""Methods that leave plain integers or floats with scales behind, whatever they did to find them."""


def run_key(architecture: Architecture, variant: Variant) -> Hashable | None:
    """Return what memory and speed of the variant depend on; None when nothing but itself runs like it."""
    if variant.file_format is FileFormat.GGUF:
        return None
    return shape_key(architecture, variant.scheme)


def shape_key(architecture: Architecture, scheme: Scheme) -> Hashable | None:
    """Return the same for an architecture under a scheme that needs no files."""
    if architecture.experts is not None or scheme.label is not None or scheme.mixed:
        return None
    if scheme.method not in ROUNDING_METHODS:
        return None
    # The longest context and the name of the family are labels: they change no tensor.
    shape = msgspec.structs.replace(architecture, max_context=None, model_type=None)
    return (
        shape,
        _layout(scheme.weight),
        scheme.activation and _layout(scheme.activation),
        scheme.activation_scaling,
        scheme.kv and _layout(scheme.kv),
        scheme.attention,
    )


def _layout(precision: Precision) -> tuple[NumberFormat, int | None]:
    """Both 16-bit formats move and multiply alike; a zero point beside the scale is a small part of a group."""
    is_half = precision.format in {NumberFormat.BF16, NumberFormat.FP16}
    return NumberFormat.BF16 if is_half else precision.format, precision.group_size
