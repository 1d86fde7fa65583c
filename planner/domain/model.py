"""Base models: trained weights that variants are built from."""

from __future__ import annotations

import msgspec

from planner.domain.architecture import Architecture
from planner.domain.scheme import NumberFormat


class Model(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A base model. `id` is unique in the registry, e.g. "llama-2-13b"; `hub_id` is its name on a model hub."""

    id: str
    name: str
    family: str
    architecture: Architecture
    parameters: int
    reference_format: NumberFormat
    """The precision the weights are released in, which is the baseline of every loss."""
    size_billions: float
    """The size people call it by: 13 for a "13B", whatever the exact count."""
    hub_id: str | None = None
    aliases: tuple[str, ...] = ()
    license: str | None = None
    citations: tuple[str, ...] = ()
    note: str | None = None

    def names(self) -> tuple[str, ...]:
        """Return every lower-case name the model answers to."""
        names = [self.id, self.name, *self.aliases]
        if self.hub_id:
            names += [self.hub_id, self.hub_id.rpartition("/")[2]]
        return tuple(dict.fromkeys(name.lower() for name in names))
