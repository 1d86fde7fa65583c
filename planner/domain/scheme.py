"""Schemes: the precision a variant has, as number formats of weights, activations and KV cache.

Effective bits include scales and zero points. Sources: arithmetic from the layouts of GPTQ/AWQ (one 16-bit scale per
group, one 4-bit zero), the OCP Microscaling specification v1.0 (MX formats: an 8-bit scale per 32 elements), NVIDIA's
NVFP4 (an 8-bit scale per 16), QLoRA (NF4: a 32-bit scale per 64), and llama.cpp's block layouts for the GGUF types.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from planner.errors import InvalidInput


class NumberFormat(StrEnum):
    """How one number is stored."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    FP8 = "fp8"
    INT8 = "int8"
    INT6 = "int6"
    INT5 = "int5"
    INT4 = "int4"
    INT3 = "int3"
    INT2 = "int2"
    INT1 = "int1"
    NF4 = "nf4"
    FP4 = "fp4"
    MXFP8 = "mxfp8"
    MXFP6 = "mxfp6"
    MXFP4 = "mxfp4"
    NVFP4 = "nvfp4"
    Q8_0 = "q8_0"
    Q6_K = "q6_k"
    Q5_K = "q5_k"
    Q5_1 = "q5_1"
    Q5_0 = "q5_0"
    Q4_K = "q4_k"
    Q4_1 = "q4_1"
    Q4_0 = "q4_0"
    Q3_K = "q3_k"
    Q2_K = "q2_k"
    IQ4_XS = "iq4_xs"
    IQ4_NL = "iq4_nl"
    IQ3_S = "iq3_s"
    IQ3_XXS = "iq3_xxs"
    IQ2_S = "iq2_s"
    IQ2_XS = "iq2_xs"
    IQ2_XXS = "iq2_xxs"
    IQ1_S = "iq1_s"
    IQ1_M = "iq1_m"
    TQ1_0 = "tq1_0"
    TQ2_0 = "tq2_0"

    @property
    def bits(self) -> float:
        """Bits per element, including the block scales that the format itself fixes."""
        return _BITS[self]

    @property
    def nominal_bits(self) -> int:
        """The whole bits people name the format by: 4 for q4_k, int4, nf4."""
        return 16 if self in _SIXTEEN else int(re.findall(r"\d+", self.value)[0])

    @property
    def is_gguf(self) -> bool:
        """True for the block types of GGUF files."""
        return self.value.startswith(("q", "iq", "tq"))


_SIXTEEN: Final = frozenset({NumberFormat.BF16, NumberFormat.FP16})
_BITS: Final = {
    NumberFormat.FP32: 32.0,
    NumberFormat.BF16: 16.0,
    NumberFormat.FP16: 16.0,
    NumberFormat.FP8: 8.0,
    NumberFormat.INT8: 8.0,
    NumberFormat.INT6: 6.0,
    NumberFormat.INT5: 5.0,
    NumberFormat.INT4: 4.0,
    NumberFormat.INT3: 3.0,
    NumberFormat.INT2: 2.0,
    NumberFormat.INT1: 1.0,
    NumberFormat.NF4: 4.0,
    NumberFormat.FP4: 4.0,
    NumberFormat.MXFP8: 8.25,
    NumberFormat.MXFP6: 6.25,
    NumberFormat.MXFP4: 4.25,
    NumberFormat.NVFP4: 4.5,
    NumberFormat.Q8_0: 8.5,
    NumberFormat.Q6_K: 6.5625,
    NumberFormat.Q5_K: 5.5,
    NumberFormat.Q5_1: 6.0,
    NumberFormat.Q5_0: 5.5,
    NumberFormat.Q4_K: 4.5,
    NumberFormat.Q4_1: 5.0,
    NumberFormat.Q4_0: 4.5,
    NumberFormat.Q3_K: 3.4375,
    NumberFormat.Q2_K: 2.625,
    NumberFormat.IQ4_XS: 4.25,
    NumberFormat.IQ4_NL: 4.5,
    NumberFormat.IQ3_S: 3.4375,
    NumberFormat.IQ3_XXS: 3.0625,
    NumberFormat.IQ2_S: 2.5625,
    NumberFormat.IQ2_XS: 2.3125,
    NumberFormat.IQ2_XXS: 2.0625,
    NumberFormat.IQ1_S: 1.5625,
    NumberFormat.IQ1_M: 1.75,
    NumberFormat.TQ1_0: 1.6875,
    NumberFormat.TQ2_0: 2.0625,
}


