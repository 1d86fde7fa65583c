"""Effects: how far recorded times lie from the roofline, by what variants share, learned by shrinkage.

log(recorded / modelled) is a sum of nested random effects. In general: runtime family, then number format within it. On
one device: the device, the family on it, the format within that, the variant. Each effect is the best linear unbiased
prediction under assumed standard deviations (Robinson 1991), so one recording moves its own kind much and its wider kin
a little, and what was never recorded falls back to its parent. Trees make this exact in one pass up and one down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from planner.estimate.columns import FORMATS, Booleans, Floats, Integers
from planner.estimate.priors import RUNTIMES

FAMILIES: Final = len(RUNTIMES)
"""Runtime families: the codes of `priors.RUNTIMES`. Times of one family never calibrate another family's format effect."""
CELLS: Final = FAMILIES * len(FORMATS)

GENERAL_SPREADS: Final = (0.6, 0.2, 0.3, 0.15)
"""Assumed standard deviations of log ratios: between families, formats, devices, and variants."""
DEVICE_SPREADS: Final = (0.3, 0.3, 0.15, 0.1)
"""The same on one device: the device itself, families, formats, and variants."""
STAND_IN_SPREAD: Final = 3.0
"""Of a device whose bandwidth or matrix rate is a stand-in: its own recordings alone say how fast it is."""
NOISE: Final = 0.1
"""Assumed standard deviation between recordings of one variant at different workloads."""


def nested_effects(
    values: Floats, levels: tuple[Integers, ...], spreads: tuple[float, ...]
) -> list[tuple[Integers, Floats]]:
    """Return (codes, total effects: own and all above) per level. Above the first level stands zero.

    `levels` are nested codes of the values, widest first; `spreads` has the assumed standard deviation of each level.
    """
    compact = [np.unique(level, return_inverse=True) for level in levels]
    inverses = [inverse.reshape(-1) for _, inverse in compact]
    parents = [np.zeros(len(codes), dtype=np.int64) for codes, _ in compact]
    for depth in range(1, len(levels)):
        parents[depth][inverses[depth]] = inverses[depth - 1]
    means, variances, target = values, np.full(len(values), NOISE**2), inverses[-1]
    messages: list[tuple[Floats, Floats]] = []
    for depth in range(len(levels) - 1, -1, -1):
        count = len(parents[depth])
        precision = np.bincount(target, weights=1 / variances, minlength=count)
        mean = np.bincount(target, weights=means / variances, minlength=count) / precision
        messages.insert(0, (mean, 1 / precision))
        means, variances, target = mean, 1 / precision + spreads[depth] ** 2, parents[depth]
    found: list[tuple[Integers, Floats]] = []
    for depth, (mean, variance) in enumerate(messages):
        above = found[-1][1][parents[depth]] if depth else np.zeros(len(mean))
        weight = spreads[depth] ** 2 / (spreads[depth] ** 2 + variance)
        found.append((compact[depth][0], weight * mean + (1 - weight) * above))
    return found


def _cells(family: Integers, number_format: Integers) -> Integers:
    return family * len(FORMATS) + number_format


@dataclass(frozen=True, slots=True)
class GeneralEffects:
    """Log ratios that hold on every device, by family and by cell (family, format)."""

    families: Floats
    cells: Floats

    @classmethod
    def of(cls, families: Mapping[int, float], cells: Mapping[tuple[int, str], float]) -> Self:
        """Return the effects written as mappings; what is in neither is 0, what is in no cell is its family's."""
        by_family = np.array([families.get(code, 0.0) for code in range(FAMILIES)])
        by_cell = np.repeat(by_family, len(FORMATS))
        names = {number_format.value: code for code, number_format in enumerate(FORMATS)}
        for (family, name), value in cells.items():
            by_cell[family * len(FORMATS) + names[name]] = value
        return cls(by_family, by_cell)

    @classmethod
    def fit(
        cls, ratios: Floats, *, family: Integers, number_format: Integers, device: Integers, variant: Integers
    ) -> Self:
        """Return the effects of log ratios with the codes of what each was recorded for."""
        cell = _cells(family, number_format)
        on_device = np.unique(np.stack([cell, device]), axis=1, return_inverse=True)[1].reshape(-1)
        leaf = np.unique(np.stack([on_device, variant]), axis=1, return_inverse=True)[1].reshape(-1)
        by_family, by_cell, *_ = nested_effects(ratios, (family, cell, on_device, leaf), GENERAL_SPREADS)
        families = np.zeros(FAMILIES)
        families[by_family[0]] = by_family[1]
        cells = np.repeat(families, len(FORMATS))
        cells[by_cell[0]] = by_cell[1]
        return cls(families, cells)

    def at(self, family: Integers, number_format: Integers) -> Floats:
        """Return the log ratio of each row."""
        found: Floats = self.cells[_cells(family, number_format)]
        return found


@dataclass(frozen=True, slots=True)
class DeviceEffects:
    """What one device adds to the general log ratios, and which families and formats were recorded on it."""

    cells: Floats
    family_known: Booleans
    cell_known: Booleans

    @classmethod
    def fit(
        cls,
        ratios: Floats,
        *,
        family: Integers,
        number_format: Integers,
        variant: Integers,
        general: GeneralEffects,
        stand_in: bool,
    ) -> Self:
        """Return the effects of one device's log ratios (at least one) over the general ones."""
        cell = _cells(family, number_format)
        leaf = np.unique(np.stack([cell, variant]), axis=1, return_inverse=True)[1].reshape(-1)
        spreads = (STAND_IN_SPREAD if stand_in else DEVICE_SPREADS[0], *DEVICE_SPREADS[1:])
        whole, by_family, by_cell, _ = nested_effects(
            ratios - general.cells[cell], (np.zeros_like(family), family, cell, leaf), spreads
        )
        families = np.full(FAMILIES, whole[1][0])
        families[by_family[0]] = by_family[1]
        cells = np.repeat(families, len(FORMATS))
        cells[by_cell[0]] = by_cell[1]
        family_known, cell_known = np.zeros(FAMILIES, dtype=np.bool_), np.zeros(CELLS, dtype=np.bool_)
        family_known[by_family[0]] = True
        cell_known[by_cell[0]] = True
        return cls(cells, family_known, cell_known)

    def at(self, family: Integers, number_format: Integers) -> tuple[Floats, Booleans, Booleans]:
        """Return the log ratio of each row, and whether its family and its format in that family were recorded here."""
        cell = _cells(family, number_format)
        return self.cells[cell], self.family_known[family], self.cell_known[cell]
