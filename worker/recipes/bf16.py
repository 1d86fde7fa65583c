"""BF16: the precision most models are released in, and so the baseline that losses are measured against."""

from __future__ import annotations

from typing import ClassVar

from planner.domain.scheme import NumberFormat, Precision, Scheme
from worker.recipes.recipe import ComputeType, Recipe


class Bf16(Recipe, frozen=True, kw_only=True, tag="bf16"):
    """Nothing quantized, 16 bits."""

    title: ClassVar[str] = "Baseline at 16 bits"

    @property
    def dtype(self) -> ComputeType:
        """BF16."""
        return "bfloat16"

    @property
    def variant_name(self) -> str:
        """Always "bf16"."""
        return "bf16"

    @property
    def scheme(self) -> Scheme:
        """BF16 weights, nothing else."""
        return Scheme(weight=Precision(format=NumberFormat.BF16))
