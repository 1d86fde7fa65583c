"""Formats against compute capability and runtime version, and slices of devices."""

from __future__ import annotations

from fractions import Fraction

import pytest

from planner.catalogue import load_catalogue
from planner.domain.partition import PARTITIONS, partition_of, partitioned
from planner.domain.scheme import ActivationScaling, NumberFormat, Precision, Scheme
from planner.domain.support import SUPPORT, Kernel, capability_of, kernel_of, supported
from planner.errors import InvalidInput


def scheme(weight: str, *, activation: str | None = None, method: str | None = None) -> Scheme:
    return Scheme(
        weight=Precision(format=NumberFormat(weight)),
        activation=Precision(format=NumberFormat(activation)) if activation else None,
        activation_scaling=ActivationScaling.DYNAMIC if activation else None,
        method=method,
    )


@pytest.mark.parametrize(
    ("built", "capability", "runs"),
    [
        (scheme("fp8", activation="fp8"), "8.9", True),
        (scheme("fp8", activation="fp8"), "8.0", True),
        (scheme("fp8", activation="fp8"), "7.5", False),
        (scheme("nvfp4", activation="nvfp4"), "12.0", True),
        (scheme("nvfp4"), "7.5", False),
        (scheme("int8", activation="int8"), "7.5", True),
        (scheme("int8", activation="int8"), "7.0", False),
        (scheme("int4", method="awq"), "7.0", False),
        (scheme("int4", method="gptq"), "7.0", True),
        (scheme("q4_k"), "7.0", True),
        (scheme("bf16"), "6.1", True),
        (scheme("int4"), "6.1", True),
    ],
)
def test_capability_decides(built: Scheme, capability: str, runs: bool) -> None:
    assert supported(built, capability=capability_of(capability)).runs is runs


def test_weights_alone_are_said_to_be() -> None:
    said = supported(scheme("fp8", activation="fp8"), capability=(8, 6))
    assert said.runs
    assert said.detail is not None
    assert "only the weights" in said.detail


@pytest.mark.parametrize(
    ("version", "runs"), [("0.1.7", False), ("0.2.0", True), ("0.10.1", True), ("1", True)]
)
def test_versions_are_compared_as_numbers(version: str, runs: bool) -> None:
    built = scheme("int4", method="awq")
    assert supported(built, capability=(9, 0), runtime="vllm", version=version).runs is runs


def test_a_first_version_that_nobody_states_is_said_to_be_unknown() -> None:
    said = supported(scheme("fp8", activation="fp8"), capability=(9, 0), runtime="vllm", version="0.4.0")
    assert said.runs
    assert said.detail is not None
    assert "not known" in said.detail
    assert supported(scheme("fp8", activation="fp8"), capability=(9, 0), runtime="vllm").detail is None


def test_a_version_that_is_only_known_to_have_it_forbids_nothing() -> None:
    said = supported(scheme("int4", method="gptq"), capability=(9, 0), runtime="transformers", version="4.30")
    assert said.runs
    assert said.detail is not None
    assert "4.33.0" in said.detail


def test_every_row_is_cited_and_a_fallback_is_below_the_native_one() -> None:
    assert set(SUPPORT) == set(Kernel)
    for support in SUPPORT.values():
        assert support.source
        assert all(first.version and first.source for first in support.since.values())
        assert support.weight_only is None or support.weight_only < support.native


def test_every_scheme_of_the_catalogue_has_a_verdict() -> None:
    for variant in load_catalogue().variants:
        kernel_of(variant.scheme)
        assert supported(variant.scheme, capability=(12, 0)).runs


def test_slices_are_of_devices_of_the_catalogue_and_named_by_their_memory() -> None:
    devices = {device.id: device for device in load_catalogue().devices}
    for device_id, partitions in PARTITIONS.items():
        for partition in partitions:
            slice_ = partitioned(devices[device_id], partition.name)
            stated = int(partition.name.partition(".")[2].removesuffix("gb"))
            assert slice_.memory_bytes / 2**30 == pytest.approx(stated, rel=0.06)
            assert slice_.id != device_id
            assert slice_.interconnect_bytes_per_second is None


def test_a_slice_has_its_share_of_bandwidth_and_throughput() -> None:
    whole = next(device for device in load_catalogue().devices if device.id == "a100-80gb-sxm")
    slice_ = partitioned(whole, "2g.20gb")
    assert whole.bandwidth_bytes_per_second is not None
    assert slice_.bandwidth_bytes_per_second == whole.bandwidth_bytes_per_second / 4
    assert slice_.peak.bf16 == pytest.approx((whole.peak.bf16 or 0) * 2 / 7)
    assert partition_of("a100-80gb-sxm", "1g.10gb+me").memory == Fraction(1, 8)


@pytest.mark.parametrize(("device", "name"), [("h100-sxm", "1g.6gb"), ("rtx-4090", "1g.10gb")])
def test_a_slice_the_device_does_not_have_is_refused(device: str, name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        partition_of(device, name)
