"""Weight bytes of a scheme over an architecture, for variants whose files nobody has read.

Bytes counted in file headers are always better and are used where they exist. The model: the layers' projections cost
the scheme's effective bits and a scale per output row where it has no groups, embeddings, head and norms stay at 16 bits,
and the mixes of GGUF follow the quantizer's rules, or published averages where there are none.
"""

from __future__ import annotations

from typing import Final

from planner.domain.architecture import Architecture
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.scheme import ActivationScaling, NumberFormat, Scheme
from planner.domain.units import Unit
from planner.estimate.gguf_mix import mix_bytes
from planner.estimate.priors import CONFIDENCE

MIX_BITS: Final = {
    "iq1_s": 2.0042, "iq1_m": 2.1460, "iq2_xxs": 2.3824, "iq2_xs": 2.5882, "iq2_s": 2.7403, "iq2_m": 2.9294,
    "iq3_xxs": 3.2548, "iq3_xs": 3.4977, "iq3_s": 3.6606, "iq3_m": 3.7628, "iq4_xs": 4.4597, "iq4_nl": 4.6818,
    "q2_k_s": 2.9697, "q2_k": 3.1593, "q3_k_s": 3.6429, "q3_k_m": 3.9960, "q3_k_l": 4.2979, "q4_k_s": 4.6672,
    "q4_k_m": 4.85, "q5_k_s": 5.5704, "q5_k_m": 5.7036, "q6_k": 6.5633, "q8_0": 8.5008,
}  # fmt: skip
"""Bits per weight over all tensors of a GGUF file by mix, embeddings included.

llama.cpp tools/quantize/README.md for Llama-3.1-8B; Q4_K_M, printed as 4.8944 there and 4.84 for Llama-2-7B, is taken in
the middle.
"""

_MIX_SPREAD: Final = (0.96, 1.03)
_LOW_MIX_SPREAD: Final = (0.87, 1.08)
"""Below _LOW_BITS the embedding's own bits show, whose share differs: sizes printed for 70B are up to 13 % below the table,
of Llama 2 and DeepSeek up to 11 % above it."""
_LOW_BITS: Final = 3.7
_RULES_SPREAD: Final = (0.995, 1.01)
"""Of mixes that follow the quantizer's rules: file headers, rules of other versions, an importance matrix not told of."""
_OLDER_SPREAD: Final = 1.15
"""Q2_K had more bits before January 2024: Llama 2's printed sizes are up to 15 % above today's rules."""
_IMATRIX_MIXES: Final = ("iq1", "iq2", "iq3")
"""Mixes that are made with an importance matrix as a rule; IQ1 and IQ2 cannot be made without."""
_ROW_SCALE_BYTES: Final = 4
"""An FP32 scale per output row, as torchao and compressed-tensors store it."""
_PER_ROW: Final = frozenset({NumberFormat.FP8, NumberFormat.INT8, NumberFormat.INT4})
_LAYER_SPREAD: Final = (0.99, 1.03)
_REFERENCE_SPREAD: Final = (0.998, 1.005)


def _label_key(scheme: Scheme) -> str:
    return (scheme.label or scheme.weight.format.value).lower().replace("-", "_")


def _by_rules(architecture: Architecture, scheme: Scheme) -> float | None:
    if not scheme.weight.format.is_gguf:
        return None
    mix = _label_key(scheme)
    imatrix = scheme.method == "imatrix" or mix.startswith(_IMATRIX_MIXES)
    return mix_bytes(architecture, mix, imatrix=imatrix)


def _row_scales(architecture: Architecture, scheme: Scheme) -> float:
    """Return the bytes of scales that the scheme's bits leave out: one per output row where it has no groups."""
    precision = scheme.weight
    # Static FP8 has one scale for a whole matrix.
    whole = precision.format is NumberFormat.FP8 and scheme.activation_scaling is ActivationScaling.STATIC
    if precision.group_size is not None or precision.format not in _PER_ROW or whole:
        return 0.0
    a, experts = architecture, architecture.experts
    mlp = (2 if a.gated_mlp else 1) * a.intermediate_size + a.hidden_size
    rows = (a.layers - a.sparse_layers) * mlp
    if experts is not None:
        each = (2 if a.gated_mlp else 1) * experts.intermediate_size + a.hidden_size
        rows += a.sparse_layers * experts.count * each
    if a.mla is None:
        rows += a.layers * ((a.heads + 2 * a.kv_heads) * a.head_dim + a.hidden_size)
    return float(rows * _ROW_SCALE_BYTES)


def modelled_weight_bytes(
    architecture: Architecture, scheme: Scheme, *, effective_bits: float | None = None
) -> Figure:
    """Return the modelled bytes of all weights under `scheme`, basis modelled, with an interval.

    `effective_bits` is a published average over the whole model and replaces the scheme's own arithmetic. GGUF mixes follow
    `gguf_mix`, else MIX_BITS; every other quantized scheme leaves embeddings, head and norms at 16 bits.
    """
    parameters = architecture.parameters
    twice = architecture.vocab_size * architecture.hidden_size if architecture.tied_embeddings else 0
    if effective_bits is not None:
        value = parameters * effective_bits / 8
        lo, hi = value * _REFERENCE_SPREAD[0], value * _REFERENCE_SPREAD[1]
    elif (ruled := _by_rules(architecture, scheme)) is not None:
        value = ruled
        older = _label_key(scheme).startswith("q2_k")
        lo = value * _RULES_SPREAD[0]
        # llama.cpp may hold a tied output matrix a second time.
        hi = value * (_OLDER_SPREAD if older else _RULES_SPREAD[1]) + twice * value / parameters
    elif scheme.weight.format.is_gguf:
        bits = MIX_BITS.get(_label_key(scheme), scheme.weight.bits)
        value = parameters * bits / 8
        spread = _LOW_MIX_SPREAD if bits < _LOW_BITS else _MIX_SPREAD
        lo, hi = value * spread[0], value * spread[1] + twice * bits / 8
    elif scheme.is_reference:
        value = parameters * scheme.weight.bits / 8
        lo, hi = value * _REFERENCE_SPREAD[0], value * _REFERENCE_SPREAD[1]
    else:
        kept = parameters - architecture.linear_parameters
        value = (architecture.linear_parameters * scheme.weight.bits + kept * NumberFormat.BF16.bits) / 8
        value += _row_scales(architecture, scheme)
        # Some checkpoints store a tied table a second time, as their head: Qwen3's in FP8 do.
        lo, hi = value * _LAYER_SPREAD[0], value * _LAYER_SPREAD[1] + 2 * twice
    interval = Interval(lo=lo, hi=hi, confidence=CONFIDENCE)
    return Figure(value=value, unit=Unit.BYTES, basis=Basis.MODELLED, interval=interval)
