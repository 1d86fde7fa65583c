"""Evaluations: what a variant loses against its own baseline on a task, with the records to judge it again."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from planner.domain.figure import Basis, Figure
from planner.domain.profile import Environment
from planner.errors import InvalidInput


class PairedCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Items by who got them right: four integers from which every paired test of a 0/1 score derives."""

    both_right: int
    only_baseline: int
    only_variant: int
    both_wrong: int

    def __post_init__(self) -> None:
        for field in self.__struct_fields__:
            if getattr(self, field) < 0:
                raise InvalidInput(
                    f"counts.{field}", f"{getattr(self, field)} is negative", allowed="0 or more"
                )
        if self.items == 0:
            raise InvalidInput("counts", "hold no items", allowed="at least one item")

    @property
    def items(self) -> int:
        """Number of items compared."""
        return self.both_right + self.only_baseline + self.only_variant + self.both_wrong

    @property
    def baseline_score(self) -> float:
        """Share of items the baseline got right."""
        return (self.both_right + self.only_baseline) / self.items

    @property
    def variant_score(self) -> float:
        """Share of items the variant got right."""
        return (self.both_right + self.only_variant) / self.items

    @property
    def flips(self) -> float:
        """Share of items that changed between right and wrong, in either direction."""
        return (self.only_baseline + self.only_variant) / self.items


class Fidelity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How closely the variant follows its baseline token by token; accompanies loss, never replaces it."""

    kl_mean: Figure | None = None
    """Mean Kullback-Leibler divergence from baseline to variant, nats per token."""
    kl_p99: Figure | None = None
    kl_max: Figure | None = None
    top1_agreement: Figure | None = None
    """Share of tokens where both give the highest probability to the same token."""
    flips: Figure | None = None
    """Share of items whose correctness changed, in either direction."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Paired record of one document: negative log-likelihoods in nats over its scored tokens."""

    id: str
    tokens: int
    baseline_nll: float
    variant_nll: float


class ItemOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Paired record of one item of a task: what each of the two scored (0 to 1), and how much each wrote."""

    id: str
    baseline: float
    variant: float
    baseline_tokens: int | None = None
    """Tokens generated; None for items that ask for none."""
    variant_tokens: int | None = None

    def __post_init__(self) -> None:
        for field in ("baseline", "variant"):
            if not 0 <= getattr(self, field) <= 1:
                raise InvalidInput(
                    f"outcomes.{field}", f"{getattr(self, field)} is out of range", allowed="0 to 1"
                )
        for field in ("baseline_tokens", "variant_tokens"):
            if (getattr(self, field) or 0) < 0:
                raise InvalidInput(f"outcomes.{field}", "is negative", allowed="0 or more")


class Decision(StrEnum):
    """What a sequential evaluation says about "loss <= limit"."""

    CERTIFIED = "certified"
    VIOLATED = "violated"
    UNDECIDED = "undecided"


class Certification(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to "is the relative loss at most `limit`?", found item by item, stopping as soon as it was known.

    The bounds hold at `confidence` each, at whatever item the evaluation stopped (`planner.domain.certification`).
    """

    limit: float
    confidence: float
    decision: Decision
    items: int
    """Items used, the first ones of a shuffled order."""
    available: int
    lower: float | None = None
    upper: float | None = None
    exact: bool
    """True when the error holds for any distribution of item scores; False when it holds for many items only."""
    method: str
    more_items: int | None = None
    """About how many items more would decide, while undecided; None when that cannot be said."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One task on which variant and baseline were compared, on the same items with the same protocol.

    `relative_loss` and `absolute_loss` follow `planner.domain.loss`; positive means the variant is worse.
    """

    id: str
    variant_id: str
    task: str
    metric: str
    higher_is_better: bool
    basis: Basis
    baseline_score: float
    variant_score: float
    relative_loss: Figure
    absolute_loss: Figure | None = None
    """Percentage points; None for metrics that are not a score, such as perplexity."""
    baseline_variant_id: str | None = None
    baseline_label: str | None = None
    items: int | None = None
    counts: PairedCounts | None = None
    documents: tuple[Document, ...] = ()
    outcomes: tuple[ItemOutcome, ...] = ()
    """Per-item records of a task, from which every statistic above derives again."""
    mcnemar_p: float | None = None
    """Two-sided exact McNemar p-value; None where items are graded, tokens, or were stopped at when decided."""
    minimum_effect: float | None = None
    """Smallest relative loss that a two-sided 5 % test on these items finds with power 0.8."""
    noise_floor: Figure | None = None
    """Relative loss of the baseline against itself, run in another batch shape on the same device."""
    chance: float | None = None
    """Score of guessing."""
    output_ratio: Figure | None = None
    """Tokens the variant generates for each one of the baseline's."""
    certification: Certification | None = None
    notes: tuple[str, ...] = ()
    """Remarks that do not keep the evaluation from being used."""
    fidelity: Fidelity | None = None
    dataset_digest: str | None = None
    protocol: str | None = None
    environment: Environment = Environment()
    citation: str | None = None
    measured_at: datetime | None = None
    doubt: str | None = None
    """Why the evaluation says nothing about the variant; one with a doubt answers no question."""

    @property
    def is_perplexity(self) -> bool:
        """True for perplexity, whose relative loss is used only when no task score exists."""
        return self.metric == "perplexity"
