"""Devices, models, runtimes and profiles: names, peaks, percentiles."""

from __future__ import annotations

import pytest

from planner.domain.device import Device, DeviceKind, Peak
from planner.domain.figure import Basis, Interval
from planner.domain.model import Model
from planner.domain.profile import Distribution, Profile
from planner.domain.runtime import ALIASES, KNOWN, Runtime, canonical
from planner.domain.scheme import NumberFormat
from planner.domain.units import Unit
from planner.errors import InvalidInput
from tests.domain.test_scenario import SHAPE


def test_every_name_a_thing_answers_to_once_in_lower_case():
    device = Device(
        id="rtx-4090",
        name="RTX-4090",
        kind=DeviceKind.GPU,
        vendor="NVIDIA",
        memory_bytes=1,
        aliases=("4090", "RTX-4090"),
    )
    assert device.names() == ("rtx-4090", "4090")
    model = Model(
        id="m",
        name="M",
        family="F",
        architecture=SHAPE,
        parameters=1,
        reference_format=NumberFormat.BF16,
        size_billions=1,
        hub_id="Org/M-hf",
        aliases=("em",),
    )
    assert model.names() == ("m", "em", "org/m-hf", "m-hf")


@pytest.mark.parametrize(
    ("number_format", "peak"),
    [
        (NumberFormat.FP32, 1.0),
        (NumberFormat.BF16, 2.0),
        (NumberFormat.FP16, 2.0),
        (NumberFormat.FP8, 4.0),
        (NumberFormat.MXFP8, 4.0),
        (NumberFormat.INT8, 5.0),
        (NumberFormat.NVFP4, None),
        (NumberFormat.Q4_K, 2.0),
    ],
)
def test_the_peak_of_a_format_is_the_one_it_computes_in(number_format: NumberFormat, peak: float | None):
    assert Peak(fp32=1, fp16=2, fp8=4, int8=5).of(number_format) == peak


def test_unknown_peaks_stay_unknown():
    assert all(Peak().of(number_format) is None for number_format in NumberFormat)


def test_runtime_names_have_one_spelling():
    assert canonical(" vLLM ") == "vllm"
    assert canonical("llama-cpp") == "llama.cpp"
    assert canonical("something-else") == "something-else"
    assert set(ALIASES.values()) <= set(KNOWN)
    assert str(Runtime(name="vllm", version="0.9", mode="serving")) == "vllm 0.9 serving"
    assert str(Runtime(name="vllm")) == "vllm"


def test_percentiles_need_the_samples_to_support_them():
    with pytest.raises(InvalidInput, match=r"distribution\.p99"):
        Distribution(samples=99, mean=1, p99=2)
    with pytest.raises(InvalidInput, match=r"distribution\.samples"):
        Distribution(samples=0, mean=1)
    assert Distribution(samples=100, mean=1, p99=2).quantile("p99") == 2


def test_a_mean_is_never_shown_as_a_percentile():
    distribution = Distribution(samples=3, mean=1.5)
    assert distribution.quantile("mean") == 1.5
    assert distribution.quantile("p50") is None
    with pytest.raises(InvalidInput, match="percentile"):
        distribution.quantile("stddev")


def test_a_profile_gives_figures_with_its_basis_evidence_and_doubt():
    interval = Interval(lo=0.9, hi=1.1, confidence=0.9)
    distribution = Distribution(samples=10, mean=1.2, p50=1.0, p50_interval=interval, p95=2.0)
    profile = Profile(
        id="p",
        variant_id="v",
        device_id="d",
        runtime=Runtime(name="vllm"),
        basis=Basis.IMPORTED,
        points=(),
        doubt="odd",
    )
    median = profile.seconds(distribution)
    assert median is not None
    assert (median.value, median.unit, median.basis, median.interval, median.evidence, median.note) == (
        1.0, Unit.SECONDS, Basis.IMPORTED, interval, ("p",), "odd",
    )  # fmt: skip
    tail = profile.seconds(distribution, "p95")
    assert tail is not None
    assert tail.interval is None
    assert profile.seconds(distribution, "p99") is None
