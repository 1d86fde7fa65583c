from __future__ import annotations

import numpy as np
import pytest
import torch

from worker.evaluate import fidelity
from worker.evaluate.fidelity import Scores, counts_of, document_of, fidelity_of, score

pytestmark = pytest.mark.worker


def _logits(tokens: int, vocabulary: int, seed: int) -> torch.Tensor:
    return torch.randn(tokens, vocabulary, generator=torch.Generator().manual_seed(seed)) * 2


def _scores(tokens: int, seed: int, *, noise: float = 0.1) -> Scores:
    rng = np.random.default_rng(seed)
    kl = rng.exponential(noise, tokens)
    right = rng.random(tokens) < 0.5
    flip = rng.random(tokens) < noise
    return Scores(
        baseline_nll=rng.random(tokens),
        variant_nll=rng.random(tokens),
        kl=kl,
        same_top=~flip,
        baseline_right=right,
        variant_right=right ^ flip,
    )


def test_scores_are_those_of_the_definitions_in_double_precision():
    base, other = _logits(50, 97, 1), _logits(50, 97, 2)
    targets = np.random.default_rng(0).integers(0, 97, 50)
    p, q = (torch.log_softmax(x.double(), -1).numpy() for x in (base, other))
    rows = np.arange(50)
    result = score(base, other, targets)
    np.testing.assert_allclose(result.baseline_nll, -p[rows, targets], rtol=1e-5)
    np.testing.assert_allclose(result.variant_nll, -q[rows, targets], rtol=1e-5)
    np.testing.assert_allclose(result.kl, (np.exp(p) * (p - q)).sum(-1), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(result.same_top, p.argmax(-1) == q.argmax(-1))
    np.testing.assert_array_equal(result.baseline_right, p.argmax(-1) == targets)


def test_blocks_of_rows_change_nothing(monkeypatch):
    base, other = _logits(64, 33, 3), _logits(64, 33, 4)
    targets = np.arange(64) % 33
    whole = score(base, other, targets)
    monkeypatch.setattr(fidelity, "_CHUNK_ELEMENTS", 33 * 7)
    parts = score(base, other, targets)
    np.testing.assert_array_equal(whole.kl, parts.kl)
    np.testing.assert_array_equal(whole.variant_nll, parts.variant_nll)


def test_counts_add_up():
    scores = [_scores(100, 1), _scores(50, 2)]
    counts = counts_of(scores)
    assert counts.items == 150
    assert counts.flips == pytest.approx(
        np.concatenate([part.baseline_right ^ part.variant_right for part in scores]).mean()
    )


def test_a_document_is_the_sum_of_its_windows():
    parts = [_scores(10, 1), _scores(5, 2)]
    document = document_of("d", parts)
    assert document.tokens == 15
    assert document.baseline_nll == pytest.approx(sum(part.baseline_nll.sum() for part in parts))


def test_intervals_hold_the_value_and_shrink_with_documents():
    widths = []
    for documents in (8, 128):
        scores = [_scores(40, seed) for seed in range(documents)]
        result = fidelity_of(scores, list(range(documents)), evidence=("e",))
        for figure in (result.kl_mean, result.kl_p99, result.top1_agreement, result.flips):
            assert figure is not None
            assert figure.interval is not None
            assert figure.interval.lo <= figure.value <= figure.interval.hi
            assert figure.evidence == ("e",)
        assert result.kl_max is not None
        assert result.kl_max.interval is None
        assert result.kl_mean is not None
        assert result.kl_mean.interval is not None
        widths.append(result.kl_mean.interval.hi - result.kl_mean.interval.lo)
    assert widths[1] < widths[0] / 2


def test_windows_of_one_document_are_one_sampling_unit():
    scores = [_scores(40, seed) for seed in range(6)]
    apart = fidelity_of(scores, list(range(6)))
    together = fidelity_of(scores, [0, 0, 0, 1, 1, 1])
    assert apart.kl_mean is not None
    assert together.kl_mean is not None
    assert apart.kl_mean.value == pytest.approx(together.kl_mean.value)
    assert apart.kl_mean.interval is not None
    assert together.kl_mean.interval is None  # two documents say nothing about their spread


def test_perfect_agreement_is_bounded_not_certain():
    exact = [
        Scores(
            baseline_nll=np.ones(9),
            variant_nll=np.ones(9),
            kl=np.zeros(9),
            same_top=np.ones(9, dtype=bool),
            baseline_right=np.ones(9, dtype=bool),
            variant_right=np.ones(9, dtype=bool),
        )
    ] * 10
    result = fidelity_of(exact, list(range(10)))
    assert result.top1_agreement is not None
    assert result.top1_agreement.value == 1
    assert result.top1_agreement.interval is not None
    assert result.top1_agreement.interval.lo == pytest.approx(1 - 0.29957, abs=1e-4)  # -ln(0.05)/10
    assert result.kl_mean is not None
    assert result.kl_mean.interval is None


def test_the_interval_of_a_share_covers_as_often_as_it_says():
    rng, hits, trials = np.random.default_rng(5), 0, 60
    for _ in range(trials):
        rates = rng.beta(8, 2, 40)  # documents differ, the mean is 0.8
        scores = []
        for rate in rates:
            same = rng.random(25) < rate
            scores.append(
                Scores(
                    baseline_nll=np.ones(25),
                    variant_nll=np.ones(25),
                    kl=np.zeros(25),
                    same_top=same,
                    baseline_right=same,
                    variant_right=same,
                )
            )
        figure = fidelity_of(scores, list(range(40))).top1_agreement
        assert figure is not None
        assert figure.interval is not None
        hits += figure.interval.lo <= 0.8 <= figure.interval.hi
    assert 0.77 <= hits / trials <= 0.98
