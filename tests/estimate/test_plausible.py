"""Plausible: peaks below what must have been in memory are left out, and with them the table they come from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.domain.figure import Basis
from planner.domain.workload import Workload
from planner.estimate.columns import columns_of
from planner.estimate.evidence import Points, gather_evidence
from planner.estimate.plausible import plausible_peaks
from tests.choose.records import GPU, MODELS, profile, variant

LLAMA = MODELS[1]
VARIANT = variant(LLAMA, "int8")
COLUMNS = columns_of([(LLAMA.architecture, VARIANT.weight_bytes, VARIANT.scheme, 1)])
LOADS = [Workload(input_tokens=tokens, output_tokens=16) for tokens in (64, 128, 256)]


def _points(*shares: float, basis: Basis) -> Points:
    """Return points whose peaks are shares of the weight bytes."""
    made = profile(VARIANT, GPU, dict.fromkeys(LOADS[: len(shares)], (0.1, 0.01)))
    points = gather_evidence([made], GPU, {VARIANT.id: 0}).points
    peaks = np.array(shares) * VARIANT.weight_bytes.value
    return replace(points, peak_bytes=peaks, rank=np.full(len(points), basis.rank))


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((1.5, 1.5, 1.5), [True, True, True]),
        ((1.5, 1.5, 0.9), [True, True, False]),
        ((1.5, 0.9, 0.9), [False, False, False]),
    ],
)
def test_one_slip_is_left_out_and_a_table_of_them_entirely(
    shares: tuple[float, ...], expected: list[bool]
) -> None:
    assert plausible_peaks(COLUMNS, _points(*shares, basis=Basis.PUBLISHED)).tolist() == expected


def test_what_our_workers_measured_is_not_questioned() -> None:
    assert plausible_peaks(COLUMNS, _points(0.5, 0.9, 1.5, basis=Basis.MEASURED)).all()


def test_an_unknown_peak_is_not_a_plausible_one() -> None:
    assert not plausible_peaks(COLUMNS, _points(float("nan"), basis=Basis.MEASURED)).any()
