"""The screen: fidelity to the base, which is cheap to measure, stops what is clearly broken before tasks are judged.

It is one-sided: a figure that is shown to exceed its limit fails, anything else goes on to the tasks. Fidelity never stands in for
loss.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from planner.domain.evaluation import Evaluation
from planner.domain.figure import Figure
from planner.domain.loss import bounds
from planner.domain.units import Unit, format_value
from planner.gate.evidence import Evidence, Sorted, sort_evaluations, task_name
from planner.gate.policy import SCREEN_FIGURES, Policy, Screen
from planner.gate.report import CheckKind, CheckState, GateCheck

_TITLES: Final = {
    "kl_mean": "mean KL divergence",
    "kl_p99": "99th percentile of KL divergence",
    "top1_agreement": "top-1 agreement",
    "flips": "flips",
}
_LEAST: Final = frozenset({"top1_agreement"})
"""Figures that are better when larger."""


def screen_checks(policy: Policy, evidence: Evidence, *, now: datetime) -> tuple[GateCheck, ...]:
    """Return a check for each figure that the policy screens by."""
    if policy.screen is None:
        return ()
    screen = policy.screen
    wanted = [name for name in SCREEN_FIGURES if getattr(screen, name) is not None]
    fitting = [
        each
        for each in evidence.evaluations
        if _fits(each, screen) and each.baseline_variant_id not in evidence.no_bases
    ]
    found, known = sort_evaluations(fitting, policy.evidence, now=now), tuple(each.id for each in fitting)
    return tuple(
        _check(name, screen, found, known, confidence=1 - policy.alpha / len(wanted)) for name in wanted
    )


def _fits(evaluation: Evaluation, screen: Screen) -> bool:
    return evaluation.fidelity is not None and screen.task in {
        None, evaluation.task, task_name(evaluation.task),
    }  # fmt: skip


def _check(
    name: str, screen: Screen, found: Sorted, known: tuple[str, ...], *, confidence: float
) -> GateCheck:
    limit: float = getattr(screen, name)
    source = next((each for each in found.usable if getattr(each.fidelity, name) is not None), None)
    word = "at least" if name in _LEAST else "at most"
    unit = Unit.RATIO if name in {"top1_agreement", "flips"} else Unit.NATS
    check = GateCheck(
        kind=CheckKind.SCREEN,
        name=_TITLES[name],
        rule=f"{word} {format_value(limit, unit)}",
        state=CheckState.STALE if found.stale else CheckState.MISSING,
        reason=found.stale[0] if found.stale else "no evaluation has it",
        limit=limit,
        field="screen",
        evidence=known,
    )
    if source is None:
        return check
    figure: Figure = getattr(source.fidelity, name)
    lower, upper = bounds(figure, confidence=confidence) or (figure.value, figure.value)
    exceeded = upper < limit if name in _LEAST else lower > limit
    exact = "" if figure.interval is not None else ", a point value without an interval"
    return msgspec.structs.replace(
        check,
        state=CheckState.FAIL if exceeded else CheckState.PASS,
        reason=f"{figure}{exact}: "
        + (f"is not {word} {format_value(limit, unit)}" if exceeded else "not shown to exceed it"),
        figure=figure,
        evidence=(source.id,),
        size=source.items,
    )
