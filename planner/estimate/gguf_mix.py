"""GGUF mixes, tensor by tensor: which block type llama.cpp's quantizer gives each matrix of a model.

A mix such as Q4_K_M keeps some matrices in more bits than its name says: the head, values, parts of the down projections.
Which ones depends on the layer and on how many queries share a key head, so the average over all weights is a fact of mix
and architecture together. Rules: llama.cpp, src/llama-quant.cpp (commit 007dbbf3), for models of Llama's form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from planner.domain.architecture import Architecture
from planner.domain.scheme import NumberFormat as N

_BASE: Final[Mapping[str, N]] = {
    "q4_0": N.Q4_0, "q4_1": N.Q4_1, "q5_0": N.Q5_0, "q5_1": N.Q5_1, "q8_0": N.Q8_0,
    "q2_k": N.Q2_K, "q2_k_s": N.Q2_K, "q3_k_s": N.Q3_K, "q3_k_m": N.Q3_K, "q3_k_l": N.Q3_K,
    "q4_k_s": N.Q4_K, "q4_k_m": N.Q4_K, "q5_k_s": N.Q5_K, "q5_k_m": N.Q5_K, "q6_k": N.Q6_K,
    "iq1_s": N.IQ1_S, "iq1_m": N.IQ1_M, "iq2_xxs": N.IQ2_XXS, "iq2_xs": N.IQ2_XS, "iq2_s": N.IQ2_XS, "iq2_m": N.IQ2_S,
    "iq3_xxs": N.IQ3_XXS, "iq3_xs": N.IQ3_S, "iq3_s": N.IQ3_S, "iq3_m": N.IQ3_S, "iq4_nl": N.IQ4_NL, "iq4_xs": N.IQ4_XS,
}  # fmt: skip
"""The type of a matrix that no rule names."""

_LOWEST: Final = frozenset({"iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m"})
_HEAD_IN_5_BITS: Final = _LOWEST | {"iq3_xxs"}
_EMBEDDING: Final[Mapping[str, N]] = {
    **dict.fromkeys(("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs"), N.Q2_K),
    **dict.fromkeys(("iq2_s", "iq2_m", "iq3_xxs"), N.IQ3_S),
}  # fmt: skip
_OUTPUT: Final[Mapping[str, N]] = {
    "iq1_s": N.IQ2_XXS, "iq1_m": N.IQ2_XXS, "iq2_s": N.IQ3_S, "iq2_m": N.IQ3_S, "iq3_xxs": N.IQ3_S,
    "q2_k": N.Q3_K, "q3_k_m": N.Q4_K, "q3_k_l": N.Q5_K, "iq3_m": N.Q4_K,
}  # fmt: skip
"""Of the attention's output projection."""
_FALLBACK: Final[Mapping[N, N]] = {
    **dict.fromkeys((N.IQ1_S, N.IQ1_M, N.IQ2_XXS, N.IQ2_XS, N.IQ2_S, N.IQ3_XXS, N.IQ3_S, N.IQ4_XS), N.IQ4_NL),
    **dict.fromkeys((N.Q2_K, N.Q3_K), N.Q4_0),
    N.Q4_K: N.Q5_0, N.Q5_K: N.Q5_1, N.Q6_K: N.Q8_0,
}  # fmt: skip
"""Types in blocks of 32 for rows that blocks of 256 do not divide."""


