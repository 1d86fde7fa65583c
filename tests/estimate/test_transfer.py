"""Transfer: what was recorded of others on a device moves a variant without recordings, within its runtime family."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from planner.domain.device import Device, Peak
from planner.domain.figure import Figure
from planner.domain.profile import Profile
from planner.domain.runtime import Runtime
from planner.domain.workload import Workload
from planner.estimate.columns import columns_of
from planner.estimate.conformal import Distance
from planner.estimate.evidence import gather_evidence
from planner.estimate.latency import Speeds, distance_of
from planner.estimate.priors import runtime_code
from planner.estimate.roofline import Load, modelled_times
from tests.choose.records import GPU, MODELS, profile, variant

LLAMA = MODELS[1]
LOAD = Workload(input_tokens=1024, output_tokens=256)
UNSEEN = variant(LLAMA, "int8")
OTHERS = [
    variant(LLAMA, scheme, salt=number) for number, scheme in enumerate(("int8", "int8", "int4-g128"), 1)
]


def _speeds(
    *profiles: Profile, device: Device = GPU, runtime: str = "transformers", degree: int = 1
) -> Speeds:
    variants = [UNSEEN, *OTHERS]
    columns = columns_of(
        (LLAMA.architecture, v.weight_bytes, v.scheme, runtime_code(runtime)) for v in variants
    )
    rows = {v.id: row for row, v in enumerate(variants)}
    evidence = gather_evidence(profiles, device, rows, columns=columns)
    first = np.zeros(1, dtype=np.int64)
    return Speeds(
        columns.take(first), np.full(1, degree), device, points=None, evidence=evidence, workload=LOAD
    )


def _recorded(number: int, tpot: float, runtime: str = "transformers", mode: str | None = None) -> Profile:
    found = profile(OTHERS[number], GPU, {LOAD: (0.2, tpot)})
    return msgspec.structs.replace(
        found, id=f"profile:{number}:{runtime}:{mode}", runtime=Runtime(name=runtime, version="1", mode=mode)
    )


def _tpot(speeds: Speeds) -> Figure:
    found = speeds.figure("tpot", "p50", 0)
    assert found is not None
    return found


def test_others_of_the_format_move_the_estimate_and_narrow_it() -> None:
    bare = _tpot(_speeds())
    slow = _speeds(_recorded(0, 5 * bare.value), _recorded(1, 5 * bare.value))
    found = _tpot(slow)
    assert 3.5 * bare.value < found.value < 5 * bare.value
    assert distance_of(slow.of("tpot"))[0] == Distance.VARIANT
    assert found.interval is not None
    assert bare.interval is not None
    assert found.interval.hi / found.value < bare.interval.hi / bare.value
    assert found.note is not None
    assert "other variants of this number format on this device" in found.note
    assert "calibrated by" in found.note


def test_another_format_speaks_too_and_is_said_to_be_farther() -> None:
    bare = _tpot(_speeds()).value
    other = _speeds(_recorded(2, 5 * bare))
    assert _tpot(other).value > 2 * bare
    assert "other number formats on this device" in (_tpot(other).note or "")
    assert distance_of(other.of("tpot"))[0] == Distance.SCHEME


@pytest.mark.parametrize(("runtime", "mode"), [("vllm", "serving"), ("transformers", "compiled")])
def test_eager_times_are_not_calibrated_by_another_family(runtime: str, mode: str) -> None:
    eager = _speeds(_recorded(0, 0.001, runtime, mode))
    assert distance_of(eager.of("tpot"))[0] == Distance.DEVICE
    assert "other devices" in (_tpot(eager).note or "")


def test_recordings_make_a_device_of_unknown_bandwidth_known() -> None:
    blind = msgspec.structs.replace(GPU, bandwidth_bytes_per_second=None, peak=Peak())
    assert _speeds(device=blind).figure("tpot", "p50", 0) is None
    known = _tpot(_speeds(_recorded(0, 0.03), _recorded(1, 0.03), device=blind))
    assert known.value == pytest.approx(0.03, rel=0.1)


def test_layers_on_several_devices_are_read_in_turn() -> None:
    columns = columns_of(
        (LLAMA.architecture, UNSEEN.weight_bytes, UNSEEN.scheme, runtime_code(name))
        for name in ("vllm", "llama.cpp")
    )
    one, four = (
        modelled_times(columns, np.full(2, degree), GPU, Load.of(LOAD)) for degree in (1, 4)
    )  # fmt: skip
    assert four.tpot[0] < one.tpot[0] / 2
    assert four.tpot[1] > one.tpot[1]
    # A prompt of two chunks overlaps on two of them at best.
    assert one.ttft[1] / 2 < four.ttft[1] < one.ttft[1]
