"""Sizes: what weights take, and what building a variant measured on the way."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import msgspec

from planner.claims.evidence import Evidence, Row, Which, chosen, cited
from planner.domain.figure import Basis, weakest


class ParameterBytes(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """GB of a model's parameters at `bits` bits each: arithmetic over the exact architecture."""

    models: tuple[str, ...]
    bits: float

    def rows(self, evidence: Evidence) -> Iterator[Row]:
        """Yield one row a model."""
        for name in self.models:
            if name in evidence.models:
                model = evidence.models[name]
                yield Row(
                    subject=f"{model.name} at {self.bits:g} bits",
                    value=model.parameters * self.bits / 8e9,
                    basis=Basis.MODELLED,
                    citation=model.citations[0] if model.citations else None,
                )


class WeightBytes(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """GB that weights take, measured, published or modelled; or the share they are smaller than at 32 bits, in %."""

    which: Which
    as_reduction: bool = False

    def rows(self, evidence: Evidence) -> Iterator[Row]:
        """Yield one row for each scheme of a model and basis; builds of equal size are one."""
        seen: set[Hashable] = set()
        for variant, model in chosen(evidence, self.which):
            figure = variant.weight_bytes
            key = (model.id, variant.scheme.name, figure.basis, round(figure.value / 1e7))
            if key not in seen:
                seen.add(key)
                full = model.parameters * 4
                yield Row(
                    subject=f"{model.name}, {variant.scheme.name}",
                    value=100 * (1 - figure.value / full) if self.as_reduction else figure.value / 1e9,
                    basis=figure.basis,
                    evidence=(variant.id,),
                    citation=None if figure.basis is Basis.MODELLED else cited(variant),
                )


class WeightsOf(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Share of a device's usable memory that weights take, in %."""

    which: Which
    devices: tuple[str, ...]

    def rows(self, evidence: Evidence) -> Iterator[Row]:
        """Yield one row for each device and scheme."""
        seen: set[Hashable] = set()
        for name in self.devices:
            device = evidence.devices.get(name)
            for variant, model in chosen(evidence, self.which) if device else ():
                key = (name, model.id, variant.scheme.name)
                if device is not None and key not in seen:
                    seen.add(key)
                    capacity = device.usable_bytes or device.memory_bytes
                    yield Row(
                        subject=f"{model.name}, {variant.scheme.name} on {device.name}",
                        value=100 * variant.weight_bytes.value / capacity,
                        basis=weakest((variant.weight_bytes.basis, Basis.PUBLISHED)),
                        evidence=(variant.id,),
                    )


class BuildFact(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A figure that building a variant measured on the way, times `scale`."""

    key: str
    scale: float = 1.0

    def rows(self, evidence: Evidence) -> Iterator[Row]:
        """Yield one row for each variant whose provenance holds it."""
        for variant in sorted(evidence.held.variants, key=lambda variant: variant.id):
            value = variant.provenance.facts.get(self.key)
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield Row(
                    subject=f"{variant.name}, {self.key}",
                    value=self.scale * value,
                    basis=Basis.MEASURED,
                    evidence=(variant.id,),
                    citation=cited(variant),
                )
