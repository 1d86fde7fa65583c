"""Who did it: what is written beside registrations, and what a confined token may touch."""

from __future__ import annotations

from datetime import datetime

from planner.domain.identity import RegistrationRecord
from planner.domain.variant import Variant
from planner.registry import tokens, variants
from planner.registry.transaction import Transaction, WriteTransaction
from planner.wire import acting


def note_registration(tx: WriteTransaction, variant_id: str, *, created: bool, now: datetime) -> None:
    """Note whose token handed in a variant's bytes, with the run it was given to; nothing where nobody is known."""
    principal = acting.current()
    if principal is None:
        return
    record = RegistrationRecord(
        variant_id=variant_id,
        token_id=principal.token_id,
        actor=principal.name,
        registered_at=now,
        created=created,
        origin=principal.origin,
    )
    tokens.record_registration(tx, record)


def check_confines(variant: Variant) -> None:
    """Raise NotAllowed when the present token is confined to repositories that are not the variant's."""
    acting.check_repository(f"{variant.model_id}/{variant.name}")


def check_confines_of(tx: Transaction, variant_id: str) -> None:
    """Raise NotAllowed as `check_confines` does, and NotFound; looks nothing up for a token without confines."""
    principal = acting.current()
    if principal is not None and principal.resources:
        check_confines(variants.get(tx, variant_id))
