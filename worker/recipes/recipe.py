"""What a recipe is: a frozen, tagged configuration that knows its name, its scheme, and how to build and save a model.

Most recipes only name a torchao configuration; one that calibrates, trains or writes another format overrides `build` or
`save`. A recipe's identity is its configuration: the digest is over every field, defaults written out, so the same
digest means the same build.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import msgspec

from planner.domain.profile import Fact
from planner.domain.scheme import NumberFormat, Scheme
from planner.errors import InvalidInput
from worker.measure.weights import is_quantized, is_quantized_layer
from worker.progress import Report, ignore

if TYPE_CHECKING:
    import torch

    from worker.evaluate.dataset import Dataset

ComputeType = Literal["bfloat16", "float16", "float32"]
"""The number format that unquantized weights and activations are held in, by its torch name."""

FORMAT_OF: Final[dict[str, NumberFormat]] = {
    "bfloat16": NumberFormat.BF16,
    "float16": NumberFormat.FP16,
    "float32": NumberFormat.FP32,
}


@dataclass(frozen=True, kw_only=True)
class Ingredients:
    """What a recipe is given to build from."""

    base: Path
    """Folder of the model to start from, at 16 or 32 bits, already checked."""
    device: torch.device
    left_alone: tuple[str, ...] = ()
    """Linear layers that must stay as they are, because the recipe refused their shapes (the output head among them);
    empty is transformers' own choice, the output head."""
    text: Dataset | None = None
    """What to calibrate or train on; there when `Recipe.uses_text`. Never what the variant is evaluated on."""
    report: Report = ignore
    facts: dict[str, Fact] = field(default_factory=dict)
    """What the build learnt on the way, such as losses, memory and seconds; it becomes part of the provenance."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="recipe"):
    """Base of all recipes. A subclass adds its fields, a tag, and the methods below."""

    title: ClassVar[str] = ""
    """One line for the list of recipes."""
    requires: ClassVar[tuple[str, ...]] = ()
    """What building needs of the machine, in the words of `planner.domain.requirement`: "cuda", "cc>=8.9",
    "library:bitsandbytes"."""
    needs_text: ClassVar[bool] = False
    """Whether building calibrates or trains on text, whatever the settings."""
    reload_tolerance: ClassVar[float] = 0.0
    """Largest logit difference allowed between the built and the reloaded model; 0 is bit-equal."""

    @property
    def needs(self) -> tuple[str, ...]:
        """What running the variant needs of a machine; the same words as `requires`."""
        return self.requires

    @property
    def uses_text(self) -> bool:
        """Whether building with these settings calibrates or trains on text."""
        return self.needs_text

    @property
    @abstractmethod
    def dtype(self) -> ComputeType:
        """Number format of everything that is not quantized."""

    @property
    @abstractmethod
    def variant_name(self) -> str:
        """The name a variant gets when the job names none."""

    @property
    @abstractmethod
    def scheme(self) -> Scheme:
        """The precision this recipe claims; what was really built is counted from the tensors."""

    @property
    def stored_bits(self) -> float:
        """Bits that one quantized weight takes in the file, group scales and zero points included.

        Scales of whole rows or tensors are left out: they take next to nothing.
        """
        return self.scheme.weight.bits

    def torchao_config(self) -> Any | None:
        """Return the torchao configuration object, None when nothing is quantized. Imports torchao."""
        return None

    def refusal(self, in_features: int, out_features: int) -> str | None:
        """Return why a linear layer of this shape cannot take the scheme, None when it can."""
        del in_features, out_features
        return None

    def build(self, given: Ingredients) -> Any:
        """Return the built model on its device, in evaluation mode, never yet run."""
        # Loading imports every format's loader, and some of those import recipes.
        from worker.engines.loading import load_model

        return load_model(
            given.base,
            device=given.device,
            dtype=self.dtype,
            torchao_config=self.torchao_config(),
            left_alone=given.left_alone,
        )

    def save(self, model: Any, out: Path) -> None:
        """Write the model's weights and configuration into the new folder `out`, so that `load_model` reads them."""
        out.mkdir(parents=True)
        model.save_pretrained(out)

    def quantized_as(self, layer: torch.nn.Module) -> str | None:
        """Return what the weight of a linear layer became, None when it is a plain tensor still."""
        if is_quantized_layer(layer):
            return str(layer.layout)
        weight: Any = layer.weight
        return (
            type(weight.data if type(weight).__name__ == "Parameter" else weight).__name__
            if is_quantized(weight)
            else None
        )

    def left_alone_because(self, name: str) -> str:
        """Return why the linear layer `name`, whose shape the recipe takes, was not quantized."""
        del name
        return "left alone by torchao"

    @property
    def quantizes_weights(self) -> bool:
        """Whether any weight changes its number format."""
        return self.scheme.weight.format.bits < 16


class GroupedRecipe(Recipe, frozen=True, kw_only=True):
    """A weight-only recipe whose scales are shared by `group_size` weights of one output row."""

    group_size: int = 32

    def __post_init__(self) -> None:
        if not 8 <= self.group_size <= 65_536 or self.group_size & (self.group_size - 1):
            raise InvalidInput(
                "recipe.group_size", f"{self.group_size} is not allowed", allowed="a power of two, 8 to 65536"
            )

    def refusal(self, in_features: int, out_features: int) -> str | None:
        """Return the reason when the input width is not a multiple of the group."""
        del out_features
        return group_refusal(in_features, self.group_size)


def group_refusal(in_features: int, group_size: int) -> str | None:
    """Return why rows of this width do not divide into groups, None when they do."""
    if in_features % group_size:
        return f"input width {in_features} is not a multiple of the group size {group_size}"
    return None


def canonical_json(recipe: Recipe) -> bytes:
    """Return the recipe as canonical JSON: every field, keys sorted."""
    return msgspec.json.encode(recipe, order="sorted")


def recipe_name(recipe: Recipe) -> str:
    """Return the recipe's registered name, which is its tag."""
    return str(recipe.__struct_config__.tag)


def recipe_settings(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe's settings, defaults written out, as plain values."""
    settings: dict[str, Any] = msgspec.to_builtins(recipe)
    return {key: value for key, value in settings.items() if key != "recipe"}


def recipe_digest(recipe: Recipe) -> str:
    """Return "sha256:<hex>" over the canonical configuration."""
    return "sha256:" + hashlib.sha256(canonical_json(recipe)).hexdigest()
