"""Profiles: measured and published speed and memory, added once and never changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import func, select, update

from planner.domain.listing import Page
from planner.domain.profile import Profile
from planner.domain.webhook import EventKind
from planner.errors import Conflict, InvalidInput, NotFound
from planner.registry import devices, events, kinds, named, variant_lookup
from planner.registry.checks import DEFAULT_LIMIT, check_document, check_id, check_name, check_time
from planner.registry.kinds import REGISTERED, Kind, chunks
from planner.registry.nearest import shortened
from planner.registry.pages import Keyset, fetch
from planner.registry.tables import Profiles, Variants
from planner.registry.transaction import Transaction, WriteTransaction


def row(profile: Profile) -> dict[str, Any]:
    """Return the columns of `profile`. Raises InvalidInput."""
    check_id("profile.id", profile.id)
    check_id("profile.variant_id", profile.variant_id)
    check_id("profile.device_id", profile.device_id)
    check_name("profile.runtime.name", profile.runtime.name)
    if not profile.points:
        raise InvalidInput("profile.points", "are empty", allowed="at least one workload point")
    if profile.measured_at is not None:
        check_time("profile.measured_at", profile.measured_at)
    check_document("profile", profile)
    return {
        "id": profile.id,
        "variant_id": profile.variant_id,
        "device_id": profile.device_id,
        "runtime": profile.runtime.name,
        "basis": profile.basis.value,
        "measured_at": profile.measured_at,
        "document": profile,
    }


KIND: Final = Kind(name="profile", struct=Profile, table=Profiles, row=row)


def add(tx: WriteTransaction, profile: Profile, *, source: str = REGISTERED) -> bool:
    """Store the profile; return False when the same one is already there.

    Raises InvalidInput, NotFound for an unknown variant or device, and Conflict when the id holds another profile.
    """
    check_id("profile.id", profile.id)
    tx.lock_revision()
    before = kinds.stored(tx, KIND, [profile.id]).get(profile.id)
    if before is not None:
        if before.document != profile:
            raise Conflict(f"profile `{profile.id}` is already registered with other content")
        return False
    variant_lookup.require(tx, profile.variant_id)
    named.require(tx, devices.KIND, profile.device_id)
    kinds.add(tx, KIND, [profile], source=check_name("source", source))
    count(tx, [profile.variant_id])
    happened = {
        "kind": "profile",
        "evidence": profile.id,
        "variant": profile.variant_id,
        "device": profile.device_id,
        "basis": profile.basis.value,
    }
    events.emit(tx, EventKind.EVIDENCE_ADDED, happened)
    return True


def get(tx: Transaction, id_: str) -> Profile:
    """Return the profile with this id. Raises NotFound."""
    check_id("profile", id_)
    found = kinds.stored(tx, KIND, [id_]).get(id_)
    if found is None:
        raise NotFound("profile", shortened(id_))
    return found.document


def page(
    tx: Transaction,
    *,
    variant_id: str | None = None,
    device_id: str | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Profile]:
    """Return profiles by id, of one variant and device where these are given. Raises InvalidInput."""
    statement = select(Profiles.document)
    if variant_id is not None:
        statement = statement.where(Profiles.variant_id == check_id("variant_id", variant_id))
    if device_id is not None:
        statement = statement.where(Profiles.device_id == check_id("device_id", device_id))
    keyset = Keyset(Profiles.id, Profiles.id, type_=str, scope=("profiles", variant_id, device_id))
    return fetch(tx, statement, keyset, lambda row: row.document, limit=limit, cursor=cursor)


def count(tx: WriteTransaction, variant_ids: Iterable[str]) -> None:
    """Bring the variants' profile counts up to date."""
    present = (
        select(func.count()).select_from(Profiles).where(Profiles.variant_id == Variants.id).scalar_subquery()
    )
    for chunk in chunks(variant_ids):
        tx.connection.execute(update(Variants).where(Variants.id.in_(chunk)).values(profile_count=present))
