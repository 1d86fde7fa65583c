from __future__ import annotations

import pytest

from planner.catalogue import load_catalogue
from planner.domain.device import DeviceKind
from worker.engines.loading import resolve_device
from worker.measure.device import identify, match_device, slug

pytestmark = pytest.mark.worker
GIB = 2**30


@pytest.mark.parametrize(
    ("driver_name", "gib", "expected"),
    [
        ("NVIDIA H200", 139.8, "h200-sxm"),
        ("NVIDIA H100 80GB HBM3", 79.2, "h100-sxm"),
        ("NVIDIA H100 PCIe", 79.2, "h100-pcie"),
        ("NVIDIA H100 NVL", 93.1, "h100-nvl"),
        ("NVIDIA A100-SXM4-80GB", 79.1, "a100-80gb-sxm"),
        ("NVIDIA A100-SXM4-40GB", 39.4, "a100-40gb"),
        ("NVIDIA A100 80GB PCIe", 79.1, "a100-80gb-pcie"),
        ("NVIDIA GeForce RTX 4090", 23.6, "rtx-4090"),
        ("NVIDIA GeForce RTX 3090", 23.7, "rtx-3090"),
        ("NVIDIA L40S", 44.4, "l40s"),
        ("Tesla T4", 14.6, "t4"),
        ("NVIDIA RTX A6000", 47.4, "rtx-a6000"),
    ],
)
def test_drivers_names_find_the_catalogues_device(driver_name, gib, expected):
    found = match_device(driver_name, int(gib * GIB), load_catalogue().devices)
    assert found is not None
    assert found.id == expected


@pytest.mark.parametrize(
    ("driver_name", "gib"),
    [
        ("NVIDIA H200 NVL", 139.8),  # another board than the SXM one
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 15.7),
        ("NVIDIA GeForce RTX 4090", 47.4),  # modified memory
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", 9.5),
        ("Imaginary 9000", 24),
    ],
)
def test_a_name_that_only_begins_alike_is_another_device(driver_name, gib):
    assert match_device(driver_name, int(gib * GIB), load_catalogue().devices) is None


def test_this_cpu_is_a_device_of_its_own():
    found = identify(resolve_device("cpu"))
    assert found.device is not None
    assert found.id == found.device.id
    assert found.id.startswith("cpu:")
    assert found.device.kind is DeviceKind.CPU
    assert found.device.memory_bytes > 2**28


def test_slugs_are_plain():
    assert slug("Intel(R) Xeon(R) CPU @ 2.20GHz") == "intel-xeon-cpu-2-20ghz"
    assert slug("") == "unknown"
