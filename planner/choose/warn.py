"""Warnings: what was assumed, not checked, only likely, doubtful or stale about an answer."""

from __future__ import annotations

from typing import Final

from planner.choose.candidate import UNMEASURED, detail_of
from planner.choose.feasible import Assessment
from planner.choose.losses import CODE
from planner.choose.support import support_of
from planner.domain.constraint import CostLimit, LatencyLimit, LossLimit, ThroughputFloor
from planner.domain.outcome import Candidate, Verdict
from planner.domain.scenario import Objective

NOTABLE_LOSS: Final = 0.01
"""Loss from which an answer to a question without a loss limit points out that one could be set; a choice of ours."""


def warnings(assessment: Assessment, chosen: Candidate | None, position: int | None) -> tuple[str, ...]:
    """Return what holds back the answer: what was assumed, not checked, only likely, doubtful or stale."""
    setting = assessment.setting
    scenario = setting.scenario
    found: list[str] = []
    if setting.capacity is None:
        found.append("Memory was not checked: no device or memory is named.")
    elif (
        setting.capacity.note
        and setting.capacity.interval
        and setting.capacity.interval.lo < setting.capacity.value
    ):
        found.append(f"Capacity is assumed: {setting.capacity.note}.")
    if assessment.count().models > 1 and scenario.objective is Objective.MOST_ACCURATE:
        found.append(
            "Candidates of several base models: loss is against each variant's own baseline and does not compare the "
            "models themselves; ties go to the model with more parameters."
        )
    speedy = scenario.objective in {Objective.FASTEST, Objective.HIGHEST_THROUGHPUT}
    if speedy and chosen is not None and chosen.latency.tpot is None:
        found.append("No speed is known here: candidates are ordered by the weight bytes read per token.")
    if scenario.objective is Objective.CHEAPEST and (chosen is None or chosen.cost is None):
        found.append("Prices are not given: the cheapest is the one that needs the least device memory.")
    doubted = sum(assessment.evidence.doubted.values()) if assessment.evidence else 0
    if doubted:
        found.append(
            f"{doubted} doubted profiles on {setting.device.name if setting.device else 'it'} were left out."
        )
    if chosen is not None and position is not None:
        found += _warnings_of(assessment, chosen, position)
    return tuple(found)


def _warnings_of(assessment: Assessment, chosen: Candidate, position: int) -> list[str]:
    """Return the warnings that concern the chosen candidate alone."""
    setting, found = assessment.setting, list[str]()
    row = int(assessment.rows[position])
    found += assessment.index.standing.warnings(row)
    for judgement in assessment.judgements:
        if judgement.verdict[position] != CODE[Verdict.LIKELY] or not isinstance(
            judgement.constraint, (LossLimit, LatencyLimit, ThroughputFloor, CostLimit)
        ):
            continue
        detail = detail_of(assessment, judgement, position)
        found.append(f"Only likely: {judgement.asked}" + (f"; {detail}." if detail else "."))
    if chosen.loss is None:
        found.append(f"Its loss is not known; {UNMEASURED}.")
    limited = any(isinstance(constraint, LossLimit) for constraint in setting.scenario.constraints)
    if not limited and (chosen.loss is None or chosen.loss.figure.value > NOTABLE_LOSS):
        found.append("No loss limit was asked: `≤1% loss`, for example, rules out what costs more accuracy.")
    spare = setting.devices % chosen.memory.devices
    if setting.devices > chosen.memory.devices:
        found.append(
            f"One replica uses {chosen.memory.devices} of {setting.devices} devices"
            + (f"; {spare} are left over." if spare else "; the others hold further replicas.")
        )
    support = support_of(assessment.index, setting, int(assessment.rows[position]))
    if support.detail:
        found.append(f"{support.detail[0].upper()}{support.detail[1:]}.")
    if not chosen.fetchable:
        found.append("Known from a publication only: its files are not held here.")
    figures = (chosen.memory.total, chosen.latency.ttft, chosen.latency.tpot)
    if any(figure and figure.note and "stale" in figure.note for figure in figures):
        found.append("Some of its evidence is stale.")
    if any(figure and figure.note and "synthetic weights" in figure.note for figure in figures):
        found.append("Its speed was measured on synthetic weights.")
    return found
