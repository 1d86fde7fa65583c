"""Recipes that quantize linear layers one by one into the layers of `engines.formats`, and store those.

The folder is in the layout of compressed-tensors: our loader and serving engines read it, on any device. Weights are
rounded where the model is built, so the files do not depend on the machine.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from worker.recipes.recipe import Ingredients, Recipe

if TYPE_CHECKING:
    from torch import nn

    from worker.engines.formats.quantized_linear import QuantizedLinear


class StoredRecipe(Recipe, frozen=True, kw_only=True):
    """Base: a subclass says how one layer is quantized and how the folder declares it."""

    @property
    @abstractmethod
    def file_format(self) -> str:
        """Name of the layout among those of compressed-tensors: `pack-quantized`, `int-quantized`, `float-quantized`."""

    @abstractmethod
    def quantizers(self) -> dict[str, Any]:
        """Return `weights` and `input_activations` of the group that all quantized layers are in."""

    @abstractmethod
    def quantize(self, name: str, layer: nn.Linear, observed: Any) -> QuantizedLinear:
        """Return the quantized form of `layer`; `observed` is what `observe` returned."""

    def observe(self, model: Any, given: Ingredients) -> Any:
        """Return what calibration learnt, before any layer is quantized; nothing where there is no calibration."""
        del model, given

    def build(self, given: Ingredients) -> Any:
        """Load the base, calibrate, and quantize layer by layer."""
        import torch

        from worker.engines.formats.quantized_linear import replace_layers
        from worker.engines.loading import load_model

        model = load_model(given.base, device=given.device, dtype=self.dtype)
        observed = self.observe(model, given)
        head = model.get_output_embeddings()

        def replacement(name: str, layer: nn.Linear) -> nn.Module | None:
            if layer is head or name in given.left_alone:
                return None
            return self.quantize(name, layer, observed)

        with torch.no_grad():
            kept = replace_layers(model, replacement)
        model.config.quantization_config = {
            "quant_method": "compressed-tensors",
            "format": self.file_format,
            "quantization_status": "compressed",
            "config_groups": {
                "group_0": {"targets": ["Linear"], "output_activations": None, **self.quantizers()}
            },
            "ignore": kept,
            "kv_cache_scheme": None,
            "algorithm": self.scheme.method,
        }
        return model
