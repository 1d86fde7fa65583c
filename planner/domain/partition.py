"""Partitions: the slices that NVIDIA's Multi-Instance GPU (MIG) cuts a device into, as devices of their own.

A slice has a fraction of the memory, of its bandwidth and of the streaming multiprocessors (SMs). Source of the table:
NVIDIA Multi-Instance GPU User Guide, "Supported MIG Profiles", https://docs.nvidia.com/datacenter/tesla/mig-user-guide/supported-mig-profiles.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import msgspec

from planner.domain.device import Device, Peak
from planner.errors import InvalidInput

SOURCE: Final = "NVIDIA Multi-Instance GPU User Guide, Supported MIG Profiles"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A MIG profile: shares of the whole device, and how many of them one device holds."""

    name: str
    memory: Fraction
    """Share of memory slices, and so of capacity and bandwidth."""
    multiprocessors: Fraction
    instances: int


def _sevenths(*names: str) -> tuple[Partition, ...]:
    """Return the seven-slice layout of A100 and later: eighths of the memory, sevenths of the SMs."""
    shares = ((1, 1, 7), (2, 1, 4), (2, 2, 3), (4, 3, 2), (4, 4, 1), (8, 7, 1))
    return tuple(
        Partition(name=name, memory=Fraction(m, 8), multiprocessors=Fraction(s, 7), instances=count)
        for name, (m, s, count) in zip(names, shares, strict=True)
    )


_A30: Final = tuple(
    Partition(name=name, memory=Fraction(m, 4), multiprocessors=Fraction(m, 4), instances=4 // m)
    for name, m in (("1g.6gb", 1), ("2g.12gb", 2), ("4g.24gb", 4))
)
_80GB: Final = _sevenths("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb")
PARTITIONS: Final[dict[str, tuple[Partition, ...]]] = {
    "a30": _A30,
    "a100-40gb": _sevenths("1g.5gb", "1g.10gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb"),
    "a100-80gb-pcie": _80GB,
    "a100-80gb-sxm": _80GB,
    "h100-pcie": _80GB,
    "h100-sxm": _80GB,
    "h100-nvl": _sevenths("1g.12gb", "1g.24gb", "2g.24gb", "3g.47gb", "4g.47gb", "7g.94gb"),
    "gh200-96gb": _sevenths("1g.12gb", "1g.24gb", "2g.24gb", "3g.48gb", "4g.48gb", "7g.96gb"),
    "h200-sxm": _sevenths("1g.18gb", "1g.35gb", "2g.35gb", "3g.71gb", "4g.71gb", "7g.141gb"),
}
"""Profiles by id of the device; profiles with media extensions (+me) have the same shares as those without."""


def partition_of(device_id: str, name: str) -> Partition:
    """Return the profile of a device called `name`. Raises InvalidInput naming the profiles the device has."""
    wanted = name.casefold().removesuffix("+me")
    known = PARTITIONS.get(device_id, ())
    for partition in known:
        if partition.name == wanted:
            return partition
    problem = f"`{name}` is not a slice of {device_id}"
    allowed = ", ".join(p.name for p in known) or f"the whole {device_id}: it is not known to be partitioned"
    raise InvalidInput("hardware.partition", problem, allowed=allowed)


def _scaled(peak: Peak, share: float) -> Peak:
    rates = {name: getattr(peak, name) for name in Peak.__struct_fields__}
    return Peak(**{name: None if rate is None else rate * share for name, rate in rates.items()})


def partitioned(device: Device, name: str) -> Device:
    """Return one slice of `device` as a device of its own, whose id no recording of the whole device is filed under.

    Memory and bandwidth scale with the memory slices, matrix throughput with the SMs. Slices have no link to each other.
    Raises InvalidInput for a profile the device does not have.
    """
    partition = partition_of(device.id, name)
    share = float(partition.memory)
    bandwidth = device.bandwidth_bytes_per_second
    return msgspec.structs.replace(
        device,
        id=f"{device.id}/{partition.name}",
        name=f"{partition.name} of {device.name}",
        memory_bytes=int(device.memory_bytes * share),
        usable_bytes=None,
        bandwidth_bytes_per_second=None if bandwidth is None else bandwidth * share,
        peak=_scaled(device.peak, float(partition.multiprocessors)),
        interconnect_bytes_per_second=None,
        tdp_watts=None,
        aliases=(),
        note=f"shares of memory {partition.memory} and SMs {partition.multiprocessors}: {SOURCE}",
    )
