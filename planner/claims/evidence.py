"""Evidence as claims ask for it: what is held, which of it is meant, and one figure found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import msgspec

from planner.domain.device import Device
from planner.domain.evaluation import Evaluation
from planner.domain.figure import Basis, Interval
from planner.domain.model import Model
from planner.domain.profile import Profile
from planner.domain.scheme import ActivationScaling, NumberFormat, Scheme
from planner.domain.variant import Variant

UNCITED: Final = "measured here"


class Held(Protocol):
    """What a registry holds: its contents at a revision, or the built-in catalogue."""

    @property
    def models(self) -> tuple[Model, ...]: ...  # noqa: D102 - as the class says
    @property
    def variants(self) -> tuple[Variant, ...]: ...  # noqa: D102
    @property
    def evaluations(self) -> tuple[Evaluation, ...]: ...  # noqa: D102
    @property
    def profiles(self) -> tuple[Profile, ...]: ...  # noqa: D102
    @property
    def devices(self) -> tuple[Device, ...]: ...  # noqa: D102


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure that bears on a claim."""

    subject: str
    value: float
    basis: Basis
    interval: Interval | None = None
    evidence: tuple[str, ...] = ()
    citation: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Evidence:
    """What is held, found by id."""

    held: Held

    @cached_property
    def models(self) -> Mapping[str, Model]:
        """Models by id."""
        return {model.id: model for model in self.held.models}

    @cached_property
    def variants(self) -> Mapping[str, Variant]:
        """Variants by id."""
        return {variant.id: variant for variant in self.held.variants}

    @cached_property
    def devices(self) -> Mapping[str, Device]:
        """Devices by id."""
        return {device.id: device for device in self.held.devices}


class Which(msgspec.Struct, frozen=True, kw_only=True):
    """Variants that are meant, by model and scheme; what is not said is not asked."""

    models: tuple[str, ...] = ()
    formats: tuple[NumberFormat, ...] = ()
    """Of the weights."""
    bits: tuple[int, ...] = ()
    """Nominal bits of the weights."""
    scaling: ActivationScaling | None = None
    weight_only: bool | None = None
    grouped: bool | None = None
    """Whether scales are shared by groups, rather than by a row or a tensor."""
    methods: tuple[str, ...] = ()
    """Words of which the method has one."""
    no_methods: tuple[str, ...] = ()
    """Words of which the method has none."""
    names: tuple[str, ...] = ()
    """Words of which the variant's name has one."""
    reference: bool | None = None
    mixed: bool | None = None
    attention: bool | None = None
    """Whether attention is sparse."""
    least_parameters: float = 0.0

    def admits(self, variant: Variant, model: Model) -> bool:
        """Return whether the variant is one of those meant."""
        return (
            (not self.models or model.id in self.models)
            and model.parameters >= self.least_parameters
            and (not self.names or any(word in variant.name for word in self.names))
            and self._admits_scheme(variant.scheme)
            and self._admits_method(variant.scheme.method or "")
        )

    def _admits_scheme(self, scheme: Scheme) -> bool:
        return (
            (not self.formats or scheme.weight.format in self.formats)
            and (not self.bits or scheme.nominal_bits in self.bits)
            and (self.scaling is None or scheme.activation_scaling is self.scaling)
            and self.weight_only in {None, scheme.activation is None}
            and self.grouped in {None, scheme.weight.group_size is not None}
            and self.reference in {None, scheme.is_reference}
            and self.mixed in {None, scheme.mixed}
            and self.attention in {None, scheme.attention is not None}
        )

    def _admits_method(self, method: str) -> bool:
        return (not self.methods or any(word in method for word in self.methods)) and not any(
            word in method for word in self.no_methods
        )


def cited(item: Evaluation | Profile | Variant) -> str:
    """Return where a piece of evidence is from."""
    citation = item.provenance.citation if isinstance(item, Variant) else item.citation
    return citation or UNCITED


def chosen(evidence: Evidence, which: Which) -> Iterator[tuple[Variant, Model]]:
    """Yield the variants meant, by id, with their models."""
    for variant in sorted(evidence.held.variants, key=lambda variant: variant.id):
        model = evidence.models[variant.model_id]
        if which.admits(variant, model):
            yield variant, model
