"""FP32: every weight widened or kept at 32 bits. Widening a 16-bit model changes its size and speed, not its values."""

from __future__ import annotations

from typing import ClassVar

from planner.domain.scheme import NumberFormat, Precision, Scheme
from worker.recipes.recipe import ComputeType, Recipe


class Fp32(Recipe, frozen=True, kw_only=True, tag="fp32"):
    """Nothing quantized, 32 bits."""

    title: ClassVar[str] = "Baseline at 32 bits"

    @property
    def dtype(self) -> ComputeType:
        """FP32."""
        return "float32"

    @property
    def variant_name(self) -> str:
        """Always "fp32"."""
        return "fp32"

    @property
    def scheme(self) -> Scheme:
        """FP32 weights, nothing else."""
        return Scheme(weight=Precision(format=NumberFormat.FP32))
