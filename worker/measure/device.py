"""Which device type this is: the catalogue's entry where the driver's name and memory match one, else a new device.

A name is matched as a whole, never by its beginning: an "H200 NVL" is not an H200 SXM.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from planner.catalogue import load_catalogue
from planner.domain.device import Device, DeviceKind
from worker.measure.environment import processor_name

if TYPE_CHECKING:
    import torch

MEMORY_TOLERANCE: Final = 0.15
"""Drivers expose less than the nominal memory (ECC, firmware), never this much less."""
_VENDOR_WORDS: Final = frozenset({"nvidia", "geforce", "graphics", "gpu", "amd", "instinct"})
_MEMORY_KINDS: Final = re.compile(r"hbm\d?e?|gddr\d\w?")


class Identified(msgspec.Struct, frozen=True, kw_only=True):
    """A device type's id, and the device itself when the catalogue does not know it."""

    id: str
    device: Device | None


def identify(device: torch.device) -> Identified:
    """Return what `device` is."""
    if device.type != "cuda":
        return _processor()
    import torch

    properties = torch.cuda.get_device_properties(device)
    known = match_device(properties.name, properties.total_memory, load_catalogue().devices)
    if known is not None:
        return Identified(id=known.id, device=None)
    found = Device(
        id=f"gpu:{slug(properties.name)}",
        name=properties.name,
        kind=DeviceKind.BOARD if properties.is_integrated else DeviceKind.GPU,
        vendor="AMD" if torch.version.hip else "NVIDIA",
        memory_bytes=int(properties.total_memory),
        usable_bytes=int(properties.total_memory),
        compute_capability=f"{properties.major}.{properties.minor}",
    )
    return Identified(id=found.id, device=found)


def match_device(name: str, memory_bytes: int, devices: Iterable[Device]) -> Device | None:
    """Return the one of `devices` that a driver's name and memory belong to, None when there is none."""
    spellings = _spellings(name)
    for device in devices:
        names = {_normal(known) for known in device.names()}
        near = abs(device.memory_bytes - memory_bytes) <= MEMORY_TOLERANCE * device.memory_bytes
        if near and names & spellings:
            return device
    return None


def slug(name: str) -> str:
    """Return a lower-case name of letters, digits and hyphens."""
    return (
        re.sub(r"[^a-z0-9]+", "-", name.lower().replace("(r)", "").replace("(tm)", "")).strip("-")
        or "unknown"
    )


def _processor() -> Identified:
    import psutil

    name = processor_name()
    device = Device(
        id=f"cpu:{slug(name)}",
        name=name,
        kind=DeviceKind.CPU,
        vendor=next(
            (vendor for vendor in ("AMD", "Intel", "Apple", "Ampere") if vendor.lower() in name.lower()),
            "unknown",
        ),
        memory_bytes=int(psutil.virtual_memory().total),
        note="host memory of the machine that measured; bandwidth is in each profile's environment",
    )
    return Identified(id=device.id, device=device)


def _normal(name: str) -> str:
    return " ".join(word for word in re.split(r"[\s_-]+", name.lower()) if word and word not in _VENDOR_WORDS)


def _spellings(name: str) -> frozenset[str]:
    """Return the driver's name as people write it: whole, and without the kind of memory."""
    whole = _normal(name)
    plain = " ".join(word for word in whole.split() if not _MEMORY_KINDS.fullmatch(word))
    return frozenset({whole, plain})
