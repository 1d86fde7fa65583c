"""What a recipe is: a frozen, tagged configuration that knows its name, its scheme and how to set torchao up.

A recipe's identity is its configuration: the digest is over every field, defaults written out, so the same digest means
the same build.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from typing import Any, ClassVar, Final, Literal

import msgspec

from planner.domain.scheme import NumberFormat, Scheme
from planner.errors import InvalidInput

ComputeType = Literal["bfloat16", "float16", "float32"]
"""The number format that unquantized weights and activations are held in, by its torch name."""

FORMAT_OF: Final[dict[str, NumberFormat]] = {
    "bfloat16": NumberFormat.BF16,
    "float16": NumberFormat.FP16,
    "float32": NumberFormat.FP32,
}


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="recipe"):
    """Base of all recipes. A subclass adds its fields, a tag, and the methods below."""

    title: ClassVar[str] = ""
    """One line for the list of recipes."""
    requires: ClassVar[tuple[str, ...]] = ()
    """Capabilities the building machine must have, such as "cuda"."""
    reload_tolerance: ClassVar[float] = 0.0
    """Largest logit difference allowed between the built and the reloaded model; 0 is bit-equal."""

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

    def torchao_config(self) -> Any | None:
        """Return the torchao configuration object, None when nothing is quantized. Imports torchao."""
        return None

    def refusal(self, in_features: int, out_features: int) -> str | None:
        """Return why a linear layer of this shape cannot take the scheme, None when it can."""
        del in_features, out_features
        return None


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
        if in_features % self.group_size:
            return f"input width {in_features} is not a multiple of the group size {self.group_size}"
        return None


def canonical_json(recipe: Recipe) -> bytes:
    """Return the recipe as canonical JSON: every field, keys sorted."""
    return msgspec.json.encode(recipe, order="sorted")


def recipe_name(recipe: Recipe) -> str:
    """Return the recipe's registered name, which is its tag."""
    return str(recipe.__struct_config__.tag)


def recipe_digest(recipe: Recipe) -> str:
    """Return "sha256:<hex>" over the canonical configuration."""
    return "sha256:" + hashlib.sha256(canonical_json(recipe)).hexdigest()
