"""Lints on scores: L1, L2, L3c, L14, L15 and L16."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from planner.domain.statistics import above_chance
from planner.ingest.imported import Finding, Item, TaskScore
from planner.ingest.lints.finding import refuse, warn

LOW_BITS: Final = 3.0
FLOOR: Final = 0.01
CHANCE_MARGIN: Final = 0.02
FAR_ABOVE_CHANCE: Final = 0.1
TASK_HASH: Final = "task hash"
"""Name of the hash over all prompts, which a run without samples does not have."""
LENGTH_RATIO: Final = 0.9
LEAST_SCORES: Final = 3
"""Equal scores of fewer metrics than this happen by chance."""


def not_applied(
    findings: list[Finding],
    variant: Mapping[tuple[str, str], TaskScore],
    others: Mapping[str, Mapping[tuple[str, str], float]],
    *,
    baseline: str,
    bits: float | None,
) -> str | None:
    """L1: return the doubt when every score equals another run's, or a variant of few bits sits inside its noise.

    `others` holds the scores of other runs by what they are called, keyed by task and metric; `baseline` is one of them.
    """
    for label, scores in others.items():
        shared = [(variant[key].score, value) for key, value in scores.items() if key in variant]
        informative = [pair for pair in shared if pair[0] > 0 and pair[0] != 1]
        if len(informative) >= LEAST_SCORES and all(a == b for a, b in shared):
            message = (
                f"all {len(shared)} scores equal those of {label} to the last digit: "
                "quantization was probably not applied"
            )
            warn(findings, "L1", message)
            return message
    reference = others.get(baseline, {})
    known = [
        (score, reference[key])
        for key, score in variant.items()
        if key in reference and score.stderr and score.bounded and score.score > FLOOR
    ]
    if bits is not None and bits <= LOW_BITS and len(known) >= LEAST_SCORES:
        within = all(abs(score.score - value) <= 2**0.5 * (score.stderr or 0.0) for score, value in known)
        if within:
            message = (
                f"{bits:.3g} bits per weight, yet all {len(known)} scores lie within the baseline's noise: "
                "quantization was probably not applied"
            )
            warn(findings, "L1", message)
            return message
    return None


def same_answers(findings: list[Finding], task: str, pairs: Sequence[tuple[Item, Item]]) -> str | None:
    """L1: return the doubt when the model returned the same on every item, log-likelihoods to the last digit included."""
    if len(pairs) < LEAST_SCORES or not all(a.answer == b.answer for a, b in pairs):
        return None
    message = f"{task}: everything returned on {len(pairs)} items equals the baseline's: quantization was probably not applied"
    warn(findings, "L1", message)
    return message


def no_information(findings: list[Finding], baseline: TaskScore) -> str | None:
    """L2: return the doubt when the baseline is at the floor, or no better than guessing."""
    if not baseline.bounded or not baseline.higher_is_better:
        return None
    at_floor = baseline.score <= FLOOR
    by_chance = (
        baseline.chance is not None
        and baseline.items is not None
        and 0 <= baseline.score <= 1
        and not above_chance(baseline.score, baseline.items, baseline.chance)
    )
    if not (at_floor or by_chance):
        return None
    what = "at the floor" if at_floor else f"no better than chance ({baseline.chance:.3g})"
    message = f"{baseline.task}, {baseline.metric}: the baseline's score {baseline.score:.4g} is {what}: no information"
    warn(findings, "L2", message)
    return message


def broken(findings: list[Finding], pairs: Sequence[tuple[TaskScore, TaskScore]]) -> str | None:
    """L3c: return a note when every choice task of the variant is at chance while its baseline is far above.

    Pairs are (baseline, variant).
    """
    choice = [(b, v, b.chance) for b, v in pairs if b.is_choice and b.chance is not None]
    if not choice or any(b.score < chance + FAR_ABOVE_CHANCE for b, _, chance in choice):
        return None
    if any(abs(v.score - chance) > CHANCE_MARGIN for _, v, chance in choice):
        return None
    message = (
        f"all {len(choice)} choice scores are within 2 pp of chance while the baseline's are not: "
        "a broken artifact, not a lossy one"
    )
    warn(findings, "L3c", message)
    return message


def comparable(findings: list[Finding], baseline: TaskScore, variant: TaskScore) -> bool:
    """L14: return whether two scores were made alike; refuse the pair when a setting differs that changes prompts.

    A different batch size alone is a warning: it moves scores by about a percent, and the prompts are the same.
    """
    different: list[str] = []
    for name in sorted({*baseline.identity, *variant.identity}):
        base, other = baseline.identity.get(name), variant.identity.get(name)
        if name == TASK_HASH and (base is None or other is None):
            warn(
                findings,
                "L14",
                f"{variant.task}: the task hash is stated by one run only: equal prompts are not shown",
            )
        elif base != other:
            different.append(f"{name} ({base or 'not stated'} against {other or 'not stated'})")
    if different:
        refuse(findings, "L14", f"{variant.task}: not comparable, differs in {', '.join(different)[:600]}")
        return False
    if baseline.batch_size != variant.batch_size:
        warn(
            findings,
            "L14",
            f"{variant.task}: batch size {baseline.batch_size} against {variant.batch_size}: that alone moves scores",
        )
    return True


def same_items(findings: list[Finding], baseline: TaskScore, variant: TaskScore) -> bool:
    """L14: return whether the items of two runs can be paired one by one: same keys, same prompts and targets."""
    base = {item.key: item.fingerprint for item in baseline.records}
    other = {item.key: item.fingerprint for item in variant.records}
    if base == other:
        return bool(base)
    changed = sum(1 for key in base.keys() & other.keys() if base[key] != other[key])
    refuse(
        findings,
        "L14",
        f"{variant.task}: not paired: {changed} items have another prompt or target, "
        f"{len(base.keys() ^ other.keys())} are in one run only",
    )
    return False


def subset(findings: list[Finding], score: TaskScore) -> str | None:
    """L15: return a note when the score is over a part of the task's items."""
    if score.items is None or score.original_items is None or score.items >= score.original_items:
        return None
    message = f"{score.task}: {score.items} of {score.original_items} items; intervals are over those only"
    warn(findings, "L15", message)
    return message


def shortened(findings: list[Finding], what: str, ratio: float | None) -> str | None:
    """L16: return a note when the variant writes less than 90 % of what the baseline writes."""
    if ratio is None or ratio >= LENGTH_RATIO:
        return None
    message = f"{what}: output is {ratio:.0%} as long as the baseline's: speed and score are both suspect"
    warn(findings, "L16", message)
    return message
