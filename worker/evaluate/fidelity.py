"""Token by token: how the variant's predictions differ from the baseline's, and what that says with which certainty.

Tokens of one document depend on each other, so every interval resamples documents, never tokens (cluster bootstrap,
Efron & Tibshirani, An Introduction to the Bootstrap (1993), section 8). Two-sided at 90 %, as loss is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from planner.domain.evaluation import Document, Fidelity, PairedCounts
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.units import Unit

if TYPE_CHECKING:
    import torch

CONFIDENCE: Final = 0.9
RESAMPLES: Final = 1000
MIN_DOCUMENTS: Final = 4
_CHUNK_ELEMENTS: Final = 2**24
"""Elements of one FP32 block of logits: 64 MiB, of which four are alive at once."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """Per scored token: both negative log-likelihoods and the divergence in nats, and who was right."""

    baseline_nll: Floats
    variant_nll: Floats
    kl: Floats
    same_top: Bools
    baseline_right: Bools
    variant_right: Bools

    def __len__(self) -> int:
        return int(self.kl.size)


def score(base: torch.Tensor, other: torch.Tensor, targets: npt.NDArray[np.int64]) -> Scores:
    """Compare two sets of logits (tokens x vocabulary), a block of rows at a time in FP32 to bound memory."""
    import torch

    rows = max(1, _CHUNK_ELEMENTS // base.shape[-1])
    wanted = torch.from_numpy(targets).to(base.device)
    columns: list[list[npt.NDArray[np.float64]]] = [[] for _ in range(6)]
    with torch.inference_mode():
        for start in range(0, base.shape[0], rows):
            block = slice(start, start + rows)
            p = torch.log_softmax(base[block].float(), dim=-1)
            q = torch.log_softmax(other[block].float(), dim=-1)
            target = wanted[block, None]
            top_p, top_q = p.argmax(-1), q.argmax(-1)
            values = (
                -p.gather(1, target)[:, 0],
                -q.gather(1, target)[:, 0],
                (p.exp() * (p - q)).sum(-1).clamp_min(0),
                top_p == top_q,
                top_p == target[:, 0],
                top_q == target[:, 0],
            )
            for column, value in zip(columns, values, strict=True):
                column.append(value.double().cpu().numpy())
    joined = [np.concatenate(column) for column in columns]
    return Scores(
        baseline_nll=joined[0],
        variant_nll=joined[1],
        kl=joined[2],
        same_top=joined[3] > 0.5,
        baseline_right=joined[4] > 0.5,
        variant_right=joined[5] > 0.5,
    )


def negative_log_likelihood(logits: torch.Tensor, targets: npt.NDArray[np.int64]) -> float:
    """Return the sum of the targets' negative log-likelihoods in nats, computed as `score` does."""
    import torch

    rows = max(1, _CHUNK_ELEMENTS // logits.shape[-1])
    wanted = torch.from_numpy(targets).to(logits.device)
    parts: list[npt.NDArray[np.float64]] = []
    with torch.inference_mode():
        for start in range(0, logits.shape[0], rows):
            p = torch.log_softmax(logits[start : start + rows].float(), dim=-1)
            chosen = p.gather(1, wanted[start : start + rows, None])[:, 0]
            parts.append((-chosen).double().cpu().numpy())
    return float(np.concatenate(parts).sum())


def document_of(identifier: str, parts: list[Scores]) -> Document:
    """Return the paired record of one document from the scores of its windows."""
    return Document(
        id=identifier,
        tokens=sum(len(scores) for scores in parts),
        baseline_nll=math.fsum(float(scores.baseline_nll.sum()) for scores in parts),
        variant_nll=math.fsum(float(scores.variant_nll.sum()) for scores in parts),
    )


def counts_of(scores: list[Scores]) -> PairedCounts:
    """Return how often each of the two predicted the next token."""
    base = np.concatenate([part.baseline_right for part in scores])
    other = np.concatenate([part.variant_right for part in scores])
    return PairedCounts(
        both_right=int((base & other).sum()),
        only_baseline=int((base & ~other).sum()),
        only_variant=int((~base & other).sum()),
        both_wrong=int((~base & ~other).sum()),
    )


def fidelity_of(scores: list[Scores], owners: list[int], *, evidence: tuple[str, ...] = ()) -> Fidelity:
    """Return the fidelity over all tokens; `owners` names the document of each set of scores."""
    documents = np.concatenate(
        [np.full(len(part), owner) for part, owner in zip(scores, owners, strict=True)]
    )
    _, document = np.unique(documents, return_inverse=True)
    kl = np.concatenate([part.kl for part in scores])
    same = np.concatenate([part.same_top for part in scores])
    flipped = np.concatenate([part.baseline_right ^ part.variant_right for part in scores])
    draws = _draws(int(document.max()) + 1)

    def share(values: Bools) -> Figure:
        return _share(values, document, draws, evidence)

    return Fidelity(
        kl_mean=_figure(float(kl.mean()), Unit.NATS, _mean_interval(kl, document, draws), evidence),
        kl_p99=_figure(_quantile(kl), Unit.NATS, _quantile_interval(kl, document, draws), evidence),
        kl_max=_figure(float(kl.max()), Unit.NATS, None, evidence),
        top1_agreement=share(same),
        flips=share(flipped),
    )


def _figure(value: float, unit: Unit, interval: Interval | None, evidence: tuple[str, ...]) -> Figure:
    return Figure(value=value, unit=unit, basis=Basis.MEASURED, interval=interval, evidence=evidence)


def _draws(documents: int) -> npt.NDArray[np.int64] | None:
    """Return how often each document occurs in each resample; None when they are too few to say anything."""
    if documents < MIN_DOCUMENTS:
        return None
    return np.random.default_rng(0).multinomial(documents, np.full(documents, 1 / documents), size=RESAMPLES)


def _interval(samples: Floats, value: float) -> Interval | None:
    lo, hi = (float(q) for q in np.quantile(samples, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]))
    if lo == hi:
        return None
    return Interval(lo=min(lo, value), hi=max(hi, value), confidence=CONFIDENCE)


