"""Effects: the tree gives what one dense linear prediction gives, and kin moves less than oneself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.estimate.columns import FORMATS
from planner.estimate.effects import (
    DEVICE_SPREADS,
    FAMILIES,
    NOISE,
    DeviceEffects,
    GeneralEffects,
    nested_effects,
)

SPREADS = (0.5, 0.3, 0.2)
NONE = GeneralEffects.of({}, {})


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.floats(-3, 3)), min_size=1, max_size=20))
def test_the_tree_is_the_dense_linear_prediction(rows: list[tuple[int, int, float]]) -> None:
    wide = np.array([a for a, _, _ in rows])
    narrow = wide * 3 + np.array([b for _, b, _ in rows])
    leaf = np.arange(len(rows)) % 2 + narrow * 2
    levels, values = (wide, narrow, leaf), np.array([v for _, _, v in rows])
    kernel = np.eye(len(rows)) * NOISE**2
    for level, spread in zip(levels, SPREADS, strict=True):
        kernel += spread**2 * (level[:, None] == level[None, :])
    weights = np.linalg.solve(kernel, values)
    for depth, (codes, totals) in enumerate(nested_effects(values, levels, SPREADS)):
        for code, total in zip(codes.tolist(), totals.tolist(), strict=True):
            one = int(np.flatnonzero(levels[depth] == code)[0])
            shared = sum(SPREADS[k] ** 2 * (levels[k] == levels[k][one]) for k in range(depth + 1))
            assert total == pytest.approx(float(np.asarray(shared) @ weights), abs=1e-9)


def _device(*cells: tuple[int, int, float]) -> DeviceEffects:
    family, number_format, ratio = (np.array(column) for column in zip(*cells, strict=True))
    return DeviceEffects.fit(
        ratio,
        family=family,
        number_format=number_format,
        variant=np.arange(len(cells)),
        general=NONE,
        stand_in=False,
    )


def test_the_nearer_the_kin_the_more_a_recording_moves_it() -> None:
    effects = _device((1, 0, 0.4), (1, 0, 0.4))
    rows = np.array([1, 1, 2]), np.array([0, 1, 0])
    level, family_known, format_known = effects.at(*rows)
    own, other_format, other_family = level.tolist()
    assert 0.4 > own > other_format > other_family > 0
    assert family_known.tolist() == [True, True, False]
    assert format_known.tolist() == [True, False, False]


def test_many_recordings_are_believed() -> None:
    level, _, _ = _device(*[(1, 0, -0.7)] * 200).at(np.array([1]), np.array([0]))
    assert level[0] == pytest.approx(-0.7, abs=0.01)


def test_general_effects_fall_back_from_cell_to_family_to_nothing() -> None:
    fitted = GeneralEffects.fit(
        np.full(60, 0.3),
        family=np.full(60, 2),
        number_format=np.zeros(60, dtype=np.int64),
        device=np.arange(60) % 6,
        variant=np.arange(60),
    )
    cell, family, nothing = fitted.at(np.array([2, 2, 3]), np.array([0, 5, 0])).tolist()
    assert cell >= family > 0
    assert nothing == 0
    assert len(fitted.families) == FAMILIES
    assert len(fitted.cells) == FAMILIES * len(FORMATS)


def test_spreads_are_ordered_from_wide_to_narrow() -> None:
    assert list(DEVICE_SPREADS) == sorted(DEVICE_SPREADS, reverse=True)