class Precision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One number format with its scaling: `group_size` elements share a scale; None is one per output row or tensor."""

    format: NumberFormat
    group_size: int | None = None
    symmetric: bool = True
    scale_bits: int = 16

    def __post_init__(self) -> None:
        if self.group_size is not None and not 1 <= self.group_size <= 1_048_576:
            raise InvalidInput(
                "scheme.group_size", f"{self.group_size} is out of range", allowed="1 to 1048576, or none"
            )

    @property
    def bits(self) -> float:
        """Effective bits per element: b + scale/g, plus b/g for the zero point of an asymmetric group."""
        bits = self.format.bits
        if self.group_size is not None:
            bits += self.scale_bits / self.group_size
            if not self.symmetric:
                bits += self.format.bits / self.group_size
        return bits


class ActivationScaling(StrEnum):
    """How quantized activations get their scale: computed per call, or fixed by calibration."""

    DYNAMIC = "dynamic"
    STATIC = "static"


class Scheme(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The precision of a variant. `activation` None means activations stay in the 16- or 32-bit compute type.

    `label` is the name of a mix that no single format describes, such as "q4_k_m"; `method` is the algorithm that chose
    the rounding (gptq, awq, rtn, qat …) and `mixed` says that some layers deliberately keep another format.
    """

    weight: Precision
    activation: Precision | None = None
    activation_scaling: ActivationScaling | None = None
    kv: Precision | None = None
    method: str | None = None
    label: str | None = None
    mixed: bool = False
    attention: str | None = None
    """Attention that differs from the model's own, such as "topk-32"; None is the model's."""

    def __post_init__(self) -> None:
        if (self.activation is None) != (self.activation_scaling is None):
            raise InvalidInput(
                "scheme.activation_scaling",
                "does not go with the activation format",
                allowed="both or neither",
            )

    @property
    def name(self) -> str:
        """Canonical name, for example "bf16", "int8", "int8-dynamic", "int4-g128", "q4_k_m"."""
        if self.label is not None:
            return self.label
        parts = [self.weight.format.value]
        if self.activation is not None and self.activation_scaling is not None:
            if self.activation.format is not self.weight.format:
                parts.append(f"a-{self.activation.format.value}")
            parts.append(self.activation_scaling.value)
        if self.weight.group_size is not None:
            parts.append(f"g{self.weight.group_size}")
        if self.mixed:
            parts.append("mixed")
        if self.kv is not None:
            parts.append(f"kv-{self.kv.format.value}")
        if self.attention is not None:
            parts.append(self.attention)
        return "-".join(parts)

    @property
    def nominal_bits(self) -> int:
        """The whole bits people call this scheme by: 4 for int4-g128 and q4_k_m."""
        return self.weight.format.nominal_bits

    @property
    def is_reference(self) -> bool:
        """True when nothing is quantized: 16- or 32-bit weights, activations, KV cache and attention untouched."""
        return (
            self.weight.format in {NumberFormat.FP32, NumberFormat.BF16, NumberFormat.FP16}
            and self.activation is None
            and self.kv is None
            and self.attention is None
        )

    @property
    def compute_format(self) -> NumberFormat:
        """The number format the matrix products run in: weight-only formats compute at the 16-bit rate."""
        if self.activation is not None:
            return self.activation.format
        return NumberFormat.FP32 if self.weight.format is NumberFormat.FP32 else NumberFormat.BF16

    def terms(self) -> frozenset[str]:
        """Return every lower-case word a person may use for this scheme, for filters such as "int4" or "4bit".

        A precision may be qualified by the method or by how activations are treated: "int4-awq", "int8-weight-only".
        """
        words = {self.name, self.weight.format.value, f"{self.nominal_bits}bit"}
        if self.weight.format.is_gguf:
            words.add("gguf")
            words.add(f"int{self.nominal_bits}")
            words.add(f"q{self.nominal_bits}")
        if self.nominal_bits == 4:
            words.add(
                "int4"
                if self.weight.format in {NumberFormat.NF4, NumberFormat.INT4}
                else "fp4"
                if "fp4" in self.weight.format.value
                else "4bit"
            )
        activation_bits = self.activation.format.nominal_bits if self.activation else 16
        words.add(f"w{self.nominal_bits}a{activation_bits}")
        qualifiers = [self.method] if self.method else []
        if self.activation_scaling:
            qualifiers.append(self.activation_scaling.value)
        elif self.weight.format.nominal_bits < 16:
            qualifiers.append("weight-only")
        words.update(f"{word}-{qualifier}" for word in tuple(words) for qualifier in qualifiers)
        return frozenset(words.union(qualifiers))
