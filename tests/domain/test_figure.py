from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.figure import Basis, Figure, Interval, exact, total, weakest
from planner.domain.units import Unit
from planner.errors import InvalidInput

numbers = st.floats(-1e12, 1e12)
bases = st.sampled_from(Basis)


@st.composite
def intervals(draw: st.DrawFn, value: float) -> Interval | None:
    below, above = draw(st.floats(0, 1e9)), draw(st.floats(0, 1e9))
    chosen = Interval(lo=value - below, hi=value + above, confidence=draw(st.sampled_from([0.5, 0.9, 0.99])))
    return draw(st.sampled_from([None, chosen]))


@st.composite
def figures(draw: st.DrawFn) -> Figure:
    value = draw(numbers)
    evidence = tuple(draw(st.lists(st.sampled_from("abcdef"), max_size=3)))
    return Figure(
        value=value, unit=Unit.BYTES, basis=draw(bases), interval=draw(intervals(value)), evidence=evidence
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_figure_is_finite(value: float):
    with pytest.raises(InvalidInput, match=r"figure\.value"):
        Figure(value=value, unit=Unit.BYTES, basis=Basis.MEASURED)


@pytest.mark.parametrize(("lo", "hi"), [(2, 1), (math.nan, 1), (0, math.inf), (-math.inf, 0)])
def test_an_interval_is_finite_and_ordered(lo: float, hi: float):
    with pytest.raises(InvalidInput, match="interval"):
        Interval(lo=lo, hi=hi, confidence=0.9)


@pytest.mark.parametrize("confidence", [0, 1, -1, 2, math.nan])
def test_confidence_is_a_probability_in_between(confidence: float):
    with pytest.raises(InvalidInput, match="confidence"):
        Interval(lo=0, hi=1, confidence=confidence)


def test_bases_are_ordered_from_measured_to_modelled():
    assert sorted(Basis, key=lambda basis: basis.rank) == [
        Basis.MEASURED,
        Basis.IMPORTED,
        Basis.PUBLISHED,
        Basis.INTERPOLATED,
        Basis.MODELLED,
    ]


@given(st.lists(bases, min_size=1))
def test_the_weakest_basis_wins(several: list[Basis]):
    assert weakest(several).rank == max(basis.rank for basis in several)


@given(st.lists(figures(), min_size=1, max_size=6))
def test_a_sum_adds_values_and_keeps_basis_evidence_and_doubt(terms: list[Figure]):
    result = total(terms, unit=Unit.BYTES)
    assert result.value == pytest.approx(math.fsum(term.value for term in terms))
    assert result.basis is weakest(term.basis for term in terms)
    assert set(result.evidence) == {item for term in terms for item in term.evidence}
    assert len(set(result.evidence)) == len(result.evidence)
    known = [term.interval for term in terms if term.interval is not None]
    if len(known) < len(terms):
        assert result.interval is None
        return
    assert result.interval is not None
    assert result.interval.lo == pytest.approx(math.fsum(interval.lo for interval in known))
    assert result.interval.hi == pytest.approx(math.fsum(interval.hi for interval in known))
    assert result.interval.confidence == min(interval.confidence for interval in known)


@given(st.lists(figures(), min_size=1, max_size=6), st.randoms())
def test_a_sum_does_not_depend_on_the_order(terms: list[Figure], random: object):
    shuffled = sorted(terms, key=lambda term: term.value)
    one, other = total(terms, unit=Unit.BYTES), total(shuffled, unit=Unit.BYTES)
    assert (one.value, one.basis, one.interval) == (other.value, other.basis, other.interval)


def test_an_exact_term_does_not_take_the_interval_away():
    measured = Figure(
        value=5, unit=Unit.BYTES, basis=Basis.MEASURED, interval=Interval(lo=4, hi=7, confidence=0.9)
    )
    counted = exact(10, Unit.BYTES, basis=Basis.MEASURED)
    assert total([measured, counted], unit=Unit.BYTES).interval == Interval(lo=14, hi=17, confidence=0.9)


def test_a_sum_of_nothing_is_refused():
    with pytest.raises(InvalidInput, match="figures"):
        total([], unit=Unit.BYTES)


@given(figures(), st.floats(1e-6, 1e6))
def test_scaling_scales_everything(figure: Figure, factor: float):
    scaled = figure.scaled(factor, unit=Unit.BITS)
    assert scaled.value == figure.value * factor
    assert (scaled.unit, scaled.basis, scaled.evidence) == (Unit.BITS, figure.basis, figure.evidence)
    assert (scaled.interval is None) is (figure.interval is None)
    if scaled.interval is not None and figure.interval is not None:
        assert scaled.interval.lo == figure.interval.lo * factor
        assert scaled.interval.confidence == figure.interval.confidence


def test_a_figure_shows_itself_in_its_unit():
    assert str(exact(24 * 2**30, Unit.BYTES, basis=Basis.MEASURED)) == "24 GiB"
