from __future__ import annotations

import math

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from planner.choose.losses import BY_DEFINITION, VERDICTS, is_baseline, loss_columns
from planner.domain.figure import Interval
from planner.domain.loss import LossKind, verdict
from planner.domain.outcome import Verdict
from planner.domain.scheme import NumberFormat
from tests.choose.records import MODELS, evaluation, variant

LLAMA = MODELS[0]
limits = st.floats(0, 0.2)


@given(
    value=st.floats(-0.1, 0.2),
    half=st.one_of(st.none(), st.floats(0, 0.1)),
    limit=limits,
    confidence=st.floats(0.6, 0.999),
)
def test_columns_judge_as_the_domain_does(
    value: float, half: float | None, limit: float, confidence: float
) -> None:
    made = variant(LLAMA, "int8")
    losses = loss_columns(
        [made], [LLAMA], [[evaluation(made, value, half=half)]], kind=LossKind.RELATIVE, task=None
    )
    answer = losses.answers[0]
    assert answer is not None
    code = losses.verdicts(limit, confidence=confidence, rows=np.zeros(1, dtype=np.int64))[0]
    assert VERDICTS[code].value == verdict(answer.figure, limit, confidence=confidence).value


@given(value=st.floats(-0.1, 0.2), half=st.floats(0, 0.1))
def test_a_limit_at_the_very_bound_is_certified(value: float, half: float) -> None:
    made = variant(LLAMA, "int8")
    losses = loss_columns(
        [made], [LLAMA], [[evaluation(made, value, half=half)]], kind=LossKind.RELATIVE, task=None
    )
    limit = float(losses.bounds(0.95)[1][0])
    assert VERDICTS[losses.verdicts(limit, confidence=0.95, rows=np.zeros(1, dtype=np.int64))[0]] in {
        Verdict.CERTIFIED,
        Verdict.LIKELY,  # a bound of zero width whose value rounds
    }
    assert losses.verdicts(
        math.nextafter(limit, -math.inf), confidence=0.95, rows=np.zeros(1, dtype=np.int64)
    )[0] != VERDICTS.index(Verdict.CERTIFIED)


def test_a_baseline_loses_nothing_by_definition() -> None:
    base = variant(LLAMA, "bf16")
    losses = loss_columns([base], [LLAMA], [[]], kind=LossKind.RELATIVE, task="mmlu")
    answer = losses.answers[0]
    assert answer is not None
    assert (answer.figure.value, answer.metric) == (0.0, BY_DEFINITION)
    assert answer.figure.interval == Interval(lo=0.0, hi=0.0, confidence=0.999999)
    assert (
        VERDICTS[losses.verdicts(0.0, confidence=0.99, rows=np.zeros(1, dtype=np.int64))[0]]
        is Verdict.CERTIFIED
    )


def test_only_the_reference_precision_is_a_baseline() -> None:
    assert is_baseline(variant(LLAMA, "bf16"), LLAMA)
    assert not is_baseline(variant(LLAMA, "int8"), LLAMA)
    half = msgspec.structs.replace(LLAMA, reference_format=NumberFormat.FP16)
    assert not is_baseline(variant(LLAMA, "bf16"), half)


def test_no_evaluation_is_unknown() -> None:
    made = variant(LLAMA, "int8")
    losses = loss_columns([made], [LLAMA], [[]], kind=LossKind.RELATIVE, task=None)
    assert losses.answers == (None,)
    assert (
        VERDICTS[losses.verdicts(1.0, confidence=0.95, rows=np.zeros(1, dtype=np.int64))[0]]
        is Verdict.UNKNOWN
    )
