"""How a model is executed is part of what was measured: figures of one mode never answer for another."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from planner.domain.profile import Profile, Stability
from planner.domain.runtime import Runtime
from planner.domain.workload import Workload
from planner.estimate.columns import columns_of
from planner.estimate.evidence import gather_evidence, recorded
from planner.estimate.latency import Speeds, relevant_points
from tests.choose.records import GPU, MODELS, NOW, profile, variant

MODES = ("eager", "compiled", "continuous", "serving")
LLAMA = MODELS[1]
INT8 = variant(LLAMA, "int8")
ALONE, MANY = (Workload(input_tokens=1024, output_tokens=256, concurrency=number) for number in (1, 16))


def _in_mode(mode: str, load: Workload, tpot: float) -> Profile:
    found = profile(INT8, GPU, {load: (0.2, tpot)})
    runtime = Runtime(name="transformers", version="5.23.0", mode=mode)
    return msgspec.structs.replace(found, id=f"profile:{mode}:{load.concurrency}", runtime=runtime)


def _speeds(load: Workload, *profiles: Profile) -> Speeds:
    columns = columns_of([(LLAMA.architecture, INT8.weight_bytes, INT8.scheme, 0)])
    degree = np.ones(1, dtype=np.int64)
    evidence = gather_evidence(profiles, GPU, {INT8.id: 0})
    _, points = relevant_points(
        evidence, np.zeros(1, dtype=np.int64), degree, load, engine="transformers", now=NOW
    )
    assert len(set(points.runtime.tolist())) == 1
    return Speeds(columns, degree, GPU, points=points, evidence=evidence, workload=load, now=NOW)


@pytest.mark.parametrize("mode", MODES)
def test_a_figure_is_shown_under_the_mode_it_was_measured_in(mode: str) -> None:
    pace = {name: 0.01 * (number + 1) for number, name in enumerate(MODES)}
    profiles = [_in_mode(name, ALONE, tpot) for name, tpot in pace.items() if name != mode]
    own = _in_mode(mode, MANY, 0.05)
    speeds = _speeds(MANY, own, *profiles)
    found = speeds.figure("tpot", "p50", 0)
    assert found is not None
    assert (found.value, found.evidence) == (0.05, (own.id,))
    assert speeds.runtime_of(0) == f"transformers 5.23.0 {mode}"


def test_between_points_of_two_modes_nothing_is_interpolated() -> None:
    between = msgspec.structs.replace(ALONE, concurrency=4)
    profiles = (_in_mode("eager", ALONE, 0.010), _in_mode("serving", MANY, 0.030))
    speeds = _speeds(between, *profiles)
    found = speeds.figure("tpot", "p50", 0)
    assert found is not None
    assert len(found.evidence) == 1
    only = next(item for item in profiles if item.id == found.evidence[0])
    assert speeds.runtime_of(0) == str(only.runtime)
    alone = _speeds(between, only).figure("tpot", "p50", 0)
    assert alone is not None
    assert found.value == alone.value


def test_a_figure_of_an_unstable_point_or_of_survivors_says_so() -> None:
    measured = _in_mode("serving", MANY, 0.05)
    point = msgspec.structs.replace(
        measured.points[0],
        error_share=0.004,
        stability=Stability(verdict="unstable", reason="TPOT scatters by 9.0% of its mean"),
    )
    figure = recorded(msgspec.structs.replace(measured, points=(point,)), 0, "tpot", "p50")
    assert figure is not None
    assert (
        figure.note
        == "unstable: TPOT scatters by 9.0% of its mean; 0.4 % of the requests failed and do not count"
    )
