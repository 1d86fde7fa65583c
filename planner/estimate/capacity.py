"""Capacity: the bytes of one device that a model can really have, from what is known of the hardware asked for."""

from __future__ import annotations

from typing import Final

from planner.domain.device import Device, DeviceKind
from planner.domain.figure import Basis, Figure, Interval
from planner.domain.scenario import Hardware
from planner.domain.units import Unit, format_bytes
from planner.estimate.priors import (
    APPLE_VISIBLE,
    CONFIDENCE,
    DRIVER_VISIBLE,
    SYSTEM_RESERVE,
    SYSTEM_RESERVE_STEPS,
    Prior,
)

_EXACT: Final = 0.999999


def _system_reserve(nominal: float) -> float:
    """Return the bytes Google Kubernetes Engine keeps for the system on a node of `nominal` bytes."""
    kept, rest = 0.0, nominal
    for size, share in SYSTEM_RESERVE_STEPS:
        kept += min(rest, size) * share
        rest = max(0.0, rest - size)
    return kept


def _share(nominal: float, prior: Prior, what: str) -> Figure:
    interval = Interval(lo=nominal * prior.lo, hi=nominal * prior.hi, confidence=CONFIDENCE)
    note = f"{what} of {format_bytes(nominal)}, of which {prior.value:.1%} is assumed usable; {prior.source}"
    return Figure(
        value=nominal * prior.value, unit=Unit.BYTES, basis=Basis.MODELLED, interval=interval, note=note
    )


def _shared_with_system(nominal: float, what: str) -> Figure:
    reserve = _system_reserve(nominal)
    value = nominal - reserve * SYSTEM_RESERVE.value
    interval = Interval(
        lo=nominal - reserve * SYSTEM_RESERVE.hi,
        hi=nominal - reserve * SYSTEM_RESERVE.lo,
        confidence=CONFIDENCE,
    )
    note = (
        f"{what} of {format_bytes(nominal)}, of which {format_bytes(nominal - value)} are left to the "
        f"operating system; {SYSTEM_RESERVE.source}"
    )
    return Figure(value=value, unit=Unit.BYTES, basis=Basis.MODELLED, interval=interval, note=note)


def capacity_of(device: Device | None, hardware: Hardware | None) -> Figure | None:
    """Return the usable bytes of one device, None when the question names no memory.

    In this order: what the device's driver exposes, as its record says; the nominal memory of the device, or the memory
    asked for, less a reserve. A bare "24GB" is a nominal 24 GiB card; CPUs and boards leave the system its share.
    """
    if hardware is None:
        return None
    asked = hardware.memory_bytes
    if device is not None and device.usable_bytes is not None and asked in {None, device.memory_bytes}:
        value = float(device.usable_bytes)
        return Figure(
            value=value,
            unit=Unit.BYTES,
            basis=Basis.PUBLISHED,
            interval=Interval(lo=value, hi=value, confidence=_EXACT),
            evidence=device.citations,
            note=f"usable memory of {device.name} as its record states it",
        )
    if device is None and asked is None:
        return None
    nominal = float(asked if asked is not None else device.memory_bytes if device is not None else 0)
    kind = device.kind if device is not None else hardware.kind
    what = f"nominal memory of {device.name}" if device is not None else f"nominal {kind.value}"
    if device is not None and device.vendor.casefold() == "apple":
        return _share(nominal, APPLE_VISIBLE, what)
    if kind is DeviceKind.GPU:
        return _share(nominal, DRIVER_VISIBLE, what)
    return _shared_with_system(nominal, what)
