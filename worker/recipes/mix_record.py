"""What a search for a mix leaves behind: facts for the provenance, and the reason why each kept layer was kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from planner.domain.profile import Fact
from worker.recipes.mix_search import Trial
from worker.recipes.sensitivity import Group, Sensitivity

FULL: Final = "full"
"""The format of a layer that is kept as it is."""
TOP_SENSITIVITIES: Final = 12
"""How many sensitivities become facts, the largest."""

Table = Mapping[str, Mapping[str, Sensitivity]]
"""Sensitivity by group name and format name."""


def mix_facts(
    groups: Sequence[Group],
    chosen: Mapping[str, str],
    formats: Iterable[str],
    trials: Sequence[Trial],
    best: Trial,
) -> dict[str, Fact]:
    """Return what was predicted, what was measured and which groups got which format; `chosen` is by layer."""
    facts: dict[str, Fact] = {
        "mix.predicted_loss": best.predicted_loss,
        "mix.measured_loss": best.measured.loss,
        "mix.measured_loss_upper_95": best.measured.upper,
        "mix.measured_kl": best.measured.kl,
        "mix.points_tried": len(trials),
        "mix.tried": "; ".join(
            f"predicted {trial.predicted_loss:.3%}, measured {trial.measured.loss:.3%} "
            f"(at most {trial.measured.upper:.3%}), size {trial.size}"
            for trial in trials
        ),
    }
    for form in (FULL, *formats):
        names = [group.name for group in groups if chosen[group.layers[0]] == form]
        facts[f"mix.layers.{form}"] = ", ".join(names)
    return facts


def sensitivity_facts(groups: Sequence[Group], table: Table) -> dict[str, Fact]:
    """Return the largest sensitivities, and their sums over all blocks for each part of a block."""
    entries = [(entry.kl, group, form) for group in groups for form, entry in table[group.name].items()]
    sums: dict[str, float] = {}
    for kl, group, form in entries:
        key = f"sensitivity.all_of.{group.part}.{form}"
        sums[key] = sums.get(key, 0.0) + kl
    largest = sorted(entries, key=lambda entry: -entry[0])[:TOP_SENSITIVITIES]
    return {**sums, **{f"sensitivity.{group.name}.{form}": kl for kl, group, form in largest}}


def kept_reasons(
    groups: Sequence[Group], chosen: Mapping[str, str], table: Table, *, bits: float
) -> dict[str, str]:
    """Return the reason by layer name for those the search kept at `bits` bits."""
    reasons: dict[str, str] = {}
    for group in groups:
        if chosen[group.layers[0]] == FULL:
            least = min((entry.kl for entry in table[group.name].values()), default=0.0)
            reason = f"kept at {bits:g} bits: sensitive, KL {least:.2g} where it alone is quantized"
            reasons.update(dict.fromkeys(group.layers, reason))
    return reasons
