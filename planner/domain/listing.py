"""Listings: pages of things, and what a listing of variants can be asked for and gives."""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from planner.domain.figure import Figure
from planner.domain.lifecycle import VariantState
from planner.domain.variant import FileFormat, Variant

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Some items of a listing, and the opaque cursor that continues it; None at the end."""

    items: tuple[T, ...]
    next_cursor: str | None = None


class VariantSort(StrEnum):
    """What variants are listed by; a leading "-" reverses. Variants whose value is unknown always come last."""

    NAME = "name"
    WEIGHT_BYTES = "weight_bytes"
    EFFECTIVE_BITS = "effective_bits"
    CREATED_AT = "created_at"
    LOSS = "loss"
    NAME_REVERSED = "-name"
    WEIGHT_BYTES_REVERSED = "-weight_bytes"
    EFFECTIVE_BITS_REVERSED = "-effective_bits"
    CREATED_AT_REVERSED = "-created_at"
    LOSS_REVERSED = "-loss"

    @property
    def key(self) -> str:
        """The value sorted by, without the sign."""
        return self.value.removeprefix("-")

    @property
    def is_reversed(self) -> bool:
        """True when the largest comes first."""
        return self.value.startswith("-")


class VariantFilter(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Which variants to list; every field that is given must hold."""

    model: str | None = None
    """Id or any name of a model."""
    scheme: str | None = None
    """Any word the scheme answers to, such as "int4", "4bit", "gguf" or "w8a8"."""
    format: FileFormat | None = None
    fetchable: bool | None = None
    max_weight_bytes: int | None = None
    min_bits: int | None = None
    """Nominal bits: 4 for int4-g128 and for q4_k_m, whatever their scales add."""
    max_bits: int | None = None
    max_loss: float | None = None
    """Relative loss over all tasks, as a fraction; variants whose loss is not known do not pass."""
    search: str | None = None
    """Words that must all occur in the name, model or scheme, in any letter case, or begin the digest (12 digits or more)."""


class VariantRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A variant in a listing, with its relative loss over all tasks (see `planner.domain.loss.assess`)."""

    variant: Variant
    scheme: str
    """Name of the variant's scheme, which only its fields say otherwise."""
    loss: Figure | None = None
    profile_count: int = 0
    state: VariantState | None = None
    """The state it was put in; None while nobody has."""
