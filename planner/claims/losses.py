"""Losses: what variants lose against their baseline, and one scheme against another. Doubted evidence is not used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator
from statistics import mean

import msgspec

from planner.claims.evidence import Evidence, Row, Which, cited
from planner.domain.evaluation import Evaluation
from planner.domain.figure import Interval, weakest
from planner.domain.variant import Variant


class Loss(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Relative loss in %: the mean over the task scores of one source, or of perplexity where there are none."""

    which: Which
    metrics: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    """Words of which the task's name has one."""

    def rows(self, evidence: Evidence) -> Iterator[Row]:
        """Yield one row for each variant and source."""
        for (variant, _), group in sorted(
            _losses(evidence, self.which).items(), key=lambda item: (item[0][0], item[0][1])
        ):
            fitting = [
                evaluation
                for evaluation in group
                if (not self.metrics or evaluation.metric.lower() in self.metrics)
                and (not self.tasks or any(word in evaluation.task.lower() for word in self.tasks))
            ]
            row = _loss_row(evidence.variants[variant], fitting)
            if row is not None:
                yield row


class LossDifference(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """By how many points of relative loss, in %, `which` loses more than `other` of the same model and source.

    Both have the same bits, activations and KV cache, and with `same_groups` the same group size. With `not_smaller` they
    have the same number format too, and the first spends at least as many bytes: it is asked what its bytes buy.
    """

    which: Which
    other: Which
    same_groups: bool = False
    not_smaller: bool = False

    def rows(self, evidence: Evidence) -> Iterator[Row]:
        """Yield one row for each pair of variants."""
        others = _losses(evidence, self.other)
        for (name, source), group in sorted(_losses(evidence, self.which).items()):
            variant = evidence.variants[name]
            for (other_name, other_source), other_group in sorted(others.items()):
                other = evidence.variants[other_name]
                alike = (
                    source == other_source
                    and name != other_name
                    and variant.model_id == other.model_id
                    and self._layout(variant) == self._layout(other)
                    and (not self.not_smaller or variant.weight_bytes.value >= other.weight_bytes.value)
                )
                tasks = {(e.task, e.metric) for e in group} & {(e.task, e.metric) for e in other_group}
                pair = [
                    _loss_row(owner, [e for e in own if (e.task, e.metric) in tasks])
                    for owner, own in ((variant, group), (other, other_group))
                ]
                if alike and pair[0] is not None and pair[1] is not None:
                    yield Row(
                        subject=f"{variant.name} against {other.name}",
                        value=pair[0].value - pair[1].value,
                        basis=weakest((pair[0].basis, pair[1].basis)),
                        evidence=(*pair[0].evidence, *pair[1].evidence),
                        citation=pair[0].citation,
                    )

    def _layout(self, variant: Variant) -> Hashable:
        scheme = variant.scheme
        group = scheme.weight.group_size if self.same_groups else None
        number = scheme.weight.format if self.not_smaller else scheme.nominal_bits
        return (number, scheme.activation, scheme.activation_scaling, scheme.kv, group)


def _losses(evidence: Evidence, which: Which) -> dict[tuple[str, str], list[Evaluation]]:
    """Return the evaluations of the variants meant by variant and source."""
    found: defaultdict[tuple[str, str], list[Evaluation]] = defaultdict(list)
    for evaluation in sorted(evidence.held.evaluations, key=lambda evaluation: evaluation.id):
        variant = evidence.variants.get(evaluation.variant_id)
        if evaluation.doubt is not None or variant is None:
            continue
        if which.admits(variant, evidence.models[variant.model_id]):
            found[evaluation.variant_id, cited(evaluation)].append(evaluation)
    return found


def _loss_row(variant: Variant, evaluations: list[Evaluation]) -> Row | None:
    """Return the loss by the rule of the system: task scores before perplexity."""
    scores = [evaluation for evaluation in evaluations if not evaluation.is_perplexity]
    chosen = scores or evaluations
    if not chosen:
        return None
    interval: Interval | None = None
    if len(chosen) == 1 and (own := chosen[0].relative_loss.interval) is not None:
        interval = Interval(lo=100 * own.lo, hi=100 * own.hi, confidence=own.confidence)
    tasks = len({evaluation.task for evaluation in chosen})
    what = "perplexity" if not scores else chosen[0].task if tasks == 1 else f"{tasks} tasks"
    return Row(
        subject=f"{variant.name}, {what}",
        value=100 * mean(evaluation.relative_loss.value for evaluation in chosen),
        basis=weakest(evaluation.basis for evaluation in chosen),
        interval=interval,
        evidence=tuple(evaluation.id for evaluation in chosen),
        citation=cited(chosen[0]),
    )