@dataclass(frozen=True, slots=True)
class _Mix:
    name: str
    base: N
    layers: int
    shared_queries: int
    """Queries per key head."""
    experts: int
    imatrix: bool
    is_llama_70b: bool

    def more_bits(self, layer: int) -> bool:
        """Whether the layer is one of those that the medium mixes keep in more bits: both ends, and every third."""
        eighth = self.layers // 8
        return layer < eighth or layer >= 7 * self.layers // 8 or (layer - eighth) % 3 == 2

    def values(self, layer: int) -> N:
        """Return the type of the value projection."""
        if self.name in _LOWEST:
            if self.shared_queries >= 4 or self.experts >= 4:
                return N.Q4_K
            return N.IQ3_S if self.name in {"iq2_s", "iq2_m"} else N.Q2_K
        found = self._values(layer)
        if self.is_llama_70b and found in {N.Q3_K, N.Q4_K}:
            found = N.Q5_K
        return N.Q8_0 if self.experts == 8 else found

    def _values(self, layer: int) -> N:
        shared = self.shared_queries >= 4
        match self.name:
            case "q2_k":
                return N.Q4_K if shared else N.Q3_K
            case "q2_k_s" | "iq3_xs" | "iq3_s" if shared:
                return N.Q4_K
            case "iq3_xxs":
                return N.Q4_K if shared else N.IQ3_XXS if self.imatrix else N.IQ3_S
            case "iq3_m":
                return N.Q4_K
            case "q3_k_m":
                return N.Q5_K if layer < 2 else N.Q4_K
            case "q3_k_l":
                return N.Q5_K
            case "iq4_nl" | "iq4_xs" if shared:
                return N.Q5_K
            case "q4_k_m" | "q5_k_m" if self.more_bits(layer):
                return N.Q6_K
            case "q4_k_s" if layer < 4:
                return N.Q5_K
            case _:
                return self.base

    def queries(self, layer: int) -> N:
        """Return the type of the query projection."""
        del layer
        return {"iq3_xs": N.IQ3_XXS, "iq3_xxs": N.IQ2_S}.get(self.name, self.base)

    def keys(self, layer: int) -> N:
        """Return the type of the key projection."""
        if self.experts == 8:
            return N.Q4_K if self.name in _LOWEST else N.Q8_0
        return self.queries(layer)

    def output(self, layer: int) -> N:
        """Return the type of the attention's output projection."""
        del layer
        if self.experts == 8:
            return N.Q5_K if self.base.nominal_bits <= 4 and self.name not in {"q4_0", "q4_1"} else self.base
        return _OUTPUT.get(self.name, self.base)

    def down(self, layer: int) -> N:
        """Return the type of the MLP's down projection."""
        first = layer < self.layers // 8
        if self.name in _LOWEST:
            low = N.IQ3_S if self.name in {"iq2_s", "iq2_m"} else N.Q2_K
            return low if first else self.base
        everywhere = {"q2_k": N.Q3_K, "q3_k_l": N.Q5_K}.get(self.name)
        return everywhere or self._down(layer, first=first)

    def _down(self, layer: int, *, first: bool) -> N:
        match self.name:
            case "q2_k_s" | "iq3_m" if first:
                return N.Q4_K
            case "iq3_xxs" if not self.imatrix:
                return N.Q4_K if first else N.Q3_K
            case "q3_k_m":
                return N.Q5_K if layer < self.layers // 16 else N.Q4_K
            case "q4_k_m" | "q5_k_m" if self.more_bits(layer):
                return N.Q6_K
            case "iq4_nl" | "iq4_xs" if first and not self.imatrix:
                return N.Q5_K
            case "q4_k_s" if first:
                return N.Q5_K
            case "q4_0" | "q5_0" if first and self.imatrix:
                return N.Q4_1 if self.name == "q4_0" else N.Q5_1
            case _:
                return self.base

    def gate(self, layer: int) -> N:
        """Return the type of the MLP's gate and up projections."""
        middle = self.layers // 8 <= layer < 7 * self.layers // 8
        return N.IQ3_XXS if self.name == "iq3_xs" and middle else self.base

    def head(self, width: int) -> N:
        """Return the type of the head, which is the embedding's too where they are tied."""
        if self.base is N.Q8_0 or width % _block(self.base):
            return N.Q8_0
        return N.Q5_K if self.name in _HEAD_IN_5_BITS else N.Q6_K

    @property
    def embedding(self) -> N:
        """The type of an input embedding of its own."""
        return _EMBEDDING.get(self.name, self.base)


def _block(number_format: N) -> int:
    small = {N.Q4_0, N.Q4_1, N.Q5_0, N.Q5_1, N.Q8_0, N.IQ4_NL}
    return 32 if number_format in small else 256


def _bits(number_format: N, width: int) -> float:
    """Return bits per weight of a matrix whose rows have `width` elements."""
    if width % _block(number_format):
        number_format = _FALLBACK.get(number_format, number_format)
    return N.FP16.bits if width % _block(number_format) else number_format.bits


def is_known_mix(mix: str) -> bool:
    """Return whether the quantizer makes a mix of this name (lower case)."""
    return mix in _BASE


def mix_bytes(architecture: Architecture, mix: str, *, imatrix: bool) -> float | None:
    """Return the bytes of all tensors under a mix (lower case, "q4_k_m"); None for mixes and models it has no rules for."""
    base = _BASE.get(mix)
    if base is None or architecture.mla is not None or architecture.caches:
        return None
    a, experts = architecture, architecture.experts
    rules = _Mix(
        name=mix,
        base=base,
        layers=a.layers,
        shared_queries=a.heads // a.kv_heads,
        experts=experts.count if experts else 1,
        imatrix=imatrix,
        is_llama_70b=a.layers == 80 and a.hidden_size == 8192 and a.model_type in {None, "llama"},
    )
    queries, values = a.heads * a.head_dim, a.kv_heads * a.head_dim
    gates = 2 if a.gated_mlp else 1
    total = 0.0
    matrices = 0

    def add(rule: Callable[[int], N], rows: int, width: int, *, copies: int = 1, layers: range) -> None:
        nonlocal total, matrices
        total += sum(_bits(rule(layer), width) for layer in layers) * rows * width * copies
        matrices += rows * width * copies * len(layers)

    every = range(a.layers)
    add(rules.queries, queries, a.hidden_size, layers=every)
    add(rules.keys, values, a.hidden_size, layers=every)
    add(rules.values, values, a.hidden_size, layers=every)
    add(rules.output, a.hidden_size, queries, layers=every)
    dense = range(a.layers - a.sparse_layers)
    add(rules.gate, a.intermediate_size, a.hidden_size, copies=gates, layers=dense)
    add(rules.down, a.hidden_size, a.intermediate_size, layers=dense)
    if experts is not None:
        sparse = range(a.layers - a.sparse_layers, a.layers)
        for width, copies in (
            (experts.intermediate_size, experts.count),
            (experts.shared_intermediate_size, 1),
        ):
            if width:
                add(rules.gate, width, a.hidden_size, copies=gates * copies, layers=sparse)
                add(rules.down, a.hidden_size, width, copies=copies, layers=sparse)
    table = a.vocab_size * a.hidden_size
    total += table * _bits(rules.head(a.hidden_size), a.hidden_size)
    if not a.tied_embeddings:
        total += table * _bits(rules.embedding, a.hidden_size)
    matrices += table * (1 if a.tied_embeddings else 2)
    # Norms, biases and routers stay in FP32.
    return (total + 32 * (a.parameters - matrices)) / 8
