"""Snapshots: everything a plan depends on, as it was at one revision, ready to be planned over in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from sqlalchemy import select

from planner.choose.index import Index
from planner.domain.device import Device
from planner.domain.evaluation import Evaluation
from planner.domain.lifecycle import VariantState
from planner.domain.model import Model
from planner.domain.profile import Profile
from planner.domain.scenario import Preset
from planner.domain.variant import Variant
from planner.errors import InvalidInput
from planner.registry import devices, evaluations, lifecycle, models, profiles, variants
from planner.registry.kinds import Identified, Kind
from planner.registry.tables import PastRows
from planner.registry.transaction import Transaction

T = TypeVar("T", bound=Identified)


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry held at `revision`, each kind by id. Evaluations come without their per-document records."""

    models: tuple[Model, ...]
    variants: tuple[Variant, ...]
    evaluations: tuple[Evaluation, ...]
    profiles: tuple[Profile, ...]
    devices: tuple[Device, ...]
    states: tuple[VariantState, ...]
    revision: int


def load(tx: Transaction, *, as_of: int | None = None, presets: Sequence[Preset]) -> Index:
    """Return the index of the registry now, or as it was at revision `as_of`. Raises InvalidInput."""
    held = contents(tx, as_of=as_of)
    return Index.build(
        models=held.models,
        variants=held.variants,
        evaluations=held.evaluations,
        profiles=held.profiles,
        devices=held.devices,
        presets=tuple(presets),
        revision=held.revision,
        states=held.states,
    )


def contents(tx: Transaction, *, as_of: int | None = None) -> Contents:
    """Return what the registry holds now, or held at revision `as_of`. Raises InvalidInput."""
    newest = tx.revision()
    revision = newest if as_of is None else as_of
    if not 0 <= revision <= newest:
        raise InvalidInput("revision", f"{revision} does not exist", allowed=f"0 to {newest}")
    past = revision < newest
    return Contents(
        models=_read(tx, models.KIND, revision, past=past),
        variants=_read(tx, variants.KIND, revision, past=past),
        evaluations=_read(tx, evaluations.KIND, revision, past=past),
        profiles=_read(tx, profiles.KIND, revision, past=past),
        devices=_read(tx, devices.KIND, revision, past=past),
        states=_read(tx, lifecycle.KIND, revision, past=past),
        revision=revision,
    )


def _read(tx: Transaction, kind: Kind[T], revision: int, *, past: bool) -> tuple[T, ...]:
    table = kind.table
    statement = select(table.document).order_by(table.id)
    if not past:
        return tuple(tx.connection.execute(statement).scalars())
    items: list[T] = list(tx.connection.execute(statement.where(table.revision <= revision)).scalars())
    replaced = select(PastRows.document).where(
        PastRows.kind == kind.name, PastRows.revision <= revision, PastRows.superseded > revision
    )
    decode = msgspec.json.Decoder(kind.struct).decode
    items += [decode(document) for document in tx.connection.execute(replaced).scalars()]
    return tuple(sorted(items, key=lambda item: item.id))