def _mean_samples(values: Floats, document: npt.NDArray[np.int64], draws: npt.NDArray[np.int64]) -> Floats:
    sums = np.bincount(document, weights=values)
    sizes = np.bincount(document)
    result: Floats = (draws @ sums) / (draws @ sizes)
    return result


def _mean_interval(
    values: Floats, document: npt.NDArray[np.int64], draws: npt.NDArray[np.int64] | None
) -> Interval | None:
    if draws is None:
        return None
    return _interval(_mean_samples(values, document, draws), float(values.mean()))


def _share(
    values: Bools,
    document: npt.NDArray[np.int64],
    draws: npt.NDArray[np.int64] | None,
    evidence: tuple[str, ...],
) -> Figure:
    """Return a share with its interval. Where every document agrees, the rule of three bounds what was not seen."""
    value = float(values.mean())
    interval = _mean_interval(values.astype(np.float64), document, draws)
    if interval is None and draws is not None:
        unseen = -math.log((1 - CONFIDENCE) / 2) / draws.shape[1]
        interval = Interval(lo=max(0.0, value - unseen), hi=min(1.0, value + unseen), confidence=CONFIDENCE)
    return _figure(value, Unit.RATIO, interval, evidence)


def _quantile(values: Floats) -> float:
    return float(np.quantile(values, 0.99, method="inverted_cdf"))


def _quantile_interval(
    values: Floats, document: npt.NDArray[np.int64], draws: npt.NDArray[np.int64] | None
) -> Interval | None:
    """Resample the 99th percentile: sort once, then weigh each token by its document's multiplicity."""
    if draws is None:
        return None
    order = np.argsort(values)
    ordered, owner = values[order], document[order]
    resamples = max(100, min(RESAMPLES, 200_000_000 // max(1, values.size)))
    samples = np.empty(resamples)
    for row in range(resamples):
        weight = np.cumsum(draws[row][owner])
        samples[row] = ordered[min(int(np.searchsorted(weight, 0.99 * weight[-1])), values.size - 1)]
    return _interval(samples, _quantile(values))
