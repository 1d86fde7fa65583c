"""The scheme that tensors really have, and its agreement with what the configuration declares.

The tensors decide. A declaration adds what they cannot show (dynamic activations, symmetry, the method) and is refused
where they contradict it, above all where quantization was announced and never applied.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from planner.artifacts.quantization.declaration import Declaration
from planner.artifacts.quantization.weight import Layout, Weight
from planner.domain.scheme import ActivationScaling, Precision, Scheme
from planner.errors import InvalidFile

MIXED_SHARE: Final = 0.01
"""Above this share of the linear parameters in another format, a scheme is mixed."""

_NOT_LINEAR: Final = re.compile(
    r"embed|wte|wpe|lm_head|output_layer|token_embd|(^|\.)output\.weight|"
    r"mlp\.gate\.|block_sparse_moe\.gate\.|router|ffn_gate_inp|shared_expert_gate|"
    r"visual|vision|multi_modal|mm_projector|norm"
)
"""Weights that every method leaves alone: embeddings, head, expert routers, norms and vision towers."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A scheme and what a reader should know about it."""

    scheme: Scheme
    warnings: tuple[str, ...] = ()


def find_scheme(
    weights: Sequence[Weight], declared: Declaration | None, *, label: str | None = None
) -> Finding:
    """Return the scheme of `weights`. Raises InvalidFile when `declared` contradicts them."""
    linear = [w for w in weights if w.precision and w.dimensions >= 2 and not _NOT_LINEAR.search(w.name)]
    quantized = [w for w in weights if w.is_quantized]
    if declared is not None:
        _agree(weights, quantized, declared)
    body = linear or [w for w in weights if w.precision]
    chosen = [w for w in body if w.is_quantized] or quantized or body
    weight = _most_common(chosen)
    activation, scaling = _activation(chosen, declared)
    shares = _shares(body)
    other = sum(share for name, share in shares.items() if name != weight.format.value)
    mixed = label is None and other > MIXED_SHARE
    warnings: tuple[str, ...] = ()
    if mixed:
        parts = ", ".join(f"{share:.1%} {name}" for name, share in shares.items())
        warnings = (f"mixed precision in the linear layers, by parameters: {parts}",)
    small = [w for w in quantized if w.precision and w.precision.bits < 8]
    taken = 8 * sum(w.nbytes for w in small) / max(1, sum(w.parameters for w in small))
    if small and taken >= 8:
        name = weight.format.value
        warnings += (
            f"{name} layers take {taken:.1f} bits per weight, as much as int8 or more: the values are unpacked or padded",
        )
    method = (declared.algorithm if declared else None) if quantized else None
    return Finding(
        scheme=Scheme(
            weight=weight,
            activation=activation,
            activation_scaling=scaling,
            kv=declared.kv if declared else None,
            method=method,
            label=label,
            mixed=mixed,
        ),
        warnings=warnings,
    )


def _most_common(weights: Sequence[Weight]) -> Precision:
    counts: Counter[Precision] = Counter()
    for weight in weights:
        if weight.precision is not None:
            counts[weight.precision] += weight.parameters
    return counts.most_common(1)[0][0]


def _shares(weights: Sequence[Weight]) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for weight in weights:
        if weight.precision is not None:
            counts[weight.precision.format.value] += weight.parameters
    total = counts.total() or 1
    return {name: count / total for name, count in counts.most_common()}


def _activation(
    weights: Sequence[Weight], declared: Declaration | None
) -> tuple[Precision | None, ActivationScaling | None]:
    found = [(w.activation, w.activation_scaling) for w in weights if w.activation is not None]
    if found:
        return found[0]
    if declared is None or not any(weight.is_quantized for weight in weights):
        return None, None
    return declared.activation, declared.activation_scaling


def _agree(weights: Sequence[Weight], quantized: Sequence[Weight], declared: Declaration) -> None:
    promised = ", ".join(sorted(number.value for number in declared.formats)) or "quantized weights"
    if not quantized:
        stored = ", ".join(sorted({w.container for w in weights if w.parameters}))
        raise declared.invalid(
            "quant_method",
            f"declares {declared.method} with {promised}, but every weight is stored as {stored}: "
            "quantization was not applied",
        )
    for weight in quantized:
        assert weight.precision is not None
        if weight.layout not in declared.layouts:
            raise declared.invalid(
                "quant_method",
                f"declares {declared.method}, but `{weight.name}` is stored as {weight.layout.value}",
            )
        if declared.formats and weight.precision.format not in declared.formats:
            raise declared.invalid(
                "bits" if weight.layout in {Layout.GPTQ, Layout.AWQ} else declared.method,
                f"declares {promised}, but `{weight.name}` is stored as {weight.precision.format.value}",
            )
    if declared.group_size is not None:
        sizes = {w.precision.group_size for w in quantized if w.precision and w.layout in _GROUPED}
        if sizes and declared.group_size not in sizes:
            raise declared.invalid(
                "group_size",
                f"declares {declared.group_size}, but the scales are for {min(size or 0 for size in sizes) or 'whole rows'}",
            )
    if declared.activation_scaling is ActivationScaling.STATIC and not any(
        "input_scale" in w.name or "input_global_scale" in w.name for w in weights
    ):
        raise declared.invalid(
            "activation_scheme", "declares static activations, but no input_scale is stored"
        )


_GROUPED: Final = frozenset({Layout.GPTQ, Layout.AWQ, Layout.PACKED_INT})


def require_declaration(weights: Sequence[Weight], file: str) -> None:
    """Raise InvalidFile when weights are packed in a way that only a declared method can load, and none is declared."""
    described = {Layout.TORCHAO}  # torchao describes its tensors in the file itself
    packed = next(
        (w for w in weights if w.is_quantized and w.layout not in described and w.nbytes != w.parameters),
        None,
    )
    if packed is not None:  # one byte per parameter and no scale is a plain cast to FP8
        raise InvalidFile(
            file,
            "quantization_config",
            f"is missing, but `{packed.name}` is stored as {packed.layout.value}",
            allowed="the configuration its writer made",
        )
