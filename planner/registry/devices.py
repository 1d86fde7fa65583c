"""Devices: put, found by any name, listed by name."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import select

from planner.domain.device import Device, DeviceKind
from planner.domain.listing import Page
from planner.registry import kinds, named
from planner.registry.checks import (
    DEFAULT_LIMIT,
    check_document,
    check_id,
    check_integer,
    check_name,
    check_names,
)
from planner.registry.kinds import REGISTERED, Kind
from planner.registry.pages import Keyset, fetch
from planner.registry.tables import Devices, Profiles
from planner.registry.transaction import Transaction, WriteTransaction


def row(device: Device) -> dict[str, Any]:
    """Return the columns of `device`. Raises InvalidInput."""
    check_id("device.id", device.id)
    check_name("device.name", device.name)
    check_names("device.names", device.names())
    check_integer("device.memory_bytes", device.memory_bytes, top=2**60)
    check_document("device", device)
    return {
        "id": device.id,
        "name_key": device.name.casefold(),
        "kind": device.kind.value,
        "search_text": named.search_text((*device.names(), device.vendor)),
        "document": device,
    }


KIND: Final = Kind(
    name="device", struct=Device, table=Devices, row=row, names=Device.names, referrers=(Profiles.device_id,)
)


def put(tx: WriteTransaction, device: Device, *, source: str = REGISTERED) -> bool:
    """Store the device's present content; return False when nothing changed. Raises InvalidInput."""
    check_id("device.id", device.id)
    return kinds.put(tx, KIND, device, source=check_name("source", source))


def get(tx: Transaction, reference: str) -> Device:
    """Return the device with this id or name, in any letter case. Raises NotFound, InvalidInput when ambiguous."""
    return named.find(tx, KIND, reference)


def page(
    tx: Transaction,
    *,
    search: str | None = None,
    kind: DeviceKind | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Device]:
    """Return devices by name: those that hold every word of `search`, of one kind. Raises InvalidInput."""
    statement = select(Devices.document).where(*named.matches(Devices.search_text, search))
    if kind is not None:
        statement = statement.where(Devices.kind == kind.value)
    keyset = Keyset(Devices.name_key, Devices.id, type_=str, scope=("devices", search, kind))
    return fetch(tx, statement, keyset, lambda row: row.document, limit=limit, cursor=cursor)
