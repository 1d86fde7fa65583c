"""How Humming is told to hold integers. Imported only where it is installed."""

from __future__ import annotations

import dataclasses

import torch
from humming.schema import HummingWeightSchema  # pyright: ignore[reportMissingImports]  # an extra


@dataclasses.dataclass(kw_only=True)
class OffsetSchema(HummingWeightSchema):  # type: ignore[misc]  # humming is untyped
    """Integers stay offset from zero, whatever they are.

    Humming would hold a layer without the least integer by sign and magnitude. Layers of one shape would then need
    different kernels, by chance, and could not share compiled code.
    """

    def convert_symmetric_integer_weight(
        self, tensors: dict[str, torch.Tensor]
    ) -> tuple[OffsetSchema, dict[str, torch.Tensor]]:
        """Return both as they are."""
        return self, tensors
