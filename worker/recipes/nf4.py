"""NF4 through bitsandbytes: 16 values placed at the quantiles of a normal distribution (QLoRA, arXiv:2305.14314).

One scale for 64 weights; double quantization stores the scales themselves in 8 bits. Saving comes before the first
forward pass: on CPUs with BF16 instructions that pass rearranges the weights for good, and what is saved after it is damaged.
"""

from __future__ import annotations

from typing import Any, ClassVar

from planner.domain.scheme import NumberFormat, Precision, Scheme
from worker.recipes.recipe import ComputeType, Ingredients, Recipe

_BLOCK = 64
"""Weights that share a scale: bitsandbytes' default, which transformers does not let one change."""
_CPU_ROWS = 32
"""Rows that bitsandbytes' kernel for CPUs with BF16 instructions takes at a time."""


class Nf4(Recipe, frozen=True, kw_only=True, tag="nf4"):
    """4-bit NormalFloat weights in blocks of 64, BF16 activations."""

    title: ClassVar[str] = "4-bit NormalFloat weights in blocks of 64"
    requires: ClassVar[tuple[str, ...]] = ("library:bitsandbytes",)

    double_quantization: bool = True
    """Whether the scales are stored in 8 bits, which takes 4.13 instead of 4.5 bits a weight."""

    @property
    def dtype(self) -> ComputeType:
        """BF16."""
        return "bfloat16"

    @property
    def variant_name(self) -> str:
        """Name that says when the scales are not quantized."""
        return "nf4" + ("" if self.double_quantization else "-single")

    @property
    def scheme(self) -> Scheme:
        """NF4 with scales of 8 or 32 bits."""
        return Scheme(
            weight=Precision(
                format=NumberFormat.NF4, group_size=_BLOCK, scale_bits=8 if self.double_quantization else 32
            ),
            method="rtn",
        )

    def refusal(self, in_features: int, out_features: int) -> str | None:
        """Return the reason when bitsandbytes' kernel for CPUs cannot take the shape: it wants whole blocks in each row."""
        if in_features % _BLOCK:
            return f"input width {in_features} is not a multiple of {_BLOCK}"
        if out_features % _CPU_ROWS:
            return f"output width {out_features} is not a multiple of {_CPU_ROWS}"
        return None

    def build(self, given: Ingredients) -> Any:
        """Quantize while loading."""
        import torch
        from transformers import BitsAndBytesConfig

        from worker.engines.loading import load_model

        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=self.double_quantization,
            bnb_4bit_compute_dtype=torch.bfloat16,
            llm_int8_skip_modules=list(given.left_alone) or None,
        )
        return load_model(given.base, device=given.device, dtype=self.dtype, quantization_config=config)

    def quantized_as(self, layer: Any) -> str | None:
        """Return bitsandbytes' class of the weight, None when it is a plain tensor still."""
        return type(layer.weight).__name__ if getattr(layer.weight, "quant_state", None) is not None else None

    def left_alone_because(self, name: str) -> str:
        """Return why the linear layer `name` was not quantized."""
        del name
        return "left alone by bitsandbytes"
