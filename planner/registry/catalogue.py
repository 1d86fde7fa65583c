"""Loading the built-in catalogue: new entries are added, corrected ones replaced, dropped ones withdrawn.

What users and workers registered is never touched. Older revisions keep the catalogue they were answered with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from sqlalchemy import insert, select

from planner.domain.device import Device
from planner.domain.evaluation import Evaluation
from planner.domain.model import Model
from planner.domain.profile import Profile
from planner.domain.variant import Variant
from planner.errors import InvalidInput
from planner.registry import devices, evaluations, kinds, models, profiles, variants
from planner.registry.checks import check_name
from planner.registry.kinds import CATALOGUE, Kind, T, chunks
from planner.registry.tables import CatalogueSyncs, Evaluations, Profiles
from planner.registry.transaction import Transaction, WriteTransaction


class Catalogue(Protocol):
    """What is loaded: domain structs, and the digest that tells one catalogue from another."""

    @property
    def models(self) -> Sequence[Model]: ...  # noqa: D102 - as the class says
    @property
    def devices(self) -> Sequence[Device]: ...  # noqa: D102
    @property
    def variants(self) -> Sequence[Variant]: ...  # noqa: D102
    @property
    def evaluations(self) -> Sequence[Evaluation]: ...  # noqa: D102
    @property
    def profiles(self) -> Sequence[Profile]: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102


class SyncCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What a sync did. `kept` entries are ids that users hold with content of their own."""

    added: int = 0
    changed: int = 0
    withdrawn: int = 0
    unchanged: int = 0
    kept: int = 0

    def __add__(self, other: SyncCounts) -> SyncCounts:
        return SyncCounts(
            added=self.added + other.added,
            changed=self.changed + other.changed,
            withdrawn=self.withdrawn + other.withdrawn,
            unchanged=self.unchanged + other.unchanged,
            kept=self.kept + other.kept,
        )


def digest(tx: Transaction) -> str | None:
    """Return the digest of the catalogue in force, None before the first one."""
    newest = select(CatalogueSyncs.digest).order_by(CatalogueSyncs.revision.desc()).limit(1)
    return tx.connection.execute(newest).scalar_one_or_none()


def sync(tx: WriteTransaction, catalogue: Catalogue) -> SyncCounts:
    """Bring the registry up to date with `catalogue`; nothing is compared when its digest is in force already.

    Raises InvalidInput when an entry is not valid or refers to something unknown.
    """
    check_name("catalogue.digest", catalogue.digest)
    revision = tx.lock_revision()
    if digest(tx) == catalogue.digest:
        return SyncCounts()
    affected = _variants_with_evidence(tx, catalogue)
    counts = _store(tx, models.KIND, catalogue.models) + _store(tx, devices.KIND, catalogue.devices)
    _check_references(tx, models.KIND, variants.KIND, {v.id: v.model_id for v in catalogue.variants})
    counts += _store(tx, variants.KIND, catalogue.variants)
    _check_references(tx, variants.KIND, profiles.KIND, {p.id: p.variant_id for p in catalogue.profiles})
    _check_references(tx, devices.KIND, profiles.KIND, {p.id: p.device_id for p in catalogue.profiles})
    _check_references(
        tx, variants.KIND, evaluations.KIND, {e.id: e.variant_id for e in catalogue.evaluations}
    )
    counts += _store(tx, profiles.KIND, catalogue.profiles)
    counts += _store(tx, evaluations.KIND, catalogue.evaluations)
    counts += _withdraw(tx, profiles.KIND, catalogue.profiles)
    counts += _withdraw(tx, evaluations.KIND, catalogue.evaluations)
    counts += _withdraw(tx, variants.KIND, catalogue.variants)
    counts += _withdraw(tx, devices.KIND, catalogue.devices)
    counts += _withdraw(tx, models.KIND, catalogue.models)
    profiles.count(tx, affected)
    evaluations.refresh_loss(tx, affected)
    tx.connection.execute(insert(CatalogueSyncs).values(revision=revision, digest=catalogue.digest))
    tx.record_change()
    return counts


def _store(tx: WriteTransaction, kind: Kind[T], items: Sequence[T]) -> SyncCounts:
    """Add the items that are new and replace those that differ."""
    if len({item.id for item in items}) != len(items):
        raise InvalidInput(f"catalogue.{kind.name}", "has an id twice", allowed="unique ids")
    before = kinds.stored(tx, kind, (item.id for item in items))
    new = [item for item in items if item.id not in before]
    kinds.add(tx, kind, new, source=CATALOGUE)
    changed = kept = 0
    for item in items:
        old = before.get(item.id)
        if old is None or old.document == kind.row(item)["document"]:
            continue
        if old.source == CATALOGUE:
            kinds.replace(tx, kind, item, source=CATALOGUE)
            changed += 1
        else:
            kept += 1
    unchanged = len(items) - len(new) - changed - kept
    return SyncCounts(added=len(new), changed=changed, unchanged=unchanged, kept=kept)


def _withdraw(tx: WriteTransaction, kind: Kind[T], items: Sequence[T]) -> SyncCounts:
    """Withdraw what an earlier catalogue brought and this one no longer has, unless something refers to it."""
    loaded = select(kind.table.id).where(kind.table.source == CATALOGUE)
    gone = set(tx.connection.execute(loaded).scalars()) - {item.id for item in items}
    return SyncCounts(withdrawn=kinds.withdraw(tx, kind, sorted(gone)))


def _check_references(
    tx: WriteTransaction, parent: Kind[Any], child: Kind[Any], references: Mapping[str, str]
) -> None:
    """Raise InvalidInput unless every parent that `references` (child id to parent id) names is there."""
    unknown = set(references.values())
    for chunk in chunks(references.values()):
        unknown -= set(
            tx.connection.execute(select(parent.table.id).where(parent.table.id.in_(chunk))).scalars()
        )
    for id_, reference in references.items():
        if reference in unknown:
            raise InvalidInput(
                f"catalogue.{child.name}", f"`{id_}` refers to unknown {parent.name} `{reference}`"
            )


def _variants_with_evidence(tx: WriteTransaction, catalogue: Catalogue) -> list[str]:
    """Return the variants whose evidence the catalogue brings now or brought before."""
    found = {item.variant_id for item in catalogue.profiles}
    found.update(item.variant_id for item in catalogue.evaluations)
    for table in (Profiles, Evaluations):
        found.update(
            tx.connection.execute(select(table.variant_id).where(table.source == CATALOGUE)).scalars()
        )
    return sorted(found)
