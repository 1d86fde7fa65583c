"""Patterns say of every row what the table of failures says."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.choose.patterns import MOST, bits, distinct, first_failed, is_one_of, packed, unpacked
from planner.estimate.columns import Booleans


@st.composite
def tables(draw: st.DrawFn) -> Booleans:
    constraints = draw(st.sampled_from([1, 3, 8, 9, 16, 17, MOST]))
    rows = draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return random.random((constraints, rows)) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))


@settings(max_examples=60, deadline=None)
@given(failures=tables())
def test_patterns_are_the_table(failures: Booleans) -> None:
    patterns = packed(failures)
    assert (unpacked(patterns, len(failures)) == failures).all()
    assert patterns.tolist() == [bits(np.flatnonzero(column).tolist()) for column in failures.T]
    known, counts = distinct(patterns)
    assert known.tolist() == sorted(set(patterns.tolist()))
    assert counts.tolist() == [patterns.tolist().count(each) for each in known.tolist()]
    also = np.append(known, known.max() ^ 1)
    assert [part.tolist() for part in distinct(patterns, also)] == [known.tolist(), counts.tolist()]
    first = first_failed(patterns.astype(np.int64))
    assert first.tolist() == np.where(failures.any(axis=0), failures.argmax(axis=0), -1).tolist()
    assert is_one_of(patterns, known[:1]).tolist() == (patterns == known[0]).tolist()
    assert is_one_of(patterns, known).all()
    assert not is_one_of(patterns, known[:0]).any()
