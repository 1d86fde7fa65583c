"""Finishing an evaluation: remarks on what its figures can mean, and the id every figure names as its evidence."""

from __future__ import annotations

from typing import Final

import msgspec

from planner.domain.evaluation import Evaluation
from planner.domain.figure import Figure
from planner.domain.statistics import above_chance, within_noise
from worker.identity import content_id

SHORT_OUTPUT: Final = 0.9
"""Output length against the baseline's below which MLPerf's inference rules reject a result."""
NEAR_CHANCE: Final = 0.02
"""Distance to the score of guessing at which a multiple-choice score says that a model is broken."""


def finish(evaluation: Evaluation, *, remarks: tuple[str, ...] = (), not_applied: bool = False) -> Evaluation:
    """Return the evaluation with its notes, its doubt if any, and its id.

    `not_applied` says that a variant that claims to be quantized gave the baseline's very numbers.
    """
    evaluation = msgspec.structs.replace(
        evaluation,
        notes=(*remarks, *_notes(evaluation)),
        doubt=evaluation.doubt
        or (
            "quantization was probably not applied: every number equals the baseline's"
            if not_applied
            else None
        )
        or _no_information(evaluation),
    )
    return _with_id(evaluation)


def _no_information(evaluation: Evaluation) -> str | None:
    """Return the doubt that the baseline itself does no better than guessing, so that nothing can be lost."""
    chance, items = evaluation.chance, evaluation.items
    if chance is None or items is None or above_chance(evaluation.baseline_score, items, chance):
        return None
    return (
        f"no information: the baseline scores {evaluation.baseline_score:.3f} on {items} items, "
        f"guessing scores {chance:.3f}"
    )


def _notes(evaluation: Evaluation) -> list[str]:
    notes: list[str] = []
    if evaluation.relative_loss.value != 0 and within_noise(evaluation):
        notes.append("the loss is within the noise floor: the baseline against itself differs as much")
    chance = evaluation.chance
    if (
        chance
        and evaluation.items
        and evaluation.variant_score <= chance + NEAR_CHANCE
        and evaluation.baseline_score > chance + 5 * NEAR_CHANCE
    ):
        notes.append("the variant does no better than guessing: broken rather than lossy")
    ratio = evaluation.output_ratio
    if ratio is not None and ratio.value < SHORT_OUTPUT:
        notes.append(
            f"the variant writes {ratio.value:.0%} of the baseline's tokens: both its speed and its score are suspect"
        )
    return notes


def _with_id(evaluation: Evaluation) -> Evaluation:
    identifier = content_id("evaluation", evaluation)

    def cited(figure: Figure | None) -> Figure | None:
        return figure and msgspec.structs.replace(figure, evidence=(identifier,))

    fidelity = evaluation.fidelity
    if fidelity is not None:
        fidelity = msgspec.structs.replace(
            fidelity, **{name: cited(getattr(fidelity, name)) for name in fidelity.__struct_fields__}
        )
    return msgspec.structs.replace(
        evaluation,
        id=identifier,
        relative_loss=msgspec.structs.replace(evaluation.relative_loss, evidence=(identifier,)),
        absolute_loss=cited(evaluation.absolute_loss),
        noise_floor=cited(evaluation.noise_floor),
        output_ratio=cited(evaluation.output_ratio),
        fidelity=fidelity,
    )
